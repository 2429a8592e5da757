//! Metrics that wait on disk outlive the agent, and a disk that is full.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use muster_testkit::{Agent, eventually, eventually_within, free_ports};
use serde_json::json;

use super::full_disk::SmallDisk;
use super::output_down::{Recorder, gather_more};
use super::support::{Ask, FAST, Random, agent, assert_gapless, beside, mock, written};

const BOUND: Duration = Duration::from_secs(6);

/// No metric of these tests takes more room on disk.
const MOST_BYTES: u64 = 100;

/// An agent's configuration whose input is `m` and whose output waits on disk.
fn config(port: u16, input: &str) -> String {
    format!(
        "{FAST}buffer_strategy = \"disk_write_through\"\n\
         [[outputs.influxdb]]\nid = \"influx\"\nurls = [\"http://127.0.0.1:{port}\"]\n\
         database = \"test\"\nskip_database_creation = true\ncontent_encoding = \"identity\"\n\
         retry_backoff_max = \"1s\"\nmetric_batch_size = 7\n{}",
        mock("m", "interval = \"10ms\"").replace("n = \"m\"", &format!("n = \"{input}\""))
    )
}

/// Waits until so many metrics more are on disk.
fn more_on_disk(state: &Path, metrics: u64) {
    let folder = state.join("buffers/influx");
    let size = || -> u64 {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        sizes.sum()
    };
    let wanted = size() + metrics * MOST_BYTES;
    eventually("metrics on disk", || (size() >= wanted).then_some(()));
}

fn waiting(agent: &Agent) -> u64 {
    agent.component("outputs", "influx")["queue"]["metrics"]
        .as_u64()
        .unwrap()
}

/// Waits until nothing of earlier runs waits, stops the agent and returns what was received.
fn receive_all(agent: &mut Agent, lines: &Mutex<String>) -> String {
    eventually("all is written", || (waiting(agent) < 10).then_some(()));
    assert_eq!(agent.stop(BOUND), Some(0), "{}", agent.log());
    lines.lock().unwrap().clone()
}

#[test]
fn what_waits_survives_a_kill_and_a_stop() {
    let _beside = beside();
    let [port] = free_ports();
    let mut agent = agent(&config(port, "killed")).start();
    let state = agent.path("state");
    more_on_disk(&state, 50);
    agent.kill();

    agent.set_config(&config(port, "stopped"));
    agent.restart();
    assert!(waiting(&agent) >= 50);
    gather_more(&agent, 50);
    // Nothing is lost by the stop: it is no failure.
    assert_eq!(agent.stop(BOUND), Some(0), "{}", agent.log());

    let lines = Arc::new(Mutex::new(String::new()));
    agent.set_config(&config(port, "last"));
    let recorder = Recorder::start(port, Arc::clone(&lines));
    agent.restart();
    // What is gathered last may stay on disk at the stop, as everything may.
    eventually("some of each have come", || {
        let text = lines.lock().unwrap();
        let seen = written(&text);
        seen.get("last").filter(|last| last.len() >= 10).map(|_| ())
    });
    let text = receive_all(&mut agent, &lines);
    recorder.stop();
    let seen = written(&text);
    for (input, least) in [("killed", 50), ("stopped", 50), ("last", 10)] {
        // The input goes on counting where it was when its state was last kept.
        assert_gapless(input, &seen[input], seen[input][0].sequence);
        assert!(seen[input].len() >= least, "{input}: {}", seen[input].len());
    }
    let first = |input: &str| text.find(&format!("n={input}")).unwrap();
    let last = |input: &str| text.rfind(&format!("n={input}")).unwrap();
    assert!(last("killed") < first("stopped") && last("stopped") < first("last"));
}

#[test]
fn a_kill_while_it_writes_doubles_at_most_a_batch() {
    let _beside = beside();
    let mut random = Random::new();
    let [port] = free_ports();
    let lines = Arc::new(Mutex::new(String::new()));
    let recorder = Recorder::start(port, Arc::clone(&lines));
    let mut agent = agent(&config(port, "r0")).start();
    const ROUNDS: usize = 8;
    for round in 1..=ROUNDS {
        let name = format!("n=r{}", round - 1);
        eventually("metrics of this round", || {
            lines.lock().unwrap().contains(&name).then_some(())
        });
        thread::sleep(Duration::from_micros(random.below(200_000)));
        agent.kill();
        agent.set_config(&config(port, &format!("r{round}")));
        agent.restart();
    }
    gather_more(&agent, 10);
    let text = receive_all(&mut agent, &lines);
    recorder.stop();
    let seen = written(&text);
    let mut doubled = 0;
    for round in 0..=ROUNDS {
        let name = format!("r{round}");
        let mut next = seen[name.as_str()][0].sequence;
        for metric in &seen[name.as_str()] {
            assert!(metric.sequence <= next, "{name}: a gap at {next}");
            doubled += usize::from(metric.sequence < next);
            next = next.max(metric.sequence + 1);
        }
    }
    eprintln!("{ROUNDS} kills doubled {doubled} metrics");
    assert!(doubled <= ROUNDS * 7, "{doubled} metrics came twice");
}

#[test]
fn a_full_disk_leaves_metrics_in_memory_until_it_has_room() {
    let _beside = beside();
    let disk = SmallDisk::mount();
    let state = disk.path().join("state");
    let [port] = free_ports();
    let mut agent = agent(&config(port, "before")).state_dir(&state).start();
    more_on_disk(&state, 20);
    let filler = disk.fill();
    eventually("the full disk is told of", || {
        let error = &agent.component("outputs", "influx")["observed"]["last_error"]["message"];
        let error = error.as_str()?;
        (error.contains("buffers/influx") && error.contains("space")).then_some(())
    });
    gather_more(&agent, 20);
    // What waits is written, from the disk and from memory.
    let lines = Arc::new(Mutex::new(String::new()));
    let recorder = Recorder::start(port, Arc::clone(&lines));
    gather_more(&agent, 20);
    eventually("all is written", || (waiting(&agent) < 10).then_some(()));
    recorder.stop();
    gather_more(&agent, 20);
    fs::remove_file(filler).unwrap();
    more_on_disk(&state, 20);
    assert!(agent.log().contains("the disk takes metrics again"));
    agent.kill();
    agent.set_config(&config(port, "after"));
    let recorder = Recorder::start(port, Arc::clone(&lines));
    agent.restart();
    gather_more(&agent, 10);
    let text = receive_all(&mut agent, &lines);
    recorder.stop();
    let seen = written(&text);
    assert_gapless("before", &seen["before"], 0);
    assert_gapless("after", &seen["after"], seen["after"][0].sequence);
    assert!(seen["before"].len() >= 80, "{}", seen["before"].len());
}

#[test]
fn an_output_that_is_removed_leaves_what_it_could_not_write() {
    let _beside = beside();
    let [port] = free_ports();
    let mut agent = agent(&config(port, "m")).start();
    let state = agent.path("state");
    more_on_disk(&state, 20);
    let output = agent.component("outputs", "influx");
    agent.change(&[json!({"op": "remove", "kind": "output", "id": "influx"})]);
    let folder = state.join("buffers/influx");
    eventually("the folder is named", || {
        let named = format!("kept in {}", folder.display());
        agent.log().contains(&named).then_some(())
    });
    assert!(folder.is_dir());
    agent.change(&[json!({"op": "remove", "kind": "input", "id": "m"})]);
    let lines = Arc::new(Mutex::new(String::new()));
    let recorder = Recorder::start(port, Arc::clone(&lines));
    agent.change(&[json!({
        "op": "add", "kind": "output", "id": "influx", "plugin": "influxdb",
        "options": output["options"],
    })]);
    eventually_within(Duration::from_secs(30), "all is written", || {
        (waiting(&agent) == 0).then_some(())
    });
    let text = receive_all(&mut agent, &lines);
    recorder.stop();
    let seen = written(&text);
    assert_gapless("m", &seen["m"], 0);
    assert!(seen["m"].len() >= 20, "{}", seen["m"].len());
}
