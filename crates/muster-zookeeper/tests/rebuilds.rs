//! The client is thrown away again and again, and leaves nothing behind. Alone in its process, because it counts
//! the process's threads and files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test"
)]

use std::time::Duration;

use muster_tasks::{Group, timeout};
use muster_testkit::{ZooKeeper, eventually, usage_of_this_process};
use muster_zookeeper::{Fault, Mode, Options, Session};

/// How many; `MUSTER_REBUILDS` says another number.
fn rebuilds() -> u64 {
    let asked = std::env::var("MUSTER_REBUILDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(200)
}

async fn connected(session: &Session) {
    timeout(Duration::from_secs(60), session.connected())
        .await
        .unwrap()
        .unwrap();
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_leaves_nothing_behind(root: Group) {
    let server = ZooKeeper::start();
    let mut options = Options::new(format!("{}/r", server.address()).parse().unwrap());
    options.operation_timeout = Duration::from_secs(20);
    options.pauses.first = Duration::from_millis(1);
    options.pauses.longest = Duration::from_millis(2);
    let session = Session::start(&root, options).unwrap();
    let _watch = session.watch("/").unwrap();
    connected(&session).await;
    session
        .create("/a", Vec::new(), Mode::Persistent)
        .await
        .unwrap();
    let fault = |n: u64| match n % 3 {
        0 => Fault::Poison,
        1 => Fault::PanicInOperation,
        _ => Fault::PanicInConnect,
    };
    let goal = rebuilds();
    let mut settled = None;
    loop {
        connected(&session).await;
        let done = session.stats().rebuilds;
        // The first ones fill what is kept for good: the reactor's thread, the allocator's arenas.
        if done >= goal / 4 && settled.is_none() {
            settled = Some((done, usage_of_this_process(), root.count()));
        }
        if done >= goal {
            break;
        }
        // It may have ended before it is told.
        let _ = session.inject(fault(done)).await;
    }
    let (first, before, tasks) = settled.unwrap();
    connected(&session).await;
    session.put("/a", b"x".to_vec(), None).await.unwrap();
    let (after, stats) = (usage_of_this_process(), session.stats());
    println!(
        "{} rebuilds: {before:?} -> {after:?}; {stats:?}",
        stats.rebuilds - first
    );
    // The last thread may still be on its way out.
    eventually("tasks, threads and files are as before", || {
        let after = usage_of_this_process();
        let is_clean = after.threads <= before.threads && after.files <= before.files;
        (is_clean && root.count() == tasks).then_some(())
    });
    // Less than a page a rebuild: what one leaves behind would be ten times that.
    let most = before.resident + (512 << 10) + 4096 * (stats.rebuilds - first);
    assert!(after.resident <= most, "{before:?} -> {after:?}");
    assert!(root.stop().await.is_clean());
}
