use muster_etcd::{Get, KeyValue, LeaseId, Range, Retry};
use muster_tasks::timeout;
use muster_testkit::Etcd;

use super::*;
use crate::document::Document;
use crate::fleet::{EtcdFleetWatch, Fleet, Freshness};
use crate::publish::Summary;
use crate::publish::testing::{PATIENCE, Published};
use crate::status::{CheckKind, Reason, State};

fn build(options: &str) -> Built<EtcdPublisher> {
    let table = toml::from_str(options).unwrap();
    EtcdPublisher::build(&BuildContext::new(&ROW, &table)?)
}

async fn start(address: &str, root: &str, writer: &str, more: &str) -> Published {
    let options = format!(
        "endpoints = ['{address}']\nroot = '/{root}'\nwriter = '{writer}'\nttl = '2s'\n\
         refresh = '5s'\n{more}"
    );
    Published::start(build(&options).unwrap()).await
}

/// What is in etcd, read by somebody else.
struct Reader {
    client: Client,
    root: &'static str,
}

impl Reader {
    fn new(server: &Etcd, root: &'static str) -> Self {
        let mut options = muster_etcd::Options::new(server.address().parse().unwrap());
        options.timeout = PATIENCE;
        let client = Client::new(options).unwrap();
        Self { client, root }
    }

    fn key(&self, path: &str) -> String {
        format!("/{}{path}", self.root)
    }

    /// Makes a call again and again until it succeeds: a server on a busy machine misses its own deadlines.
    async fn insist<T>(&self, call: impl AsyncFn(&Client) -> Result<T, muster_etcd::Error>) -> T {
        let made = async {
            loop {
                match call(&self.client).await {
                    Ok(value) => return value,
                    Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
                }
            }
        };
        timeout(PATIENCE, made).await.expect("a call")
    }

    async fn read(&self, path: &str) -> Option<KeyValue> {
        let key = self.key(path);
        let got = self.insist(async |client| client.get(Get::key(key.as_str())).await);
        got.await.kvs.into_iter().next()
    }

    async fn put(&self, path: &str, value: Vec<u8>, lease: Option<LeaseId>) {
        let key = self.key(path);
        self.insist(async |client| client.put(key.as_str(), value.clone(), lease).await)
            .await;
    }

    async fn delete(&self, range: &Range) -> u64 {
        self.insist(async |client| client.delete(range).await).await
    }

    async fn revoke(&self, lease: LeaseId) {
        self.insist(async |client| client.revoke(lease).await).await;
    }

    /// Reads a key again and again until it is so.
    async fn until(
        &self,
        path: &str,
        what: &str,
        is: impl Fn(Option<&KeyValue>) -> bool,
    ) -> Option<KeyValue> {
        let search = async {
            loop {
                let there = self.read(path).await;
                if is(there.as_ref()) {
                    return there;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let Ok(found) = timeout(PATIENCE, search).await else {
            panic!("waited in vain: {what}: {:?}", self.read(path).await);
        };
        found
    }

    /// Waits until the document of an instance is so.
    async fn document(&self, port: u16, what: &str, is: impl Fn(&Document) -> bool) -> Document {
        let path = format!("/v1/redis/shop/10.0.0.1:{port}");
        let read = |kv: &KeyValue| Document::from_json(&kv.value).ok();
        let is = |kv: Option<&KeyValue>| kv.and_then(read).is_some_and(|document| is(&document));
        let kv = self.until(&path, what, is).await;
        read(&kv.unwrap()).unwrap()
    }

    async fn state(&self, port: u16, state: State) {
        let what = format!("{port} is {state}");
        self.document(port, &what, |document| document.state == state)
            .await;
    }

    async fn reason(&self, port: u16, reason: Reason) {
        let what = format!("{port}: {reason}");
        self.document(port, &what, |document| document.reason == reason)
            .await;
    }

    /// The lease of a reporter's key; waits for one that is another than this.
    async fn lease(&self, writer: &str, than: Option<LeaseId>) -> Option<LeaseId> {
        let path = format!("/v1/reporters/{writer}");
        let is = |kv: Option<&KeyValue>| kv.is_some_and(|kv| kv.lease != than);
        self.until(&path, "a reporter", is).await.unwrap().lease
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_says_what_the_board_says() {
    let mut server = Etcd::start();
    let reader = Reader::new(&server, "fleet");
    let published = start(&server.address(), "fleet", "a", "").await;
    let slots = [1, 2].map(|port| published.open(port));
    reader.state(2, State::Unknown).await;
    slots
        .iter()
        .for_each(|slot| published.observe(slot, Reason::Ok));
    reader.state(1, State::Up).await;
    published.observe(&slots[1], Reason::Busy);
    reader.reason(2, Reason::Busy).await;
    assert!(reader.lease("a", None).await.is_some());
    let first = reader.read("/v1/redis/shop/10.0.0.1:1").await.unwrap();
    assert_eq!(first.lease, None);

    // It is written anew although nothing has changed.
    let is_later = |kv: Option<&KeyValue>| kv.is_some_and(|kv| kv.modified > first.modified);
    published.observe(&slots[0], Reason::Ok);
    let path = "/v1/redis/shop/10.0.0.1:1";
    reader.until(path, "it is refreshed", is_later).await;

    // Removed by hand, reporter and instance.
    let all = Range::prefix(reader.key("/"));
    assert!(reader.delete(&all).await >= 3);
    reader.state(1, State::Up).await;
    reader.reason(2, Reason::Busy).await;
    reader.lease("a", None).await;

    // Written while the server was gone.
    server.kill();
    published.observe(&slots[0], Reason::Busy);
    let third = published.open(3);
    published.observe(&third, Reason::Ok);
    published.has_reported("can be reached").await;
    server.start_again();
    server.wait_until_it_serves();
    let back = std::time::Instant::now();
    reader.state(3, State::Up).await;
    reader.reason(1, Reason::Busy).await;
    reader.lease("a", None).await;
    println!("everything is right {:?} after it was back", back.elapsed());

    published.stop().await;
    assert_eq!(reader.read("/v1/reporters/a").await, None);
    reader.reason(1, Reason::Busy).await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_lost_is_replaced() {
    let server = Etcd::start();
    let reader = Reader::new(&server, "lost");
    let published = start(&server.address(), "lost", "a", "mode = 'ephemeral'").await;
    let slot = published.open(1);
    published.observe(&slot, Reason::Ok);
    let up = "/v1/up/shop/10.0.0.1:1";
    let is_there = |kv: Option<&KeyValue>| kv.is_some();
    reader.until(up, "it is up", is_there).await;
    let first = reader.lease("a", None).await;
    // Revoked by hand: all that is bound to it is gone, and comes back.
    reader.revoke(first.unwrap()).await;
    let second = reader.lease("a", first).await;
    let kv = reader.until(up, "it is back", is_there).await;
    assert_eq!(kv.unwrap().lease, second);

    // The server stands still for longer than the lease lives; checks go on meanwhile.
    server.hold();
    let held = std::time::Instant::now();
    while held.elapsed() < Duration::from_secs(4) {
        published.observe(&slot, Reason::Refused);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(slot.status().seq > 20);
    server.go_on();
    let back = std::time::Instant::now();
    reader.until(up, "it is down", |kv| kv.is_none()).await;
    println!("everything is right {:?} after it went on", back.elapsed());
    let lease = reader.lease("a", None).await;
    assert!(lease.is_some());

    // It ends, whatever the server does, and leaves nothing.
    server.hold();
    published.end().await;
    server.go_on();
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_stays_until_the_first_check_after_a_restart() {
    let server = Etcd::shared();
    let reader = Reader::new(&server, "restart");
    let before = start(&server.address(), "restart", "a", "").await;
    let slot = before.open(1);
    before.observe(&slot, Reason::Ok);
    reader.state(1, State::Up).await;
    drop(slot);
    before.stop().await;
    let path = "/v1/redis/shop/10.0.0.1:1";
    let left = reader.read(path).await.unwrap();

    let after = start(&server.address(), "restart", "a", "").await;
    let first = after.open(1);
    // What is opened later is written later.
    let [_second, _third] = [2, 3].map(|port| after.open(port));
    reader.state(2, State::Unknown).await;
    reader.state(3, State::Unknown).await;
    assert_eq!(reader.read(path).await.unwrap().modified, left.modified);
    after.observe(&first, Reason::Busy);
    reader.reason(1, Reason::Busy).await;
    after.stop().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_reporters_one_writes() {
    let server = Etcd::shared();
    let reader = Reader::new(&server, "two");
    let written_by = async |writer: &'static str| {
        let is = |document: &Document| document.writer.id == writer;
        reader.document(1, writer, is).await
    };
    let b = start(&server.address(), "two", "b", "").await;
    let of_b = b.open(1);
    written_by("b").await;
    let a = start(&server.address(), "two", "a", "").await;
    let of_a = a.open(1);
    a.observe(&of_a, Reason::Ok);
    written_by("a").await;
    // The next write of b finds it.
    b.observe(&of_b, Reason::Ok);
    b.has_reported("another reporter").await;
    a.stop().await;
    written_by("b").await;
    b.stop().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_there_as_long_as_the_instance_is_up() {
    let server = Etcd::shared();
    let reader = Reader::new(&server, "up");
    for (mode, path, part) in [
        ("ephemeral", "/v1/up/shop/10.0.0.1:1", "\"state\":\"up\""),
        ("nerve", "/shop/10.0.0.1:1", "\"port\":1"),
        ("jodis", "/shop/proxy-10.0.0.1:1", "\"state\":\"online\""),
    ] {
        let mode = format!("mode = '{mode}'");
        let published = start(&server.address(), "up", "a", &mode).await;
        let slot = published.open(1);
        // As many checks as a verdict takes.
        let becomes = async |reason: Reason, up: bool| {
            let search = async {
                while reader.read(path).await.is_some() != up {
                    published.observe(&slot, reason);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, search).await.expect(path);
        };
        becomes(Reason::Ok, true).await;
        let kv = reader.read(path).await.unwrap();
        assert!(String::from_utf8(kv.value.clone()).unwrap().contains(part));
        assert_eq!(kv.lease, reader.lease("a", None).await);
        becomes(Reason::Refused, false).await;
        becomes(Reason::Ok, true).await;
        published.stop().await;
        assert_eq!(reader.read(path).await, None);

        // One that nobody is bound to, and one of ours that a kill has left, are taken over; that of another is
        // taken over when it goes.
        let other = reader
            .insist(async |client| client.grant(Duration::from_secs(3600)).await)
            .await;
        let is_ours = |kv: Option<&KeyValue>| {
            kv.is_some_and(|kv| ![None, Some(other.id)].contains(&kv.lease))
        };
        for (left, lease) in [
            ("left", None),
            ("ours", Some(other.id)),
            ("theirs", Some(other.id)),
        ] {
            let value = match left {
                "ours" => kv.value.clone(),
                left => left.into(),
            };
            reader.put(path, value, lease).await;
            let published = start(&server.address(), "up", "a", &mode).await;
            let slot = published.open(1);
            published.observe(&slot, Reason::Ok);
            let is_told = left == "theirs" || (left == "ours" && !path.starts_with("/v1"));
            if is_told {
                published.has_reported("another reporter").await;
                reader.delete(&Range::key(reader.key(path))).await;
            }
            reader.until(path, left, is_ours).await;
            published.stop().await;
        }
        reader.revoke(other.id).await;
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_written_holds_up_nobody() {
    let server = Etcd::shared();
    let reader = Reader::new(&server, "odd");
    let published = start(&server.address(), "odd", "a", "write_every_check = true").await;
    let large = "x".repeat(crate::document::MOST_BYTES);
    let too_large = published.open_in(&large, CheckKind::Redis, 7);
    let slot = published.open(1);
    published.observe(&too_large, Reason::Ok);
    published.observe(&slot, Reason::Ok);
    published.has_reported("are the most").await;
    reader.state(1, State::Up).await;
    let large = format!("/v1/redis/{large}/10.0.0.1:7");
    assert_eq!(reader.read(&large).await, None);
    // Each check is written, if that is wanted.
    published.observe(&slot, Reason::Ok);
    let seq = slot.status().seq;
    let is_written = |document: &Document| document.seq == seq;
    reader.document(1, "the last check", is_written).await;
    drop((slot, too_large));
    published.stop().await;

    // Two instances that share a key.
    let published = start(&server.address(), "odd", "a", "mode = 'ephemeral'").await;
    for (kind, port) in [
        (CheckKind::Redis, 1),
        (CheckKind::Tcp, 1),
        (CheckKind::Redis, 2),
    ] {
        let slot = published.open_in("shop", kind, port);
        published.observe(&slot, Reason::Ok);
        let path = format!("/v1/up/shop/10.0.0.1:{port}");
        reader.until(&path, "it is up", |kv| kv.is_some()).await;
    }
    published.stop().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_servers_is_told_once() {
    let server = Etcd::start();
    server.want_login("pw");
    let wrong = "username = 'root'\npassword = 'no'";
    let published = start(&server.address(), "x", "a", wrong).await;
    published.has_reported("login is refused").await;
    published.stop().await;
    let right = "username = 'root'\npassword = 'pw'";
    let published = start(&server.address(), "x", "a", right).await;
    let slot = published.open(1);
    published.observe(&slot, Reason::Ok);
    let mut options = muster_etcd::Options::new(server.address().parse().unwrap());
    options.login = Some(Login {
        user: "root".to_owned(),
        password: Secret::new("pw"),
    });
    let (client, root) = (Client::new(options).unwrap(), "x");
    Reader { client, root }.state(1, State::Up).await;
    drop(slot);
    published.stop().await;

    // Nobody there; and somebody who says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    for (address, words) in [("127.0.0.1:1", "can be reached"), (&mute, "no answer")] {
        let published = start(address, "x", "a", "timeout = '100ms'").await;
        let slot = published.open(1);
        published.observe(&slot, Reason::Ok);
        published.has_reported(words).await;
        published.stop().await;
    }
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let errors = build(options).expect_err("options that are wrong");
        let found = errors.iter().any(|error| error.to_string().contains(want));
        assert!(found, "{options}: {errors:?}");
    };
    check("endpoints = []", "find a server");
    check("endpoints = ['a/b']", "option `root`");
    check("endpoints = ['a:0']", "no number");
    check("root = 'x'", "slash");
    check("ttl = '1ms'", "1s");
    check("timeout = '0s'", "more than 0s");
    check("refresh = '10ms'", "at least 1s");
    check("password = 'x'", "missing beside the password");
    check("username = 'x'", "missing beside the username");
    check("mode = 'x'", "mode");
    check("tls_cert = 'x'", "needs its key");
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_is_read_live() {
    let server = Etcd::start();
    let reader = Reader::new(&server, "live");
    let mut watch = EtcdFleetWatch::new(reader.client.clone(), "/live");
    assert!(watch.next().await.unwrap().members.is_empty());
    let published = start(&server.address(), "live", "a", "").await;
    let slot = published.open(1);
    published.observe(&slot, Reason::Ok);
    let path = "/v1/redis/shop/10.0.0.1:1";
    let mut until = async |what: &str, is: &dyn Fn(&Fleet) -> bool| {
        let search = async {
            while !is(watch.fleet()) {
                watch.next().await.unwrap();
            }
        };
        let found = timeout(PATIENCE, search).await;
        assert!(found.is_ok(), "waited in vain: {what}: {:?}", watch.fleet());
        Arc::clone(watch.fleet())
    };
    let fleet = until("it is up, and somebody looks", &|fleet| {
        let member = fleet.members.get(path);
        let is_up = member.is_some_and(|member| member.document.state == State::Up);
        is_up && fleet.reporters.contains_key("a")
    })
    .await;
    let member = &fleet.members[path];
    let now = member.written_ms;
    assert_eq!(fleet.freshness(member, now), Freshness::Fresh);
    published.stop().await;
    let fleet = until("nobody looks", &|fleet| fleet.reporters.is_empty()).await;
    assert_eq!(
        fleet.freshness(&fleet.members[path], now),
        Freshness::NoReporter
    );
    // One that begins later reads the same.
    let mut later = EtcdFleetWatch::new(reader.client.clone(), "/live");
    assert_eq!(later.next().await.unwrap(), fleet);
    reader.delete(&Range::key(reader.key(path))).await;
    until("it is forgotten", &|fleet| fleet.members.is_empty()).await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cluster_is_told_in_sum() {
    let server = Etcd::shared();
    let reader = Reader::new(&server, "sum");
    let published = start(&server.address(), "sum", "a", "").await;
    let path = "/v1/summary/shop/a";
    let becomes = async |up: u64, degraded: u64| {
        let read = |kv: &KeyValue| serde_json::from_slice::<Summary>(&kv.value).ok();
        let is = |sum: Summary| (sum.up, sum.degraded, sum.unknown) == (up, degraded, 0);
        let is = |kv: Option<&KeyValue>| kv.and_then(read).is_some_and(is);
        reader.until(path, "the sum", is).await.unwrap()
    };
    let [first, second, third] = [1, 2, 3].map(|port| published.open(port));
    published.observe(&first, Reason::Ok);
    published.observe(&second, Reason::Ok);
    published.observe(&third, Reason::Busy);
    let kv = becomes(2, 1).await;
    assert_eq!(kv.lease, reader.lease("a", None).await);
    // Removed by hand.
    reader.delete(&Range::key(reader.key(path))).await;
    becomes(2, 1).await;
    drop((second, third));
    becomes(1, 0).await;
    drop(first);
    reader.until(path, "no instance", |kv| kv.is_none()).await;
    published.stop().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_told_if_that_is_wanted() {
    let server = Etcd::shared();
    let reader = Reader::new(&server, "end");
    let told = async {
        // A server on a busy machine may not take it within half a second.
        loop {
            let published = start(&server.address(), "end", "a", "unknown_on_stop = true").await;
            let slot = published.open(1);
            published.observe(&slot, Reason::Ok);
            reader.state(1, State::Up).await;
            published.end().await;
            let last = reader.document(1, "it is there", |_| true).await;
            if last.reason == Reason::Stopped {
                return last;
            }
        }
    };
    let told = timeout(PATIENCE, Box::pin(told)).await;
    let last = told.expect("the end is told");
    assert_eq!((last.state, last.writer.id.as_str()), (State::Unknown, "a"));
    assert_eq!(reader.read("/v1/reporters/a").await, None);
}
