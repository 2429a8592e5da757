//! Runs two recurring jobs until it is interrupted. See the README.

use std::error::Error;
use std::time::Duration;

use muster_tasks::Group;
use resident::{JOBS, Residents};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let root = Group::root("resident");
    let residents = Residents::start(&root, &JOBS)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        () = show(&root, &residents) => {}
    }
    finish(&root).await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn show(root: &Group, residents: &Residents) {
    println!("second  tasks  at once    done  timed out");
    for second in 0u64.. {
        let stats = residents.stats();
        println!(
            "{second:>6}  {:>5}  {:>7}  {:>6}  {:>9}",
            root.count(),
            stats.busy,
            stats.done,
            stats.timed_out
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn finish(root: &Group) {
    println!("{}{}", root.render_tree(), root.stop().await);
}
