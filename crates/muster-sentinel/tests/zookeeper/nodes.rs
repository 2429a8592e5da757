//! What others do to our nodes, and how we leave them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_plugin::Kind;
use muster_plugin::compliance::{Running, Stage};
use muster_sentinel::document::Document;
use muster_sentinel::publish::Summary;
use muster_sentinel::testing::Behaviour;
use muster_sentinel::{Answer, Board, CheckKind, Facts, Instance, Outcome, Reason, Slot, Target};
use muster_tasks::Group;
use muster_testkit::{Stalls, ZooKeeper};

use crate::fleet::{Fleet, PATIENCE, is_down, is_up, publisher_on};
use crate::outages::{BOUND, INTERVAL};
use crate::reader::{Reader, path};

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_to_our_nodes_is_mended(root: Group) {
    let server = ZooKeeper::start();
    let servers = vec![server.address()];
    let fleet = Fleet::start(&servers, "others", INTERVAL, "writer = 'b'").await;
    let reader = Reader::start(&root, &servers, "others");
    fleet.until_right(&reader, "the start").await;
    let session = &reader.session;
    let mended = async |what: &str| {
        let (begun, since) = (Instant::now(), Stalls::now());
        fleet.until_right(&reader, what).await;
        let took = begun.elapsed();
        println!("{what}: right again {took:?} later");
        let stood_still = fleet.stood_still(since);
        assert!(
            took <= BOUND * 2 + stood_still,
            "{what}: right only after {took:?}"
        );
    };

    // By hand: one node, then all, with what is above them, and the reporter's.
    session.delete(&path(&fleet.slots[0]), None).await.unwrap();
    mended("a node is removed").await;
    for slot in &fleet.slots {
        session.delete(&path(slot), None).await.unwrap();
    }
    let _ = session.delete("/v1/redis/fleet", None).await;
    session.delete("/v1/reporters/b", None).await.unwrap();
    mended("all nodes are removed").await;

    // A document that is too large is refused before it is sent; the others go on on the same connection.
    let publisher = fleet.board.faults().session().unwrap();
    let before = publisher.stats();
    let huge = Facts {
        redis_version: "x".repeat(1_100_000),
        ..Facts::default()
    };
    let instance = Instance {
        kind: CheckKind::Redis,
        cluster: "fleet".to_owned(),
        target: Target::Named("huge".to_owned()),
    };
    let slot = fleet.board.open(instance, Arc::default()).unwrap();
    let answer = Answer {
        facts: Some(huge),
        ..Outcome::OK.into()
    };
    slot.observe(fleet.board.clock().now(), answer, Duration::ZERO);
    let told = |running: &Running| {
        let reports = running.take_reports();
        reports
            .iter()
            .any(|report| report.to_string().contains("the most"))
    };
    assert!(fleet.running.wait_until(PATIENCE, told).await);
    fleet.set(0, Behaviour::Silent, is_down).await;
    mended("a document of 1.1 MB").await;
    let after = publisher.stats();
    assert_eq!(
        (after.connections, after.rebuilds),
        (before.connections, before.rebuilds)
    );
    assert_eq!(session.exists("/v1/redis/fleet/huge").await.unwrap(), None);
    drop(slot);

    // A second writer of the same instances, whose name goes first: it takes over, and gives way when it ends.
    let stage = Stage::new(Kind::Input);
    let board = stage.start_context().resources().shared::<Board>();
    let theirs: Vec<_> = fleet
        .slots
        .iter()
        .map(|slot| {
            board
                .open((*slot.instance()).clone(), Arc::default())
                .unwrap()
        })
        .collect();
    for slot in &theirs {
        slot.observe(board.clock().now(), Outcome::OK.into(), Duration::ZERO);
    }
    let second = publisher_on(&stage, &servers, "others", "writer = 'a'").await;
    let is_by = async |slot: &Slot, writer: &str| {
        let node = session.read(&path(slot)).await;
        node.is_ok_and(|node| Document::from_json(&node.data).unwrap().writer.id == writer)
    };
    let taken = async {
        while !is_by(&fleet.slots[0], "a").await || !is_by(&fleet.slots[59], "a").await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken)
        .await
        .expect("the first name goes first");
    fleet.set(2, Behaviour::Silent, is_down).await;
    assert!(
        is_by(fleet.of(2).first().unwrap(), "a").await,
        "two write the same node"
    );
    second.stop().await.unwrap().1.unwrap();
    drop(theirs);
    assert!(stage.end().await.is_clean());
    mended("the second writer has ended").await;
    fleet.set(2, Behaviour::Healthy, is_up).await;
    fleet.set(3, Behaviour::Silent, is_down).await;
    mended("all is written by the first again").await;
    let sum = async {
        loop {
            let summary = session.read("/v1/summary/fleet/b").await;
            if let Ok(node) = summary {
                let summary: Summary = serde_json::from_slice(&node.data).unwrap();
                if (summary.up, summary.down) == (40, 20) {
                    return summary;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let summary = tokio::time::timeout(PATIENCE, sum).await.expect("the sum");
    assert_eq!(summary.degraded + summary.unknown, 0);
    reader.session.stop().await;
    fleet.end(INTERVAL * 2).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_says_that_nobody_looks(root: Group) {
    let server = ZooKeeper::start();
    let servers = vec![server.address()];
    for (more, reason) in [
        ("", Reason::Ok),
        ("unknown_on_stop = true", Reason::Stopped),
    ] {
        let fleet = Fleet::start(&servers, "stop", INTERVAL, more).await;
        let reader = Reader::start(&root, &servers, "stop");
        fleet.set(0, Behaviour::Healthy, is_up).await;
        fleet.until_right(&reader, "the start").await;
        let at = path(&fleet.slots[0]);
        fleet.end(INTERVAL * 2).await;
        reader.session.sync().await.unwrap();
        let node = reader.session.read(&at).await.unwrap();
        assert_eq!(Document::from_json(&node.data).unwrap().reason, reason);
        let reporters = reader.session.children("/v1/reporters").await.unwrap();
        assert!(reporters.is_empty(), "{reporters:?}");
        reader.session.stop().await;
    }
    assert!(root.stop().await.is_clean());
}
