//! Serves, sends itself orders for some minutes, and says what leaks. See the README.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use discount::{Form, Pace, Shop, load};
use muster_tasks::{Group, LeakMonitor, LeakMonitorOptions};

#[cfg(feature = "profiling")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "discount [--leaking] [--minutes N] [--faster N] [--stay] [ADDRESS]";

struct Args {
    form: Form,
    minutes: u64,
    pace: Pace,
    stay: bool,
    address: SocketAddr,
}

impl Args {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut read = Self {
            form: Form::Mended,
            minutes: 10,
            pace: Pace::new(100),
            stay: false,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(USAGE);
            match arg.as_str() {
                "--leaking" => read.form = Form::Leaking,
                "--minutes" => read.minutes = value()?.parse()?,
                "--faster" => read.pace = Pace::new(value()?.parse()?),
                "--stay" => read.stay = true,
                address => read.address = address.parse().map_err(|_| USAGE)?,
            }
        }
        Ok(read)
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::read(std::env::args().skip(1))?;
    let root = Group::root("discount");
    let options = LeakMonitorOptions {
        every: args.pace.of(Duration::from_secs(10)),
        ..LeakMonitorOptions::default()
    };
    let leaks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&leaks);
    LeakMonitor::start_with(&root, options, move |finding| {
        count.fetch_add(1, Ordering::Relaxed);
        println!("leak: {finding}");
    })?;
    let shop = Shop::start(&root, args.address, args.form, args.pace).await?;
    println!("{:?}, http://{}/debug/pprof/", args.form, shop.address());
    println!("minute  answers  experiments  failed  tasks");
    let minutes = load::send(
        &root,
        shop.address(),
        args.minutes,
        args.pace,
        |at, seen| {
            println!(
                "{:>6}  {:>7}  {:>11}  {:>6}  {:>5}",
                at + 1,
                seen.answered,
                seen.experiments,
                seen.failed,
                seen.tasks
            );
        },
    );
    minutes.await?;
    println!("leaks found: {}", leaks.load(Ordering::Relaxed));
    if args.stay {
        println!("Ctrl-C ends it");
        tokio::signal::ctrl_c().await?;
    }
    println!("{}", root.stop().await);
    Ok(())
}
