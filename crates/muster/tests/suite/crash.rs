//! kill -9 at any moment: the desired state is never half a change and never an unacknowledged past.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use muster_testkit::{Agent, Response, request_unix};
use serde_json::{Value, json};

use super::support::{Random, agent, alone};

const KILLS: usize = 100;
const CLIENTS: usize = 3;

/// Components that every change of a client writes, and those that come and go.
const PAIRED: usize = 3;
const PASSING: u64 = 4;

/// The components of one client after its change number `n`: all that are paired carry `n`, and
/// of those that come and go there are the ones whose bit is set. A half change shows in both.
fn model(client: usize, n: u64) -> BTreeMap<String, u64> {
    let paired = (0..PAIRED).map(|part| (format!("c{client}-part{part}"), n));
    let passing = (0..PASSING).filter(|bit| (n >> bit) & 1 == 1);
    let passing = passing.map(|bit| (format!("c{client}-pass{bit}"), n >> bit));
    if n == 0 {
        BTreeMap::new()
    } else {
        paired.chain(passing).collect()
    }
}

/// The change from `n - 1` to `n`.
fn change(client: usize, n: u64) -> Value {
    let (before, after) = (model(client, n - 1), model(client, n));
    let mut steps: Vec<Value> = Vec::new();
    for (id, value) in &after {
        let options = json!({"interval": "1h", "metric_name": format!("v{value}")});
        let op = if before.contains_key(id) {
            "set"
        } else {
            "add"
        };
        steps.push(
            json!({"op": op, "kind": "input", "id": id, "plugin": "mock", "options": options}),
        );
    }
    for id in before.keys().filter(|id| !after.contains_key(*id)) {
        steps.push(json!({"op": "remove", "kind": "input", "id": id}));
    }
    json!({"changes": steps})
}

/// What one client knows.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Its last change that was acknowledged.
    acknowledged: u64,
    /// Its last change that was sent.
    sent: u64,
    /// The generation of the last answer.
    generation: u64,
}

/// Sends changes until the agent is gone.
fn stream(socket: &Path, client: usize, known: &Mutex<Known>, over: &AtomicBool) {
    while !over.load(Relaxed) {
        let n = {
            let mut known = known.lock().unwrap();
            known.sent = known.acknowledged + 1;
            known.sent
        };
        let body = change(client, n).to_string();
        let headers = ["Content-Type: application/json"];
        match request_unix(socket, "POST", "/api/v1/changes", &headers, &body) {
            Some(Response {
                status: 200, body, ..
            }) => {
                // An answer that the kill cut in two acknowledges nothing.
                let Ok(answer) = serde_json::from_str::<Value>(&body) else {
                    return;
                };
                let mut known = known.lock().unwrap();
                known.acknowledged = n;
                known.generation = answer["generation"].as_u64().unwrap();
            }
            Some(refused) if refused.status != 503 => {
                panic!(
                    "client {client}, change {n}: {} {}",
                    refused.status, refused.body
                )
            }
            _ => return,
        }
    }
}

/// What is desired now, by client.
fn desired(agent: &Agent) -> (u64, Vec<BTreeMap<String, u64>>) {
    let mut states = vec![BTreeMap::new(); CLIENTS];
    for input in agent.get("/api/v1/inputs").as_array().unwrap() {
        let id = input["id"].as_str().unwrap().to_owned();
        let client: usize = id[1..2].parse().unwrap();
        let name = input["options"]["metric_name"].as_str().unwrap();
        states[client].insert(id, name[1..].parse().unwrap());
    }
    (
        agent.get("/api/v1/status")["generation"].as_u64().unwrap(),
        states,
    )
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_generation() {
    let _alone = alone();
    let mut random = Random::new();
    let mut agent = agent("[[outputs.discard]]\nid = \"out\"\n").start();
    let known: Vec<_> = (0..CLIENTS)
        .map(|_| Arc::new(Mutex::new(Known::default())))
        .collect();
    let (mut in_doubt, mut kept) = (0, 0);
    let (mut first, _) = desired(&agent);
    for round in 0..KILLS {
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = known
            .iter()
            .enumerate()
            .map(|(client, known)| {
                let (socket, known, over) = (agent.socket(), Arc::clone(known), Arc::clone(&over));
                thread::spawn(move || stream(&socket, client, &known, &over))
            })
            .collect();
        thread::sleep(Duration::from_micros(random.below(250_000)));
        agent.kill();
        over.store(true, Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        if round % 4 == 0 {
            // A second kill, while it starts.
            agent.launch();
            thread::sleep(Duration::from_micros(random.below(150_000)));
            agent.kill();
        }
        agent.restart();
        let (generation, states) = desired(&agent);
        let mut changes = 0;
        for (client, state) in states.iter().enumerate() {
            let mut known = known[client].lock().unwrap();
            let found = [known.acknowledged, known.sent]
                .into_iter()
                .find(|n| model(client, *n) == *state)
                .unwrap_or_else(|| {
                    panic!("round {round}, client {client}: {known:?} but {state:?}")
                });
            assert!(
                generation >= known.generation,
                "round {round}: {generation} after {known:?}"
            );
            if known.sent > known.acknowledged {
                in_doubt += 1;
                kept += usize::from(found == known.sent);
            }
            known.acknowledged = found;
            known.sent = found;
            changes += found;
        }
        if round == 0 {
            first = generation - changes;
        }
        assert_eq!(
            generation,
            first + changes,
            "round {round}: each change is one generation"
        );
    }
    let total: u64 = known
        .iter()
        .map(|known| known.lock().unwrap().acknowledged)
        .sum();
    eprintln!(
        "{KILLS} kills, {total} changes; of {in_doubt} that were not acknowledged {kept} were kept, all whole"
    );
    assert!(total > KILLS as u64, "hardly anything was changed");
}
