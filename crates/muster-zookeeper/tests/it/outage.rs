//! An ensemble of which servers end, hang and come back.

use std::time::Duration;

use muster_tasks::Group;
use muster_testkit::{ZooKeeper, ZooKeeperEnsemble};
use muster_zookeeper::{Event, Lost, Mode, STOP, Session, State};

use super::{options, soon, told};

/// Writes again and again until it succeeds.
async fn write(session: &Session, path: &str) {
    let written = async {
        loop {
            soon("a connection", session.connected()).await.unwrap();
            match session.put(path, b"x".to_vec(), None).await {
                Ok(_) => return,
                Err(error) => assert_ne!(error.retry(), muster_zookeeper::Retry::Never, "{error}"),
            }
        }
    };
    let what = format!("a write; now {session:?}");
    soon(&what, written).await;
}

/// One ensemble for all, because it takes seconds to start.
#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_fails_and_comes_back(root: Group) {
    let mut ensemble = ZooKeeperEnsemble::start();
    let mut options = options(&format!("{}/outage", ensemble.address()));
    options.operation_timeout = Duration::from_secs(3);
    let session = Session::start(&root, options).unwrap();
    soon("a connection", session.connected()).await.unwrap();
    session
        .create("/a", Vec::new(), Mode::Persistent)
        .await
        .unwrap();
    let mine = session
        .create("/mine", Vec::new(), Mode::Ephemeral)
        .await
        .unwrap();
    let mut watch = session.watch("/").unwrap();
    told(&mut watch, Event::Resync).await;

    // The leader dies: the session lives on, whether our server was the leader or not.
    let leader = ensemble.leader();
    ensemble.servers[leader].kill();
    write(&session, "/a").await;
    assert_eq!(session.exists("/mine").await.unwrap(), Some(mine));
    assert_eq!(session.stats().sessions, 1);
    ensemble.servers[leader].start_again();
    ensemble.wait_until_all_serve();

    // All die and come back.
    ensemble.servers.iter_mut().for_each(ZooKeeper::kill);
    let mut state = session.state();
    let is_connected = |state: &State| state.connection().is_some();
    soon("no connection", state.wait_for(|s| !is_connected(s)))
        .await
        .unwrap();
    ensemble.servers.iter_mut().for_each(ZooKeeper::start_again);
    write(&session, "/a").await;
    told(&mut watch, Event::Resync).await;

    // All hang for longer than the session.
    ensemble.wait_until_all_serve();
    write(&session, "/a").await;
    ensemble.servers.iter().for_each(ZooKeeper::hold);
    let is_lost = |state: &State| {
        matches!(
            state,
            State::Lost {
                why: Lost::TimeUp,
                ..
            }
        )
    };
    soon("it is lost", state.wait_for(is_lost)).await.unwrap();
    ensemble.servers.iter().for_each(ZooKeeper::go_on);
    write(&session, "/a").await;
    told(&mut watch, Event::Resync).await;

    // A stop is bounded while they hang.
    ensemble.servers.iter().for_each(ZooKeeper::hold);
    let begin = std::time::Instant::now();
    session.stop().await;
    assert!(begin.elapsed() < STOP * 3 / 2, "{:?}", begin.elapsed());
    assert_eq!(session.stats().panics, 0);
    assert!(root.stop().await.is_clean());
}
