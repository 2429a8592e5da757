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
use muster_testkit::{Usage, ZooKeeper, eventually, usage_of_this_process};
use muster_zookeeper::{Fault, Mode, Options, Session};

/// How many; `MUSTER_REBUILDS` says another number.
fn rebuilds() -> u64 {
    let asked = std::env::var("MUSTER_REBUILDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(1000)
}

async fn connected(session: &Session) {
    timeout(Duration::from_secs(60), session.connected())
        .await
        .unwrap()
        .unwrap();
}

/// What is used while a client serves, and how many rebuilds there were. A session says for a moment that it is
/// connected when its client has just died: the writes on both sides and the unmoved count tell that one lived.
async fn settled(session: &Session, root: &Group) -> (u64, Usage, usize) {
    let search = async {
        loop {
            connected(session).await;
            let rebuilds = session.stats().rebuilds;
            let before = session.put("/a", b"x".to_vec(), None).await;
            let found = (rebuilds, usage_of_this_process(), root.count());
            let after = session.put("/a", b"y".to_vec(), None).await;
            if before.is_ok() && after.is_ok() && session.stats().rebuilds == rebuilds {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(60), search).await.unwrap()
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
    let mut begin = None;
    loop {
        connected(&session).await;
        let done = session.stats().rebuilds;
        // The first ones fill what is kept for good: the reactor's thread, the allocator's arenas.
        if done >= goal / 4 && begin.is_none() {
            begin = Some(settled(&session, &root).await);
        }
        if done >= goal {
            break;
        }
        // It may have ended before it is told.
        let _ = session.inject(fault(done)).await;
    }
    let (first, before, tasks) = begin.unwrap();
    let (_, after, _) = settled(&session, &root).await;
    let stats = session.stats();
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
