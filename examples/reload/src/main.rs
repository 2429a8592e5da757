//! Reloads a log shipper with 500 prospectors. See the README.

use std::error::Error;
use std::time::{Duration, Instant};

use muster_tasks::Group;
use reload::{Crew, Spec, check};

const PROSPECTORS: usize = 500;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn main() -> Result<(), Box<dyn Error>> {
    let root = Group::root("shipper");
    let mut crew = Crew::new(&root);
    let specs = || -> Vec<Spec> {
        (0..PROSPECTORS)
            .map(|n| Spec::new(format!("app-{n}")))
            .collect()
    };

    crew.reload(specs()).await?;
    println!(
        "{} prospectors run, {} tasks in all",
        crew.len(),
        root.count()
    );

    println!("\na good configuration:");
    let begin = Instant::now();
    let mut slow = specs();
    slow[7].flush = Duration::from_secs(1);
    let reloaded = crew.reload(slow).await?;
    println!(
        "  {} prospectors ({} tasks) stopped, {} started, in {:.0?}; one after another {:.0?}",
        reloaded.stopped,
        reloaded.tasks,
        reloaded.started,
        begin.elapsed(),
        reloaded.one_by_one
    );

    println!("\na bad one: the first error cancels the rest, and what ran runs on:");
    let mut bad = specs();
    bad[3].paths.clear();
    bad[5].paths = vec!["log/app.log".to_owned()];
    bad[5].scan = Duration::from_secs(60);
    bad[9].harvesters = 0;
    let begin = Instant::now();
    if let Err(error) = crew.reload(bad.clone()).await {
        println!("  after {:.0?}: {error}", begin.elapsed());
    }
    println!(
        "  {} prospectors run, {} tasks in all",
        crew.len(),
        root.count()
    );

    println!("\nthe same, checked: all errors are collected:");
    bad[5].scan = Duration::from_millis(200);
    for error in check(&root, bad).await? {
        println!("  {error}");
    }

    println!("\n{}", root.stop().await);
    Ok(())
}
