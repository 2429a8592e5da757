//! Peers that are no servers of etcd.

use std::time::Duration;

use muster_etcd::{ErrorKind, Get, Range, Retry};
use muster_net::testing::{FakeHttp, Silent, answer};
use muster_tasks::Group;
use muster_testkit::{Etcd, free_ports};

use super::{client, impatient, insist, soon};

#[muster_tasks::test]
async fn where_nobody_listens_nothing_is_sent(_root: Group) {
    let [nobody] = free_ports();
    let refused = client(&format!("127.0.0.1:{nobody}"));
    let refused = refused.put("/a", "x", None).await.unwrap_err();
    assert!(
        matches!(refused.kind, ErrorKind::Unreachable(_)),
        "{refused}"
    );
    assert_eq!(refused.retry(), Retry::Later);
    assert!(refused.to_string().starts_with("write /a: "), "{refused}");
    // The next one is asked, and goes first from then on.
    let server = Etcd::shared();
    let both = client(&format!("127.0.0.1:{nobody},{}", server.address()));
    insist(async || both.put("/peers/a", "x", None).await).await;
    assert!(both.server().ends_with(&server.address()));
}

#[muster_tasks::test]
async fn a_peer_that_says_nothing_costs_its_share(root: Group) {
    let mut silent = Silent::start(&root).await;
    let alone = impatient(silent.address(), Duration::from_millis(100));
    let late = alone.put("/a", "x", None).await.unwrap_err();
    assert!(matches!(late.kind, ErrorKind::Timeout(_)), "{late}");
    assert_eq!(late.retry(), Retry::Reread);
    // The time is up, and the connection is closed.
    assert!(silent.all_closed().await);
    let server = Etcd::shared();
    let servers = format!("{},{}", silent.address(), server.address());
    let both = impatient(&servers, Duration::from_secs(2));
    insist(async || both.get(Get::key("/a")).await).await;
    assert!(both.server().ends_with(&server.address()));
    // A write that may have been done is not sent again; the next one goes elsewhere.
    let both = impatient(&servers, Duration::from_secs(2));
    let late = both.put("/peers/b", "x", None).await.unwrap_err();
    assert_eq!(late.retry(), Retry::Reread);
    insist(async || both.put("/peers/b", "x", None).await).await;
    // A watch finds the one that answers, too.
    let both = impatient(&servers, Duration::from_secs(2));
    let mut watch = both.watch(Range::key("/peers/b"));
    soon("a stream", watch.next()).await.unwrap();
    assert!(silent.all_closed().await);
    drop((alone, both, watch));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn what_is_not_etcds_is_an_error(root: Group) {
    let check = async |status: u16, body: &'static str, part: &str| {
        let peer = FakeHttp::start(&root, move |_| answer(status, body)).await;
        let client = client(peer.url());
        let read = client.get(Get::key("/a")).await.unwrap_err().to_string();
        assert!(read.contains(part), "{body}: {read}");
        let lease = client.grant(Duration::from_secs(1)).await;
        assert!(lease.is_err(), "{body}: {lease:?}");
    };
    check(404, "Not Found", "is its gateway enabled?").await;
    check(200, "hello", "not etcd's").await;
    check(200, "{\"kvs\":[{\"key\":\"?\"}]}", "not etcd's").await;
    check(
        503,
        "{\"error\":\"etcdserver: no leader\",\"code\":14}",
        "no leader",
    )
    .await;
    check(500, "{}", "refuses").await;
    assert!(root.stop().await.is_clean());
}
