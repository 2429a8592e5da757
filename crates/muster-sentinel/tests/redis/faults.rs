use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use muster_sentinel::{Depth, Reason, State, Target};
use muster_tasks::Group;
use muster_testkit::Redis;

use crate::watched::{How, Watched};

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_on_the_same_port(root: Group) {
    let mut redis = Redis::start();
    let watched = Watched::new(&root, &redis);
    let up = watched.until_up().await;
    assert!(up.rtt.is_some());
    assert_eq!(up.facts.role, "master");
    let first = up.facts.run_id.clone();
    redis.kill();
    let down = watched.until_state(State::Down, Reason::Refused).await;
    assert!(down.fails >= 3 && !down.is_up());
    assert!(watched.has_been(State::Suspect, Reason::Refused));
    redis.restart(&[]);
    watched.until_up().await;
    let is_new = |status: &muster_sentinel::Status| status.facts.run_id != first;
    watched.until("the new run ID", is_new).await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen(root: Group) {
    let redis = Redis::start();
    let watched = Watched::new(&root, &redis);
    watched.until_up().await;
    redis.freeze();
    watched.until_state(State::Down, Reason::Hung).await;
    redis.thaw();
    watched.until_up().await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_with_one_long_command(root: Group) {
    let redis = Redis::start();
    let watched = Watched::new(&root, &redis);
    watched.until_up().await;
    let sleeping = redis.send(&["DEBUG", "SLEEP", "1.5"]);
    watched.until_state(State::Down, Reason::Hung).await;
    watched.until_up().await;
    drop(sleeping);
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn password(root: Group) {
    let redis = Redis::with(&["--requirepass", "s3cret"]);
    for (password, detail) in [("", "NOAUTH"), ("wrong", "WRONGPASS")] {
        let how = How {
            password,
            ..How::of(&redis)
        };
        let watched = Watched::start(&root, how);
        let status = watched.until_state(State::Degraded, Reason::Auth).await;
        assert!(status.detail.unwrap().starts_with(detail));
        watched.end().await;
    }
    let how = How {
        password: "s3cret",
        ..How::of(&redis)
    };
    let watched = Watched::start(&root, how);
    watched.until_up().await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_of_an_access_list(root: Group) {
    let redis = Redis::start();
    let rules = [
        "ACL", "SETUSER", "probe", "on", ">pw", "-@all", "+ping", "+info",
    ];
    assert_eq!(redis.command(&rules), "+OK");
    let how = || How {
        username: "probe",
        password: "pw",
        ..How::of(&redis)
    };
    let watched = Watched::start(&root, how());
    assert_eq!(watched.until_up().await.facts.role, "master");
    assert_eq!(redis.command(&["ACL", "SETUSER", "probe", "-ping"]), "+OK");
    let status = watched.until_state(State::Degraded, Reason::Auth).await;
    assert!(status.detail.unwrap().starts_with("NOPERM"));
    assert_eq!(redis.command(&["ACL", "SETUSER", "probe", "+ping"]), "+OK");
    watched.until_up().await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_no_more_clients(root: Group) {
    let redis = Redis::start();
    let watched = Watched::new(&root, &redis);
    watched.until_up().await;
    // With the check's own connection this one fills the limit.
    let mut ours = redis.send(&["PING"]);
    redis.set("maxclients", "2");
    watched
        .until_state(State::Degraded, Reason::Maxclients)
        .await;
    // Not only the check that saw it: the kept connection, which still works, does not hide it.
    let seq = watched.slot.status().seq;
    let later = watched.until("more checks", |status| status.seq > seq + 7);
    assert_eq!(later.await.reason, Reason::Maxclients);
    ours.write_all(b"CONFIG SET maxclients 100\r\n").unwrap();
    watched.until_up().await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn cannot_save(root: Group) {
    let redis = Redis::start();
    let watched = Watched::new(&root, &redis);
    watched.until_up().await;
    redis.block_saves();
    redis.set("save", "3600 1");
    redis.command(&["BGSAVE"]);
    let status = watched.until_state(State::Degraded, Reason::Persist).await;
    assert!(status.detail.unwrap().starts_with("MISCONF"));
    redis.unblock_saves();
    muster_testkit::eventually("a save begins", || {
        redis.command(&["BGSAVE"]).starts_with('+').then_some(())
    });
    watched.until_up().await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_script(root: Group) {
    let redis = Redis::start();
    let watched = Watched::new(&root, &redis);
    watched.until_up().await;
    redis.set("busy-reply-threshold", "50");
    let script = redis.send(&["EVAL", "while true do end", "0"]);
    watched.until_state(State::Degraded, Reason::Busy).await;
    assert!(!watched.has_been(State::Down, Reason::Hung));
    assert_eq!(redis.command(&["SCRIPT", "KILL"]), "+OK");
    watched.until_up().await;
    drop(script);
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn loading(root: Group) {
    let mut redis = Redis::start();
    redis.command(&["DEBUG", "POPULATE", "20000", "key", "64"]);
    assert_eq!(redis.command(&["SAVE"]), "+OK");
    let slow = [
        "--key-load-delay",
        "2000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    redis.restart(&slow);
    let watched = Watched::new(&root, &redis);
    let what = "the state of loading";
    let status = watched.until(what, |status| status.loading.is_some()).await;
    assert_eq!(
        (status.state, status.reason),
        (State::Degraded, Reason::Loading)
    );
    assert!(status.loading.unwrap().percent.is_some());
    redis.set("key-load-delay", "0");
    let up = watched.until_up().await;
    assert_eq!(up.loading, None);
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn unix_socket(root: Group) {
    let mut redis = Redis::start();
    let how = || How::at(Target::Socket(redis.socket().into()));
    let watched = Watched::start(&root, how());
    watched.until_up().await;
    redis.freeze();
    watched.until_state(State::Down, Reason::Hung).await;
    redis.thaw();
    watched.until_up().await;
    redis.kill();
    watched.until_state(State::Down, Reason::Refused).await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_drops_is_no_verdict(root: Group) {
    let redis = Redis::start();
    let how = How {
        depth: Depth::Ping,
        ..How::of(&redis)
    };
    let watched = Watched::start(&root, how);
    let mut seq = watched.until_up().await.seq;
    for _ in 0..10 {
        redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let next = move |status: &muster_sentinel::Status| status.seq > seq + 1;
        seq = watched.until("two more checks", next).await.seq;
    }
    let transitions = watched.slot.transitions();
    let failed = transitions
        .iter()
        .any(|t| matches!(t.reason, Reason::Closed | Reason::Reset));
    assert!(!failed, "{transitions:?}");
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_address_says_nothing_of_the_server(root: Group) {
    let how = How::at(Target::Tcp {
        host: "no-such-host.invalid".to_owned(),
        port: 6379,
    });
    let watched = Watched::start(&root, how);
    let status = watched.until("a verdict", |status| status.seq >= 5).await;
    assert_eq!((status.state, status.reason), (State::Unknown, Reason::Dns));
    assert!(watched.health.local_faults.load(Relaxed) >= 5);
    watched.end().await;
}
