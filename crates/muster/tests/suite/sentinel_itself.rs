//! The sentinel's own health: its own pause is blamed on nobody, and `muster leaks` finds nothing in it.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use muster_testkit::{Agent, Redis, ZooKeeper, eventually_within};
use serde_json::Value;

use super::support::{TO_FILE, agent, beside};

const BINARY: &str = env!("CARGO_BIN_EXE_muster");

/// An agent whose check `cache` looks after these servers ten times a second.
fn config(servers: &[&Redis]) -> String {
    let servers: Vec<String> = servers.iter().map(|redis| redis.address()).collect();
    format!(
        "[agent]\ninterval = \"200ms\"\nflush_interval = \"100ms\"\n{TO_FILE}\
         [[sentinel.redis]]\nid = \"cache\"\nservers = {servers:?}\ninterval = \"100ms\"\n\
         timeout = \"100ms\"\nfall = 3\ndown_after = \"4s\"\n"
    )
}

/// What the API says of an instance.
fn instance(agent: &Agent, redis: &Redis) -> Option<Value> {
    let view = agent.get("/api/v1/checks/cache");
    let id = format!("redis:{}", redis.address());
    let mut instances = view["instances"].as_array()?.iter();
    instances.find(|i| i["id"] == *id).cloned()
}

/// Waits until the status of an instance is as told.
fn wait_for(agent: &Agent, redis: &Redis, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually_within(Duration::from_secs(60), what, || {
        let status = instance(agent, redis)?["status"].clone();
        is(&status).then_some(status)
    })
}

fn is_up(status: &Value) -> bool {
    status["state"] == "up" && status["reason"] == "ok"
}

/// The host stands still, and the sentinel wakes up before the servers do.
#[test]
fn nobody_is_blamed_for_our_own_pause() {
    let _beside = beside();
    let (first, second, mut dies) = (Redis::start(), Redis::start(), Redis::start());
    let agent = agent(&config(&[&first, &second, &dies])).start();
    let seq = |status: &Value| status["seq"].as_u64().unwrap();
    let before = [&first, &second, &dies].map(|redis| {
        let status = wait_for(&agent, redis, "it is up", is_up);
        (redis, seq(&status))
    });
    agent.process.signal("STOP");
    first.freeze();
    second.freeze();
    // Longer than `down_after`, and than what counts as a pause.
    sleep(Duration::from_secs(5));
    agent.process.signal("CONT");
    // By then more checks have failed than it takes to be down.
    for (redis, before) in before {
        wait_for(&agent, redis, "six checks", |status| {
            seq(status) >= before + 6
        });
    }
    first.thaw();
    second.thaw();
    for redis in [&first, &second, &dies] {
        wait_for(&agent, redis, "the pause is over", |status| {
            status["tilt"] == false && is_up(status)
        });
        let instance = instance(&agent, redis).unwrap();
        let transitions = instance["transitions"].as_array().unwrap();
        let told = |key: &str, word: &str| transitions.iter().any(|t| t[key] == word);
        assert!(
            told("reason", "tilt") && !told("to", "down") && !told("to", "flapping"),
            "{instance}"
        );
        let port = redis.port.to_string();
        let blames = |line: &&str| line.contains(&port) && line.contains(" up=0i");
        let out = agent.read("out");
        assert_eq!(out.lines().find(blames), None);
    }
    // Who really dies is still found.
    dies.kill();
    let dead = wait_for(&agent, &dies, "it is down", |status| {
        status["state"] == "down"
    });
    assert_eq!(dead["reason"], "refused");
}

/// Starts `muster leaks` on an agent.
fn watch(agent: &Agent, length: &str) -> Child {
    let mut command = Command::new(BINARY);
    command
        .args(["leaks", &format!("127.0.0.1:{}", agent.port)])
        .args(["--ci", "--every", "400ms", "--for", length, "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What it says of the agent, and its exit code.
fn verdict(leaks: Child) -> (Option<i32>, Value) {
    let output = leaks.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let verdict = serde_json::from_str::<Value>(&text).unwrap_or_else(|error| {
        panic!(
            "{error}: {text} {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (output.status.code(), verdict["targets"][0].clone())
}

#[test]
fn leaks_finds_nothing_in_an_agent_that_checks() {
    let _beside = beside();
    let (stays, mut fails, mut zookeeper) = (Redis::start(), Redis::start(), ZooKeeper::start());
    let publishers = format!(
        "[sentinel.zookeeper]\nservers = [\"{}\"]\nsession_timeout = \"4s\"\nwrite_every_check = true\n\
         [sentinel.file]\npath = \"{{dir}}/states.json\"\n",
        zookeeper.address()
    );
    let agent = agent(&(config(&[&stays, &fails]) + &publishers)).start();
    for redis in [&stays, &fails] {
        wait_for(&agent, redis, "it is up", is_up);
    }
    let mut leaks = watch(&agent, "20s");
    // Meanwhile what is checked fails again and again, and so does ZooKeeper.
    let begun = Instant::now();
    while leaks.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60) {
        fails.kill();
        zookeeper.kill();
        let state = |word: &'static str| move |status: &Value| status["reason"] == word;
        wait_for(&agent, &fails, "it is refused", state("refused"));
        fails.restart(&[]);
        zookeeper.start_again();
        wait_for(&agent, &fails, "it answers again", state("ok"));
    }
    let (code, verdict) = verdict(leaks);
    assert_eq!(code, Some(0), "{verdict:#}");
    assert_eq!(verdict["status"], "clean", "{verdict:#}");
    assert!(verdict["samples"].as_u64() >= Some(20), "{verdict:#}");
    // Neither does what watches inside.
    assert_eq!(agent.get("/api/v1/leaks"), Value::Array(Vec::new()));
}

#[test]
fn leaks_names_the_line_in_an_agent_whose_tasks_become_more_and_more() {
    let _beside = beside();
    let redis = Redis::start();
    let agent = agent(&config(&[&redis])).start();
    wait_for(&agent, &redis, "it is up", is_up);
    let mut leaks = watch(&agent, "8s");
    // Clients that open connections to its API and forget them; 256 are the most.
    let mut forgotten = Vec::new();
    while leaks.try_wait().unwrap().is_none() {
        if forgotten.len() < 200 {
            forgotten.push(TcpStream::connect(("127.0.0.1", agent.port)).unwrap());
        }
        sleep(Duration::from_millis(50));
    }
    let (code, verdict) = verdict(leaks);
    assert_eq!(code, Some(1), "{verdict:#}");
    let site = &verdict["suspects"][0]["blocks_at"];
    assert_eq!(site["function"], "muster/api.connection", "{verdict:#}");
}
