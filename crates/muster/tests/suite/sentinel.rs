//! Checks of real Redis servers, by the real binary.

use std::process::Command;
use std::time::Duration;

use muster_testkit::{Agent, Etcd, Process, Redis, eventually};
use serde_json::{Value, json};

use super::support::{TO_FILE, agent, beside};

const BINARY: &str = env!("CARGO_BIN_EXE_muster");

/// An agent that gathers nothing and checks these servers under the ID `cache`.
fn config(servers: &[&str]) -> String {
    let servers = json!(servers);
    format!(
        "[agent]\ninterval = \"200ms\"\nflush_interval = \"100ms\"\n{TO_FILE}\
         [[sentinel.redis]]\nid = \"cache\"\nservers = {servers}\ncluster = \"shop\"\n\
         interval = \"100ms\"\ntimeout = \"100ms\"\ndown_after = \"0s\"\n"
    )
}

/// What the API says of an instance of a check.
fn status(agent: &Agent, check: &str, address: &str) -> Option<Value> {
    let view = agent.get(&format!("/api/v1/checks/{check}"));
    let id = format!("redis:{address}");
    let mut instances = view["instances"].as_array()?.iter();
    instances.find(|i| i["id"] == *id).cloned()
}

fn wait_for_state(agent: &Agent, check: &str, address: &str, state: &str) -> Value {
    eventually(&format!("{address} is {state}"), || {
        status(agent, check, address).filter(|instance| instance["status"]["state"] == *state)
    })
}

#[test]
fn an_agent_checks_redis_and_shows_how_it_stands() {
    let _beside = beside();
    let mut first = Redis::start();
    let address = first.address();
    let agent = agent(&config(&[&address])).start();
    let up = wait_for_state(&agent, "cache", &address, "up");
    assert_eq!(up["status"]["instance"]["cluster"], "shop");
    first.kill();
    let down = wait_for_state(&agent, "cache", &address, "down");
    assert_eq!(down["status"]["reason"], "refused");
    first.restart(&[]);
    let back = wait_for_state(&agent, "cache", &address, "up");
    let states: Vec<&str> = back["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|transition| transition["to"].as_str().unwrap())
        .collect();
    let mut want = ["up", "down", "up"].iter();
    let mut next = want.next();
    for state in states {
        if Some(&state) == next {
            next = want.next();
        }
    }
    assert_eq!(next, None, "{back}");
    let lists = agent.cli(&["check", "ls"]);
    assert!(
        lists.out.contains(&address) && lists.out.contains("up"),
        "{lists:?}"
    );
    let shows = agent.cli(&["check", "show", "cache"]);
    assert!(shows.out.contains("[[sentinel.redis]]"), "{shows:?}");
    eventually("metrics say that it was down", || {
        agent.read("out").contains("up=0i").then_some(())
    });
}

#[test]
fn checks_come_and_go_while_the_others_run_on() {
    let _beside = beside();
    let (first, second) = (Redis::start(), Redis::start());
    let (one, two) = (first.address(), second.address());
    let mut agent = agent(&config(&[&one])).start();
    let before = wait_for_state(&agent, "cache", &one, "up");
    let servers = format!("servers=[\"{two}\"]");
    let added = agent.cli(&["check", "add", "redis", "--id", "more", &servers]);
    assert_eq!(added.code, Some(0), "{added:?}");
    wait_for_state(&agent, "more", &two, "up");
    // An instance is checked once.
    let again = format!("servers=[\"{one}\"]");
    let refused = agent.cli(&["check", "add", "redis", "--id", "again", &again]);
    assert!(
        refused.code == Some(3) && refused.err.contains("checks/cache"),
        "{refused:?}"
    );
    // A change of options keeps what is known.
    let set = agent.cli(&["check", "set", "cache", "interval=50ms", "timeout=50ms"]);
    assert_eq!(set.code, Some(0), "{set:?}");
    let after = eventually("checked at the new interval", || {
        status(&agent, "cache", &one).filter(|i| i["status"]["interval_ms"] == 50)
    });
    assert_eq!(after["status"]["since_ms"], before["status"]["since_ms"]);
    assert_eq!(after["transitions"], before["transitions"]);
    // What was added survives a kill; what was removed stays away.
    agent.kill();
    agent.restart();
    wait_for_state(&agent, "more", &two, "up");
    let removed = agent.cli(&["check", "rm", "more"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(agent.get("/api/v1/checks").as_array().unwrap().len(), 1);
}

#[test]
fn a_single_round_tells_by_its_exit_code() {
    let _beside = beside();
    let redis = Redis::start();
    let up = redis.address();
    let run = |servers: &[&str], more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("sentinel").arg("--once").args(more);
        for server in servers {
            command.arg("--redis").arg(server);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let socket = format!("unix://{}", redis.socket());
    let (code, text) = run(&[&up, &socket], &[]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&[&up, "127.0.0.1:1"], &["--json"]);
    assert_eq!(code, Some(1), "{text}");
    let all: Value = serde_json::from_str(&text).unwrap();
    let state = |port: u64| {
        let mut documents = all.as_array().unwrap().iter();
        let document = documents.find(|d| d["instance"]["port"] == port);
        document.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (state(1).as_str(), state(redis.port.into()).as_str()),
        ("down", "up")
    );
    // Nobody knows of a host without an address.
    let (code, text) = run(&[&up, "no-such-host.invalid:6379"], &[]);
    assert_eq!(code, Some(2), "{text}");
    let (code, _) = run(&["unix://"], &[]);
    assert_ne!(code, Some(0));
}

/// What etcd has at a key.
fn in_etcd(server: &Etcd, key: &str) -> Option<Value> {
    serde_json::from_str(&server.value(key)?).ok()
}

#[test]
fn etcd_says_what_the_checks_find() {
    let _beside = beside();
    let (mut redis, mut etcd) = (Redis::start(), Etcd::start());
    let address = redis.address();
    let publisher = format!(
        "[sentinel.etcd]\nid = \"centre\"\nendpoints = [\"{}\"]\nroot = \"/prod\"\nwriter = \"w\"\nttl = \"2s\"\n",
        etcd.address()
    );
    let mut agent = agent(&(config(&[&address]) + &publisher)).start();
    let key = format!("/prod/v1/redis/shop/{address}");
    let becomes = |etcd: &Etcd, state: &str| {
        eventually(&format!("etcd says {state}"), || {
            in_etcd(etcd, &key).filter(|document| document["state"] == state)
        })
    };
    let document = becomes(&etcd, "up");
    assert_eq!(document["writer"]["id"], "w");
    let listed = agent.cli(&["publisher", "ls"]);
    assert!(listed.out.contains("etcd"), "{listed:?}");
    let shown = agent.cli(&["publisher", "show", "centre"]);
    assert!(shown.out.contains("[[sentinel.etcd]]"), "{shown:?}");
    let watch = |place: &str| {
        let mut command = Command::new(BINARY);
        command.args(["sentinel", "watch", "--once", "--etcd", place]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let place = format!("{}/prod", etcd.address());
    let (code, table) = watch(&place);
    assert_eq!(code, Some(0), "{table}");
    assert!(
        table.contains(&address) && table.contains("fresh"),
        "{table}"
    );

    // Redis goes while etcd is not there.
    etcd.kill();
    redis.kill();
    wait_for_state(&agent, "cache", &address, "down");
    etcd.start_again();
    becomes(&etcd, "down");
    let reporter = "/prod/v1/reporters/w";
    eventually("somebody looks", || in_etcd(&etcd, reporter));
    // It is gone with the agent, at once.
    assert_eq!(agent.stop(Duration::from_secs(30)), Some(0));
    assert_eq!(in_etcd(&etcd, reporter), None);
    assert_eq!(in_etcd(&etcd, &key).unwrap()["state"], "down");
    let (_, table) = watch(&place);
    assert!(table.contains("nobody looks"), "{table}");
}

#[test]
fn a_sentinel_of_its_own_writes_to_etcd() {
    let _beside = beside();
    let (redis, etcd) = (Redis::start(), Etcd::start());
    let address = redis.address();
    let mut command = Command::new(BINARY);
    command
        .args(["sentinel", "--redis", &address, "--interval", "100ms"])
        .args(["--cluster", "c", "--etcd", &etcd.address()]);
    let folder = tempfile::tempdir().unwrap();
    let mut sentinel = Process::start(command, folder.path(), "muster");
    eventually("etcd says up", || {
        let document = in_etcd(&etcd, &format!("/muster/v1/redis/c/{address}"))?;
        (document["state"] == "up").then_some(())
    });
    sentinel.signal("TERM");
    assert!(sentinel.wait_end(Duration::from_secs(30)).success());
    assert!(etcd.keys("/muster/v1/reporters/").is_empty());
    assert_eq!(etcd.keys("/muster/").len(), 1);
}
