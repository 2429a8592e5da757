//! What the checks find goes to ZooKeeper over TLS.

use std::process::Command;
use std::time::Duration;

use muster_testkit::{Certificates, Process, Redis, ZooKeeper, eventually_within};
use serde_json::Value;

use super::support::{agent, beside};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn statuses_go_to_zookeeper_over_tls() {
    let _beside = beside();
    let (redis, certificates) = (Redis::start(), Certificates::of_server(&["localhost"]));
    let (server, port) = ZooKeeper::start_secure(&certificates);
    let path = |name| certificates.path(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let checks = format!(
        "[[sentinel.redis]]\nservers = [\"{}\"]\ncluster = \"shop\"\ninterval = \"100ms\"\n\
         timeout = \"100ms\"\n",
        redis.address()
    );
    let publisher = format!(
        "[sentinel.zookeeper]\nservers = [\"localhost:{port}\"]\nroot = \"/prod\"\n\
         tls_ca = \"{ca}\"\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\n"
    );
    let agent = agent(&(checks + &publisher)).start();
    // Read without TLS, at the server's other port.
    let servers = format!("{}/prod", server.address());
    let words = [
        "sentinel",
        "watch",
        "--once",
        "--json",
        "--zookeeper",
        &servers,
    ];
    eventually_within(PATIENCE, "the fleet shows it", || {
        let seen = agent.cli(&words);
        // A server on a busy machine may take longer than the command waits.
        let all: Value = serde_json::from_str(&seen.out).ok()?;
        let up = |document: &Value| document["state"] == "up";
        all.as_array()?.iter().any(up).then_some(())
    });
}

#[test]
fn a_sentinel_of_its_own_writes_to_zookeeper_over_tls() {
    let _beside = beside();
    let (redis, certificates) = (Redis::start(), Certificates::of_server(&["localhost"]));
    let (_server, port) = ZooKeeper::start_secure(&certificates);
    let path = |name| certificates.path(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let place = [
        "--zookeeper",
        &format!("localhost:{port}/own"),
        "--zookeeper-ca",
        &ca,
        "--zookeeper-cert",
        &cert,
        "--zookeeper-key",
        &key,
    ]
    .map(str::to_owned);
    let muster = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.arg("sentinel").args(words).args(&place);
        command
    };
    let folder = tempfile::tempdir().unwrap();
    let checks = muster(&["--redis", &redis.address(), "--interval", "100ms"]);
    let _sentinel = Process::start(checks, folder.path(), "muster");
    eventually_within(PATIENCE, "the fleet shows it", || {
        let seen = muster(&["watch", "--once", "--json"]).output().unwrap();
        let all: Value = serde_json::from_slice(&seen.stdout).ok()?;
        let up = |document: &Value| document["state"] == "up";
        all.as_array()?.iter().any(up).then_some(())
    });
}
