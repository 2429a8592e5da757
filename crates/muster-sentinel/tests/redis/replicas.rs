use muster_sentinel::{Depth, Reason, State, Status};
use muster_tasks::Group;
use muster_testkit::Redis;

use crate::watched::{How, Watched};

const FAST: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_loses_its_master(root: Group) {
    let mut master = Redis::with(&FAST);
    let port = master.port.to_string();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]);
    let how = How {
        depth: Depth::Replication,
        ..How::of(&replica)
    };
    let watched = Watched::start(&root, how);
    let linked = |status: &Status| status.replication.is_some_and(|r| r.link);
    let up = watched.until("the link to the master", linked).await;
    assert_eq!(up.facts.role, "slave");
    assert!(up.replication.unwrap().offset.is_some());
    watched.until_up().await;
    master.kill();
    let lost = watched
        .until_state(State::Degraded, Reason::Masterdown)
        .await;
    assert!(!lost.replication.unwrap().link);
    master.restart(&[]);
    watched.until_up().await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_says_itself_that_its_master_is_gone(root: Group) {
    let mut master = Redis::with(&FAST);
    let port = master.port.to_string();
    let stale = [
        "--replicaof",
        "127.0.0.1",
        &port,
        "--replica-serve-stale-data",
        "no",
    ];
    let replica = Redis::with(&stale);
    let how = How {
        depth: Depth::Ping,
        ..How::of(&replica)
    };
    let watched = Watched::start(&root, how);
    watched.until_up().await;
    master.kill();
    let lost = watched
        .until_state(State::Degraded, Reason::Masterdown)
        .await;
    assert!(lost.detail.unwrap().starts_with("MASTERDOWN"));
    master.restart(&[]);
    watched.until_up().await;
    watched.end().await;
}
