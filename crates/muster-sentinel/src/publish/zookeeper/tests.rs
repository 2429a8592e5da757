use std::time::Duration;

use muster_plugin::{Build, FormatUse, PluginRow};
use muster_tasks::{Group, timeout};
use muster_testkit::ZooKeeper;
use muster_zookeeper::Mode;

use super::*;
use crate::fleet::{Fleet, FleetWatch, Freshness, Member};
use crate::publish::testing::{PATIENCE, Published};
use crate::status::{CheckKind, Reason, State};

const ROW: PluginRow = PluginRow {
    name: "zookeeper",
    summary: "writes statuses to ZooKeeper",
    options: ZooKeeperPublisherOptions::describe,
    format: FormatUse::None,
    build: Build::Service(|cx| Ok(Box::new(ZooKeeperPublisher::build(cx)?))),
};

fn build(options: &str) -> Built<ZooKeeperPublisher> {
    let table = toml::from_str(options).unwrap();
    ZooKeeperPublisher::build(&BuildContext::new(&ROW, &table)?)
}

async fn start(server: &ZooKeeper, root: &str, writer: &str, mode: &str) -> Published {
    let options = format!(
        "servers = ['{}']\nroot = '/{root}'\nwriter = '{writer}'\nmode = '{mode}'\n\
         session_timeout = '4s'\nrefresh = '5s'",
        server.address()
    );
    Published::start(build(&options).unwrap()).await
}

async fn session(group: &Group, server: &ZooKeeper, root: &str) -> Session {
    let servers = format!("{}/{root}", server.address()).parse().unwrap();
    let session = Session::start(group, muster_zookeeper::Options::new(servers)).unwrap();
    timeout(PATIENCE, session.connected())
        .await
        .unwrap()
        .unwrap();
    session
}

/// Follows the fleet until it is so.
async fn until(watch: &mut FleetWatch, what: &str, is: impl Fn(&Fleet) -> bool) {
    let search = async {
        while !is(watch.fleet()) {
            let fleet = watch.next().await.unwrap();
            assert!(fleet.is_some(), "the session was stopped");
        }
    };
    if timeout(PATIENCE, search).await.is_err() {
        panic!("waited in vain: {what}: {:#?}", watch.fleet());
    }
}

fn member(fleet: &Fleet, port: u16) -> Option<&Member> {
    fleet
        .members
        .get(&format!("/v1/redis/shop/10.0.0.1:{port}"))
}

fn has(port: u16, state: State) -> impl Fn(&Fleet) -> bool {
    move |fleet| member(fleet, port).is_some_and(|member| member.document.state == state)
}

fn is_written_by(fleet: &Fleet, writer: &str) -> bool {
    member(fleet, 1).is_some_and(|member| member.document.writer.id == writer)
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_says_what_the_board_says(root: Group) {
    let mut server = ZooKeeper::start();
    let published = start(&server, "fleet", "a", "status").await;
    let slots = [1, 2].map(|port| published.open(port));
    let reader = session(&root, &server, "fleet").await;
    let mut watch = FleetWatch::new(reader.clone()).unwrap();
    until(&mut watch, "both are there", |fleet| {
        fleet.members.len() == 2
    })
    .await;
    slots
        .iter()
        .for_each(|slot| published.observe(slot, Reason::Ok));
    until(&mut watch, "it is up", has(1, State::Up)).await;
    published.observe(&slots[1], Reason::Busy);
    until(&mut watch, "it changes", |fleet| {
        member(fleet, 2).is_some_and(|member| member.document.reason == Reason::Busy)
    })
    .await;
    until(&mut watch, "somebody reports", |fleet| {
        fleet.reporters.contains_key("a")
    })
    .await;
    let now = |member: &Member| member.written_ms;
    let fleet = Arc::clone(watch.fleet());
    let first = member(&fleet, 1).unwrap();
    assert_eq!(fleet.freshness(first, now(first)), Freshness::Fresh);
    let later = fleet.freshness(first, now(first) + 60_000);
    assert_eq!(later, Freshness::Late(Duration::from_secs(60)));

    // Removed by hand, reporter and instance.
    for path in ["/v1/redis/shop/10.0.0.1:1", "/v1/reporters/a"] {
        reader.delete(path, None).await.unwrap();
    }
    until(&mut watch, "they are gone", |fleet| {
        member(fleet, 1).is_none() || fleet.reporters.is_empty()
    })
    .await;
    until(&mut watch, "they are back", |fleet| {
        has(1, State::Up)(fleet) && fleet.reporters.contains_key("a")
    })
    .await;

    // Written while the server was gone.
    server.kill();
    published.observe(&slots[0], Reason::Busy);
    let third = published.open(3);
    published.observe(&third, Reason::Ok);
    server.start_again();
    until(&mut watch, "it is made up for", |fleet| {
        let is_busy = |member: &Member| member.document.reason == Reason::Busy;
        has(3, State::Up)(fleet) && member(fleet, 1).is_some_and(is_busy)
    })
    .await;
    published.stop().await;
    until(&mut watch, "nobody reports", |fleet| {
        fleet.reporters.is_empty()
    })
    .await;
    let fleet = watch.fleet();
    let first = member(fleet, 1).unwrap();
    assert_eq!(fleet.freshness(first, now(first)), Freshness::NoReporter);
    reader.stop().await;
    assert!(root.stop().await.is_clean());
}

/// Waits until these nodes are there.
async fn until_there(reader: &Session, paths: &[&str]) {
    for path in paths {
        let search = async {
            while reader.exists(path).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, search).await.expect(path);
    }
}

/// Nothing is due in this test: only who looks finds that it is gone.
#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_remove_is_made_again(root: Group) {
    let server = ZooKeeper::shared();
    let reader = session(&root, &server, "removed").await;
    let options = format!(
        "servers = ['{}']\nroot = '/removed'\nwriter = 'a'\nrefresh = '1h'",
        server.address()
    );
    let published = Published::start(build(&options).unwrap()).await;
    let mut slots = Vec::new();
    // All, before the publisher has looked for the second time: what it finds is as it was at the first look.
    for (cluster, port) in [("x", 1), ("y", 2), ("z", 3)] {
        slots.push(published.open_in(cluster, CheckKind::Redis, port));
        let folder = format!("/v1/redis/{cluster}");
        let (node, summary) = (
            format!("{folder}/10.0.0.1:{port}"),
            format!("/v1/summary/{cluster}/a"),
        );
        until_there(&reader, &[&node]).await;
        for path in [&node, &folder] {
            reader.delete(path, None).await.unwrap();
        }
        until_there(&reader, &[&node, &summary]).await;
        reader.delete(&summary, None).await.unwrap();
        until_there(&reader, &[&summary]).await;
    }
    // The root itself, with all below it.
    let servers = server.address().parse().unwrap();
    let whole = Session::start(&root, muster_zookeeper::Options::new(servers)).unwrap();
    whole.connected().await.unwrap();
    let paths = [
        "/v1/redis/y",
        "/v1/redis/z",
        "/v1/summary/z/a",
        "/v1/reporters/a",
    ];
    let mut rest = vec!["/removed".to_owned()];
    while let Some(path) = rest.last().cloned() {
        match whole.children(&path).await.unwrap() {
            names if names.is_empty() => {
                whole.delete(&path, None).await.unwrap();
                rest.pop();
            }
            names => rest.extend(names.iter().map(|name| format!("{path}/{name}"))),
        }
    }
    until_there(&reader, &paths).await;
    whole.stop().await;
    published.stop().await;
    reader.stop().await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_stays_until_the_first_check_after_a_restart(root: Group) {
    let server = ZooKeeper::shared();
    let reader = session(&root, &server, "restart").await;
    let mut watch = FleetWatch::new(reader.clone()).unwrap();
    let before = start(&server, "restart", "a", "status").await;
    let slot = before.open(1);
    before.observe(&slot, Reason::Ok);
    until(&mut watch, "it is up", has(1, State::Up)).await;
    drop(slot);
    before.stop().await;
    let path = "/v1/redis/shop/10.0.0.1:1";
    let version = reader.read(path).await.unwrap().stat.version;

    let after = start(&server, "restart", "a", "status").await;
    let first = after.open(1);
    let second = after.open(2);
    until(&mut watch, "the second is new", has(2, State::Unknown)).await;
    let third = after.open(3);
    until(&mut watch, "the third is new", has(3, State::Unknown)).await;
    let node = reader.read(path).await.unwrap();
    assert_eq!(node.stat.version, version);
    after.observe(&first, Reason::Busy);
    until(&mut watch, "it was checked", has(1, State::Degraded)).await;
    drop((first, second, third));
    after.stop().await;
    reader.stop().await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_summary_of_a_cluster_that_goes_during_an_outage_goes_too(root: Group) {
    let mut server = ZooKeeper::start();
    let reader = session(&root, &server, "outage").await;
    let published = start(&server, "outage", "a", "status").await;
    let stays = published.open_in("stays", CheckKind::Redis, 1);
    let goes = published.open_in("goes", CheckKind::Redis, 2);
    let [of_stays, of_goes] = ["/v1/summary/stays/a", "/v1/summary/goes/a"];
    until_there(&reader, &[of_stays, of_goes]).await;
    server.kill();
    drop(goes);
    server.start_again();
    let search = async {
        // Nothing can be read while the server is away.
        while !matches!(reader.exists(of_goes).await, Ok(None)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, search).await.expect("it is removed");
    until_there(&reader, &[of_stays]).await;
    drop(stays);
    published.stop().await;
    reader.stop().await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_reporters_one_writes(root: Group) {
    let server = ZooKeeper::shared();
    let reader = session(&root, &server, "two").await;
    let mut watch = FleetWatch::new(reader.clone()).unwrap();
    let b = start(&server, "two", "b", "status").await;
    let of_b = b.open(1);
    until(&mut watch, "b writes", |fleet| is_written_by(fleet, "b")).await;
    let a = start(&server, "two", "a", "status").await;
    let of_a = a.open(1);
    a.observe(&of_a, Reason::Ok);
    until(&mut watch, "a goes first", |fleet| {
        is_written_by(fleet, "a")
    })
    .await;
    // The next write of b finds it.
    b.observe(&of_b, Reason::Ok);
    b.has_reported("another reporter").await;
    a.stop().await;
    until(&mut watch, "b takes over", |fleet| {
        is_written_by(fleet, "b")
    })
    .await;
    b.stop().await;
    reader.stop().await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_there_as_long_as_the_instance_is_up(root: Group) {
    let server = ZooKeeper::shared();
    let reader = session(&root, &server, "up").await;
    for (mode, path, part) in [
        ("ephemeral", "/v1/up/shop/10.0.0.1:1", "\"state\":\"up\""),
        ("nerve", "/shop/10.0.0.1:1", "\"port\":1"),
        ("jodis", "/shop/proxy-10.0.0.1:1", "\"state\":\"online\""),
    ] {
        let published = start(&server, "up", "a", mode).await;
        let slot = published.open(1);
        // As many checks as a verdict takes.
        let becomes = async |reason: Reason, up: bool| {
            let search = async {
                while reader.exists(path).await.unwrap().is_some() != up {
                    published.observe(&slot, reason);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, search).await.expect(path);
        };
        becomes(Reason::Ok, true).await;
        let node = reader.read(path).await.unwrap();
        assert!(String::from_utf8(node.data).unwrap().contains(part));
        assert!(node.stat.owner.is_some());
        becomes(Reason::Refused, false).await;
        becomes(Reason::Ok, true).await;
        published.stop().await;
        reader.sync().await.unwrap();
        assert_eq!(reader.exists(path).await.unwrap(), None);
        reader
            .create_all(path, b"left".to_vec(), Mode::Persistent)
            .await
            .unwrap();
        let published = start(&server, "up", "a", mode).await;
        let slot = published.open(1);
        published.observe(&slot, Reason::Ok);
        let search = async {
            while !reader
                .read(path)
                .await
                .is_ok_and(|node| node.stat.owner.is_some())
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, search).await.expect(path);
        published.stop().await;
    }
    reader.stop().await;
    assert!(root.stop().await.is_clean());
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let errors = build(options).expect_err("options that are wrong");
        let found = errors.iter().any(|error| error.to_string().contains(want));
        assert!(found, "{options}: {errors:?}");
    };
    check("servers = []", "find a server");
    check("servers = ['a/b']", "option `root`");
    check("root = 'x'", "slash");
    check("session_timeout = '1ms'", "400ms");
    check("refresh = '10ms'", "at least 1s");
    check("password = 'x'", "missing beside the password");
    check("mode = 'x'", "mode");
    check("tls_cert = 'x'", "a certificate needs its key");
    check("server = ['a']", "unknown option `server`");
}
