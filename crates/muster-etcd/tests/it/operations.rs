//! Reads, writes, transactions, leases.

use std::time::Duration;

use muster_etcd::{
    Compare, Condition, Error, ErrorKind, Get, LeaseId, MAX_OPS, MAX_REQUEST, Op, OpDone, Range,
    Retry, Txn,
};
use muster_tasks::Group;
use muster_testkit::Etcd;
use serde_json::json;

use super::{client, insist, soon};

#[muster_tasks::test]
async fn what_is_written_is_read(_root: Group) {
    let server = Etcd::shared();
    let client = client(&server.address());
    let odd: Vec<u8> = vec![0, 1, 0xff, b'\n'];
    let first = insist(async || client.put("/rw/a", odd.clone(), None).await).await;
    let second = insist(async || client.put("/rw/b", "b", None).await).await;
    assert!(second > first);
    let read = insist(async || client.get(Get::of(Range::prefix("/rw/"))).await).await;
    let found: Vec<_> = read.kvs.iter().map(|kv| kv.key_text()).collect();
    assert_eq!(found, [Some("/rw/a"), Some("/rw/b")]);
    assert_eq!((&read.kvs[0].value, read.kvs[0].modified), (&odd, first));
    assert!(read.revision >= second && !read.more);
    let some = Get::of(Range::prefix("/rw/")).limit(1).keys_only();
    let some = client.get(some).await.unwrap();
    assert_eq!((some.kvs.len(), some.more), (1, true));
    assert_eq!(some.kvs[0].value, b"");
    let before = client.get(Get::key("/rw/b").at(first)).await.unwrap();
    assert_eq!(before.kvs, []);
    assert_eq!(client.delete(&Range::prefix("/rw/")).await.unwrap(), 2);
    assert_eq!(client.delete(&Range::key("/rw/a")).await.unwrap(), 0);
}

#[muster_tasks::test]
async fn a_large_range_comes_in_pages(_root: Group) {
    let server = Etcd::shared();
    let client = client(&server.address());
    let keys: Vec<String> = (0..600).map(|i| format!("/pages/{i:04}")).collect();
    for chunk in keys.chunks(MAX_OPS) {
        let then = chunk.iter().map(|key| Op::put(key.as_str(), "x", None));
        let txn = Txn {
            then: then.collect(),
            ..Txn::default()
        };
        assert!(client.txn(&txn).await.unwrap().held);
    }
    let all = insist(async || client.get_all(&Range::prefix("/pages/")).await).await;
    let found: Vec<&str> = all.kvs.iter().filter_map(|kv| kv.key_text()).collect();
    assert_eq!(found, keys);
    assert!(!all.more);
}

#[muster_tasks::test]
async fn a_transaction_is_done_as_a_whole(_root: Group) {
    let server = Etcd::shared();
    let client = client(&server.address());
    let revision = insist(async || client.put("/txn/a", "1", None).await).await;
    let lease = insist(async || client.grant(Duration::from_secs(60)).await).await;
    let check = async |key: &str, is: Condition, holds: bool| {
        let txn = Txn {
            compares: vec![Compare::new(key, is)],
            then: vec![Op::Get(Get::key("/txn/a"))],
            otherwise: vec![],
        };
        assert_eq!(client.txn(&txn).await.unwrap().held, holds, "{key} {is:?}");
    };
    check("/txn/a", Condition::Modified(revision), true).await;
    check("/txn/a", Condition::Modified(revision - 1), false).await;
    check("/txn/a", Condition::Created(revision), true).await;
    check("/txn/a", Condition::Absent, false).await;
    check("/txn/a", Condition::Present, true).await;
    check("/txn/b", Condition::Absent, true).await;
    check("/txn/b", Condition::Present, false).await;
    check("/txn/a", Condition::BoundTo(lease.id), false).await;
    insist(async || client.put("/txn/a", "2", Some(lease.id)).await).await;
    check("/txn/a", Condition::BoundTo(lease.id), true).await;

    let txn = Txn {
        compares: vec![Compare::new("/txn/b", Condition::Absent)],
        then: vec![
            Op::put("/txn/b", "1", None),
            Op::Delete(Range::key("/txn/a")),
            Op::Get(Get::key("/txn/b")),
        ],
        otherwise: vec![Op::Get(Get::key("/txn/b"))],
    };
    let done = client.txn(&txn).await.unwrap();
    assert!(done.held);
    assert_eq!(done.done[..2], [OpDone::Put, OpDone::Deleted(1)]);
    let again = client.txn(&txn).await.unwrap();
    assert!(!again.held);
    let OpDone::Got(kvs) = &again.done[0] else {
        panic!("{again:?}");
    };
    assert_eq!(kvs[0].modified, done.revision);
    insist(async || client.revoke(lease.id).await).await;
}

#[muster_tasks::test]
async fn what_is_too_large_is_not_sent(_root: Group) {
    let server = Etcd::shared();
    let client = client(&server.address());
    let large = client.put("/large", vec![b'x'; MAX_REQUEST], None).await;
    let large = large.unwrap_err();
    assert!(matches!(large.kind, ErrorKind::TooLarge { .. }), "{large}");
    assert_eq!(large.retry(), Retry::Never);
    // As much as is allowed is really taken.
    let most = vec![b'x'; MAX_REQUEST - 1024];
    insist(async || client.put("/large", most.clone(), None).await).await;
    let read = insist(async || client.get(Get::key("/large")).await).await;
    assert_eq!(read.kvs[0].value, most);
    let put = |i: usize| Op::put(format!("/many/{i}"), "x", None);
    let mut many = Txn {
        then: (0..MAX_OPS).map(put).collect(),
        ..Txn::default()
    };
    assert!(client.txn(&many).await.unwrap().held);
    many.then.push(put(MAX_OPS));
    let refused = client.txn(&many).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooMany(MAX_OPS + 1));
}

#[muster_tasks::test]
async fn a_lease_lives_as_long_as_it_is_kept_alive(_root: Group) {
    let server = Etcd::shared();
    let client = client(&server.address());
    let lease = insist(async || client.grant(Duration::from_secs(60)).await).await;
    insist(async || client.put("/lease/a", "x", Some(lease.id)).await).await;
    let read = insist(async || client.get(Get::key("/lease/a")).await).await;
    assert_eq!(read.kvs[0].lease, Some(lease.id));
    let kept = insist(async || client.keep_alive(lease.id).await).await;
    assert_eq!(kept, lease.ttl);
    // Nobody keeps it alive: it goes, and its key with it.
    let short = insist(async || client.grant(Duration::from_millis(1500)).await).await;
    assert_eq!(short.ttl, Duration::from_secs(2));
    let over = |error: &Error| error.kind == ErrorKind::LeaseNotFound;
    if let Err(error) = client.put("/lease/a", "x", Some(short.id)).await {
        // On a busy machine.
        assert!(over(&error), "{error}");
    }
    let gone = async {
        let last = client.put("/lease/b", "x", Some(short.id));
        let mut last = last.await;
        while last.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            last = client.put("/lease/b", "x", Some(short.id)).await;
        }
        last.unwrap_err()
    };
    let error = soon("it expires", gone).await;
    assert!(over(&error), "{error}");
    let error = client.keep_alive(short.id).await.unwrap_err();
    assert!(over(&error), "{error}");
    let left = insist(async || client.get(Get::key("/lease/b")).await).await;
    assert_eq!(left.kvs, []);
    insist(async || client.revoke(lease.id).await).await;
    // Ended, and ended again.
    let lease = insist(async || client.grant(Duration::from_secs(60)).await).await;
    insist(async || client.put("/lease/b", "x", Some(lease.id)).await).await;
    insist(async || client.revoke(lease.id).await).await;
    insist(async || client.revoke(lease.id).await).await;
    insist(async || client.revoke(LeaseId(77)).await).await;
    assert_eq!(
        insist(async || client.get(Get::key("/lease/b")).await)
            .await
            .kvs,
        []
    );
}

#[muster_tasks::test]
async fn an_old_revision_is_compacted(_root: Group) {
    let server = Etcd::start();
    let client = client(&server.address());
    let old = insist(async || client.put("/old", "1", None).await).await;
    let new = insist(async || client.put("/old", "2", None).await).await;
    let body = json!({ "revision": new.to_string() });
    server.call("/v3/kv/compaction", &body).unwrap();
    let refused = client.get(Get::key("/old").at(old)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Compacted);
    let future = client.get(Get::key("/old").at(new + 9)).await.unwrap_err();
    assert!(matches!(future.kind, ErrorKind::Refused(_)), "{future}");
}
