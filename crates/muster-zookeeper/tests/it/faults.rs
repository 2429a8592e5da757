//! Faults on request: panics and threads that stand still are healed.

use std::time::Duration;

use muster_tasks::Group;
use muster_testkit::ZooKeeper;
use muster_zookeeper::{Event, Fault, Mode};

use super::{later, session, soon, told};

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn panics_are_healed_and_the_session_lives(root: Group) {
    let server = ZooKeeper::shared();
    let session = session(&root, &server, "faults/panics").await;
    let mine = session
        .create("/mine", Vec::new(), Mode::Ephemeral)
        .await
        .unwrap();
    let mut watch = session.watch("/").unwrap();
    told(&mut watch, Event::Resync).await;
    let faults = [
        Fault::PanicInOperation,
        Fault::PanicInConnect,
        Fault::PanicInWatch,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let before = soon("a connection", session.connected()).await.unwrap();
        session.inject(fault).await.unwrap();
        if fault == Fault::PanicInWatch {
            // The event is its moment; whether the write is answered before is open.
            let _ = session.create("/event", Vec::new(), Mode::Persistent).await;
        }
        told(&mut watch, Event::Resync).await;
        later(&session, &before).await;
        assert_eq!(session.stats().panics, 1 + n as u64, "{fault:?}");
        assert_eq!(session.exists("/mine").await.unwrap(), Some(mine));
        // So much time between two is enough to count as healed.
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    assert_eq!(session.stats().sessions, 1);
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_which_all_fails_is_given_up(root: Group) {
    let server = ZooKeeper::shared();
    let session = session(&root, &server, "faults/given-up").await;
    while session.stats().sessions == 1 {
        soon("a connection", session.connected()).await.unwrap();
        // It may have ended before it is told.
        let _ = session.inject(Fault::PanicInOperation).await;
    }
    assert!(session.stats().panics >= 3);
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_stands_still_is_left_behind(root: Group) {
    let server = ZooKeeper::shared();
    let servers = format!("{}/faults/hang", server.address());
    let mut options = super::options(&servers);
    options.session_timeout = Duration::from_secs(2);
    let session = muster_zookeeper::Session::start(&root, options).unwrap();
    let before = soon("a connection", session.connected()).await.unwrap();
    let hang = session.inject(Fault::Hang(Duration::from_secs(8)));
    let (hung, now) = tokio::join!(hang, later(&session, &before));
    hung.unwrap_or_else(|error| assert_eq!(error.retry(), muster_zookeeper::Retry::Reread));
    assert!(now.connections > before.connections);
    assert_eq!(session.stats().hung, 1);
    session.sync().await.unwrap();
    assert!(root.stop().await.is_clean());
}
