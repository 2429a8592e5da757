//! Watches: what they tell, and that they miss nothing.

use muster_etcd::{Event, Range};
use muster_tasks::Group;
use muster_testkit::{Etcd, EtcdCluster};
use serde_json::json;

use super::{client, insist, next, soon, told};

#[muster_tasks::test]
async fn a_watch_tells_what_happens(_root: Group) {
    let server = Etcd::shared();
    let client = client(&server.address());
    let mut all = client.watch(Range::prefix("/told/"));
    let mut deletes = client.watch(Range::prefix("/told/")).deletes_only();
    assert_eq!(told(&mut all).await, "resync");
    assert_eq!(told(&mut deletes).await, "resync");
    let first = insist(async || client.put("/told/a", "1", None).await).await;
    insist(async || client.put("/elsewhere", "1", None).await).await;
    insist(async || client.put("/told/b", "1", None).await).await;
    client.delete(&Range::prefix("/told/")).await.unwrap();
    assert_eq!(told(&mut all).await, "put /told/a");
    assert_eq!(told(&mut all).await, "put /told/b");
    for watch in [&mut all, &mut deletes] {
        assert_eq!(told(watch).await, "deleted /told/a");
        assert_eq!(told(watch).await, "deleted /told/b");
    }
    // From a read on.
    let mut later = client.watch(Range::prefix("/told/")).after(first);
    assert_eq!(told(&mut later).await, "put /told/b");
    // What is bound to a lease goes with it.
    let lease = client
        .grant(std::time::Duration::from_secs(60))
        .await
        .unwrap();
    insist(async || client.put("/told/c", "1", Some(lease.id)).await).await;
    insist(async || client.revoke(lease.id).await).await;
    assert_eq!(told(&mut deletes).await, "deleted /told/c");
}

#[muster_tasks::test]
async fn what_was_compacted_is_a_gap(_root: Group) {
    let server = Etcd::start();
    let client = client(&server.address());
    let old = insist(async || client.put("/gap", "1", None).await).await;
    let mut new = old;
    for _ in 0..3 {
        new = insist(async || client.put("/gap", "2", None).await).await;
    }
    let body = json!({ "revision": new.to_string() });
    server.call("/v3/kv/compaction", &body).unwrap();
    let mut watch = client.watch(Range::key("/gap")).after(old);
    assert_eq!(next(&mut watch).await, Event::Resync { revision: new });
    insist(async || client.put("/gap", "3", None).await).await;
    assert_eq!(told(&mut watch).await, "put /gap");
}

#[muster_tasks::test]
async fn servers_that_lost_everything_are_a_gap(_root: Group) {
    let (full, empty) = (Etcd::start(), Etcd::start());
    let old = client(&full.address());
    let mut revision = 0;
    for _ in 0..9 {
        revision = insist(async || old.put("/lost", "1", None).await).await;
    }
    let new = client(&empty.address());
    let mut watch = new.watch(Range::key("/lost")).after(revision);
    assert_eq!(told(&mut watch).await, "resync");
    insist(async || new.put("/lost", "2", None).await).await;
    assert_eq!(told(&mut watch).await, "put /lost");
}

/// One event after the other while servers are killed and held: none is missed, none comes twice.
#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_misses_nothing_while_servers_fail(_root: Group) {
    let mut cluster = EtcdCluster::start();
    let writer = client(&cluster.address());
    let reader = super::impatient(&cluster.address(), std::time::Duration::from_secs(2));
    let mut watch = reader.watch(Range::key("/n"));
    assert_eq!(told(&mut watch).await, "resync");
    let mut expected = Vec::new();
    for round in 0..6 {
        // The watch is with one of them.
        let at = round / 2;
        match round % 2 {
            0 => cluster.servers[at].kill(),
            _ => {
                cluster.servers[at].start_again();
                cluster.wait_until_all_serve();
                cluster.servers[at].hold();
            }
        }
        let value = round.to_string();
        let written = async {
            // It is not known whether one that failed was done: the last one decides.
            while writer.put("/n", value.clone(), None).await.is_err() {}
        };
        soon("a write", written).await;
        expected.push(value.clone());
        // What was written once more than known comes more than once, in its place.
        let heard = async {
            loop {
                let Event::Put(kv) = next(&mut watch).await else {
                    panic!("there is no gap");
                };
                let text = String::from_utf8(kv.value).unwrap();
                if text == value {
                    return;
                }
                assert_eq!(Some(&text), expected.iter().rev().nth(1));
            }
        };
        Box::pin(soon("the event", heard)).await;
        if round % 2 == 1 {
            cluster.servers[at].go_on();
            cluster.wait_until_all_serve();
        }
    }
}
