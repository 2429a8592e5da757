//! Servers that end, hang and come back.

use std::time::{Duration, Instant};

use muster_etcd::{Client, ErrorKind, Get, Retry};
use muster_tasks::Group;
use muster_testkit::{Etcd, EtcdCluster};

use super::{client, impatient, insist, soon};

/// Writes again and again until it succeeds.
async fn write(client: &Client, value: &str) {
    let written = async {
        while let Err(error) = client.put("/outage", value, None).await {
            assert_ne!(error.retry(), Retry::Never, "{error}");
        }
    };
    soon("a write", written).await;
}

async fn value(client: &Client) -> String {
    let read = async {
        loop {
            match client.get(Get::key("/outage")).await {
                Ok(mut got) => return got.kvs.remove(0).value,
                Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
            }
        }
    };
    String::from_utf8(soon("a read", read).await).unwrap()
}

/// One cluster for all, because it takes seconds to start.
#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_fails_and_comes_back(_root: Group) {
    let mut cluster = EtcdCluster::start();
    let client = impatient(&cluster.address(), Duration::from_secs(6));
    write(&client, "1").await;
    let lease = insist(async || client.grant(Duration::from_secs(60)).await).await;

    // The leader dies.
    let leader = cluster.leader();
    cluster.servers[leader].kill();
    write(&client, "2").await;
    client.keep_alive(lease.id).await.unwrap();
    cluster.servers[leader].start_again();
    cluster.wait_until_all_serve();

    // One hangs after the other: whichever is asked first, the others answer.
    for server in &cluster.servers {
        server.hold();
        write(&client, "3").await;
        assert_eq!(value(&client).await, "3");
        server.go_on();
        cluster.wait_until_all_serve();
    }

    // All die and come back; the lease lives on.
    cluster.servers.iter_mut().for_each(Etcd::kill);
    let refused = client.put("/outage", "4", None).await.unwrap_err();
    assert!(
        matches!(refused.kind, ErrorKind::Unreachable(_)),
        "{refused}"
    );
    cluster.servers.iter_mut().for_each(Etcd::start_again);
    write(&client, "5").await;
    assert_eq!(value(&client).await, "5");
    soon("a sign of life", async {
        while let Err(error) = client.keep_alive(lease.id).await {
            assert_ne!(error.kind, ErrorKind::LeaseNotFound);
        }
    })
    .await;

    // All hang: what is asked then is over in time.
    cluster.servers.iter().for_each(Etcd::hold);
    let begin = Instant::now();
    let refused = client.with_timeout(Duration::from_secs(1));
    let refused = refused.put("/outage", "6", None).await.unwrap_err();
    assert_eq!(refused.retry(), Retry::Reread, "{refused}");
    // Far less than what the machine's slowness could explain.
    assert!(begin.elapsed() < Duration::from_secs(30));
    cluster.servers.iter().for_each(Etcd::go_on);
    write(&client, "7").await;
}

#[muster_tasks::test]
async fn a_lease_outlives_a_server_that_hangs(_root: Group) {
    let server = Etcd::start();
    let client = client(&server.address());
    let lease = insist(async || client.grant(Duration::from_secs(1)).await).await;
    // On a busy machine it may be over already.
    let _ = client.put("/outage", "x", Some(lease.id)).await;
    server.hold();
    let kept = client.keep_alive(lease.id);
    let (kept, ()) = tokio::join!(kept, async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.go_on();
    });
    // It may have ended or not: what the answer says is so.
    let read = insist(async || client.get(Get::key("/outage")).await).await;
    match kept {
        Ok(ttl) => assert!(ttl > Duration::ZERO),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::LeaseNotFound);
            assert_eq!(read.kvs, []);
        }
    }
}
