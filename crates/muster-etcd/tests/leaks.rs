//! What clients leave behind: nothing. A test alone in its process, which it counts.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use muster_etcd::{Client, Get, Options, Range};
use muster_net::testing::Silent;
use muster_tasks::Group;
use muster_testkit::{Etcd, eventually, usage_of_this_process};

const ROUNDS: usize = 25;

async fn use_one(address: &str, silent: &str) {
    let mut options = Options::new(address.parse().unwrap());
    options.timeout = Duration::from_secs(60);
    let client = Client::new(options).unwrap();
    let revision = client.put("/leaks", "x", None).await.unwrap();
    let mut watch = client.watch(Range::key("/leaks")).after(revision - 1);
    watch.next().await.unwrap();
    let lease = client.grant(Duration::from_secs(60)).await.unwrap();
    client.revoke(lease.id).await.unwrap();
    // One that nobody answers, given up by its own deadline and by its caller.
    let mute = |timeout| {
        let mut options = Options::new(silent.parse().unwrap());
        options.timeout = timeout;
        Client::new(options).unwrap()
    };
    let short = Duration::from_millis(5);
    mute(short).get(Get::key("/leaks")).await.unwrap_err();
    let patient = mute(Duration::from_secs(60));
    let given_up = patient.get(Get::key("/leaks"));
    muster_tasks::timeout(short, given_up).await.unwrap_err();
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_leave_nothing_behind(root: Group) {
    let server = Etcd::start();
    let mut silent = Silent::start(&root).await;
    let (etcd, mute) = (server.address(), silent.address().to_owned());
    // What is made once, is made now.
    use_one(&etcd, &mute).await;
    assert!(silent.all_closed().await);
    let before = usage_of_this_process();
    for _ in 0..ROUNDS {
        use_one(&etcd, &mute).await;
    }
    assert!(silent.all_closed().await);
    eventually("all files are closed", || {
        let after = usage_of_this_process();
        (after.files <= before.files && after.threads <= before.threads).then_some(())
    });
    assert!(root.stop().await.is_clean());
}
