//! Signals, restarts, reloads: what runs on is not touched, what is told survives.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use muster_testkit::{Agent, eventually};
use serde_json::{Value, json};

use super::support::{
    Ask, FAST, TO_FILE, agent, assert_gapless, beside, mock, mock_options, step, written,
};

const BOUND: Duration = Duration::from_secs(20);

/// An output that writes only when told to.
const LATER: &str = "
[[outputs.file]]
id = \"out\"
files = [\"{dir}/out\"]
flush_interval = \"1h\"
";

fn gathered(agent: &Agent, id: &str) -> u64 {
    agent.component("inputs", id)["observed"]["metrics"]
        .as_u64()
        .unwrap()
}

#[test]
fn sigterm_writes_what_waits_and_ends_in_bounded_time() {
    let _beside = beside();
    let mut agent = agent(&format!("{FAST}{LATER}{}", mock("m", ""))).start();
    let count = eventually("gathers", || {
        Some(gathered(&agent, "m")).filter(|count| *count >= 10)
    });
    assert_eq!(agent.read("out"), "");
    let begin = Instant::now();
    assert_eq!(
        agent.stop(Duration::from_secs(6)),
        Some(0),
        "{}",
        agent.log()
    );
    eprintln!("the stop took {:.1?}", begin.elapsed());
    let text = agent.read("out");
    let seen = &written(&text)["m"];
    assert!(seen.len() as u64 >= count, "{} of {count}", seen.len());
    assert_gapless("m", seen, 0);
}

#[test]
fn a_stop_is_bounded_whatever_plugins_do_and_says_what_is_left() {
    let _beside = beside();
    let config = format!(
        "{FAST}stop_timeout = \"2s\"\n{TO_FILE}\
         [[outputs.http]]\nid = \"dead\"\nurl = \"http://127.0.0.1:9/\"\ntimeout = \"1s\"\n{}{}{}",
        mock("well", ""),
        mock("stuck", "fault = \"block\"\nblock_for = \"60s\""),
        mock("hung", "fault = \"hang\""),
    );
    let mut agent = agent(&config).start();
    agent.wait_metrics("well", 5);
    let begin = Instant::now();
    let code = agent.stop(Duration::from_secs(3));
    eprintln!("the stop took {:.1?}", begin.elapsed());
    let log = agent.log();
    assert_eq!(code, Some(1), "metrics of `dead` were not written: {log}");
    assert!(
        log.contains("outputs/dead") && log.contains("were not written"),
        "{log}"
    );
    assert!(
        log.contains("would not stop") && log.contains("mock block"),
        "{log}"
    );
    let text = agent.read("out");
    assert_gapless("well", &written(&text)["well"], 0);
}

#[test]
fn sigusr1_and_the_api_flush() {
    let _beside = beside();
    let agent = agent(&format!("{FAST}{LATER}{}", mock("m", ""))).start();
    eventually("gathers", || (gathered(&agent, "m") >= 3).then_some(()));
    assert_eq!(agent.read("out"), "");
    agent.process.signal("USR1");
    let seen = agent.wait_metrics("m", 3).len();
    eventually("more", || {
        (gathered(&agent, "m") as usize >= seen + 3).then_some(())
    });
    assert_eq!(agent.api("POST", "/api/v1/flush", &Value::Null).status, 202);
    assert_gapless("m", &agent.wait_metrics("m", seen + 3), 0);
}

#[test]
fn test_and_once_say_what_they_gathered_and_exit_accordingly() {
    let _beside = beside();
    let config = format!("{FAST}{TO_FILE}{}", mock("m", ""));
    let tested = agent(&config).args(&["--test"]).run(BOUND);
    assert_eq!(tested.code, Some(0), "{}", tested.err);
    let line = tested.out.lines().next().unwrap_or_default();
    assert!(line.starts_with("> mock,n=m sequence=0i"), "{}", tested.out);
    assert_eq!(tested.out.lines().count(), 1, "{}", tested.out);
    let failing = format!("{config}{}", mock("ill", "fault = \"error\""));
    let tested = agent(&failing).args(&["--test"]).run(BOUND);
    assert_eq!(tested.code, Some(1));
    assert!(
        tested.err.contains("inputs/ill") && tested.err.contains("told to fail"),
        "{}",
        tested.err
    );
    assert!(
        tested.out.contains("n=m "),
        "the others are printed all the same: {}",
        tested.out
    );

    let out = "[[outputs.file]]\nfiles = [\"stdout\"]\n";
    let once = agent(&format!("{FAST}{out}{}", mock("m", "")))
        .args(&["--once"])
        .run(BOUND);
    assert_eq!(once.code, Some(0), "{}", once.err);
    assert!(once.out.starts_with("mock,n=m sequence=0i"), "{}", once.out);
    let dead = "[[outputs.http]]\nid = \"dead\"\nurl = \"http://127.0.0.1:9/\"\n";
    let once = agent(&format!("{FAST}{dead}{}", mock("m", "")))
        .args(&["--once"])
        .run(BOUND);
    assert_eq!(once.code, Some(1));
    assert!(
        once.err
            .contains("outputs/dead: 1 metrics were not written"),
        "{}",
        once.err
    );
}

#[test]
fn what_the_api_changed_survives_a_restart() {
    let _beside = beside();
    let config = format!(
        "{FAST}{TO_FILE}{}{}{}",
        mock("kept", ""),
        mock("gone", ""),
        mock("set", "")
    );
    let mut agent = agent(&config).start();
    agent.change(&[
        step("add", "added", mock_options("added", json!({}))),
        json!({"op": "remove", "kind": "input", "id": "gone"}),
        json!({"op": "patch", "kind": "input", "id": "set", "options": {"metric_name": "other"}}),
        json!({"op": "pause", "kind": "input", "id": "kept"}),
    ]);
    let generation = agent.get("/api/v1/status")["generation"].clone();
    agent.wait_metrics("added", 3);
    for clean in [true, false] {
        if clean {
            assert_eq!(agent.stop(BOUND), Some(0), "{}", agent.log());
        } else {
            agent.kill();
        }
        agent.restart();
        assert_eq!(agent.get("/api/v1/status")["generation"], generation);
        let inputs = agent.get("/api/v1/inputs");
        let mut ids: Vec<_> = inputs
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["id"].as_str().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, ["added", "kept", "set"], "clean {clean}");
        assert_eq!(
            agent.component("inputs", "set")["options"]["metric_name"],
            "other"
        );
        assert_eq!(agent.state("inputs", "kept"), "paused");
        let seen = agent.wait_metrics("added", 1).len();
        agent.wait_metrics("added", seen + 3);
    }
    // A clean stop keeps what inputs count; the file never has a double before the kill.
    let history = agent.get("/api/v1/history");
    assert!(
        history
            .as_array()
            .unwrap()
            .iter()
            .any(|record| record["by"] == "api"),
        "{history}"
    );
}

#[test]
fn counts_go_on_after_a_clean_restart() {
    let _beside = beside();
    let mut agent = agent(&format!("{FAST}{TO_FILE}{}", mock("m", ""))).start();
    agent.wait_metrics("m", 5);
    assert_eq!(agent.stop(BOUND), Some(0), "{}", agent.log());
    let before = agent.wait_metrics("m", 5).len();
    agent.restart();
    assert_gapless("m", &agent.wait_metrics("m", before + 5), 0);
}

#[test]
fn a_change_of_the_file_is_noticed() {
    let _beside = beside();
    let config = format!("{FAST}{TO_FILE}{}", mock("a", ""));
    let agent = agent(&config).args(&["--watch-config"]).start();
    agent.wait_metrics("a", 2);
    agent.set_config(&format!("{config}{}", mock("b", "")));
    agent.wait_metrics("b", 3);
    // What cannot be used is told and not taken.
    agent.set_config(&format!("{config}[[inputs.mock]]\nsequnce = 1\n"));
    eventually("the log says why", || {
        agent.log().contains("sequnce").then_some(())
    });
    agent.set_config(&config);
    eventually("`b` is gone", || {
        let inputs = agent.get("/api/v1/inputs");
        (inputs.as_array()?.len() == 1).then_some(())
    });
    let count = agent.wait_metrics("a", 1).len();
    assert_gapless("a", &agent.wait_metrics("a", count + 3), 0);
}

#[test]
fn tail_goes_on_where_it_was_after_a_kill() {
    let _beside = beside();
    let config = format!("{FAST}{TO_FILE}[[inputs.tail]]\nid = \"t\"\nfiles = [\"{{dir}}/log\"]\n");
    let builder = agent(&config).file("log", "");
    let log = builder.path("log");
    let mut agent = builder.start();
    let mut next = 0;
    let mut write = |count: i64| {
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        for n in next..next + count {
            writeln!(file, "line,n=tail sequence={n}i {n}").unwrap();
        }
        next += count;
        next as usize
    };
    let store = agent.path("state/desired.redb");
    for _ in 0..3 {
        let written = write(100);
        agent.wait_metrics("tail", written);
        // A place is on disk when the store was written after the lines had been delivered; that
        // of the very last lines may still be on its way.
        let delivered = SystemTime::now();
        eventually("the place is kept", || {
            (fs::metadata(&store).unwrap().modified().unwrap() > delivered).then_some(())
        });
        agent.kill();
        write(50);
        agent.restart();
    }
    // Killed while lines stream in: some may come twice, but none is missing. An agent that did
    // not know its place would begin at the end and miss what was written while it was away.
    for _ in 0..3 {
        write(200);
        agent.kill();
        agent.restart();
    }
    let all = write(1) as i64;
    eventually("the last line", || {
        let text = agent.read("out");
        written(&text)["tail"]
            .iter()
            .any(|seen| seen.sequence == all - 1)
            .then_some(())
    });
    let text = agent.read("out");
    let mut numbers: Vec<i64> = written(&text)["tail"]
        .iter()
        .map(|seen| seen.sequence)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..all).collect::<Vec<_>>());
}

#[test]
fn a_paused_output_collects_and_delivers_later() {
    let _beside = beside();
    let agent = agent(&format!("{FAST}{TO_FILE}{}", mock("m", ""))).start();
    agent.wait_metrics("m", 3);
    assert_eq!(
        agent
            .api("POST", "/api/v1/outputs/out/pause", &Value::Null)
            .status,
        200
    );
    assert_eq!(agent.state("outputs", "out"), "paused");
    let waiting = || {
        agent.component("outputs", "out")["queue"]["metrics"]
            .as_u64()
            .unwrap()
    };
    eventually("metrics wait", || (waiting() >= 15).then_some(()));
    let held = agent.read("out").lines().count();
    eventually("more wait", || (waiting() >= 20).then_some(()));
    assert_eq!(
        agent.read("out").lines().count(),
        held,
        "a paused output writes nothing"
    );
    assert_eq!(
        agent
            .api("POST", "/api/v1/outputs/out/resume", &Value::Null)
            .status,
        200
    );
    assert_gapless("m", &agent.wait_metrics("m", held + 20), 0);
    // A paused input rests, and goes on counting where it was.
    assert_eq!(
        agent
            .api("POST", "/api/v1/inputs/m/pause", &Value::Null)
            .status,
        200
    );
    eventually("nothing waits", || (waiting() == 0).then_some(()));
    let seen = agent.wait_metrics("m", 1).len();
    assert_eq!(
        agent
            .api("POST", "/api/v1/inputs/m/resume", &Value::Null)
            .status,
        200
    );
    assert_gapless("m", &agent.wait_metrics("m", seen + 3), 0);
}

#[test]
fn processors_and_aggregators_keep_what_they_know_over_a_change() {
    let _beside = beside();
    let config = format!(
        "{FAST}{TO_FILE}{}{}\
         [[processors.dedup]]\nid = \"d\"\ndedup_interval = \"1h\"\nnamepass = [\"steady\"]\n\
         [[aggregators.basicstats]]\nid = \"b\"\nperiod = \"1h\"\nstats = [\"count\", \"min\", \"max\"]\nnamepass = [\"counted\"]\n",
        mock("counted", "metric_name = \"counted\""),
        "[[inputs.mock]]\nid = \"steady\"\nmetric_name = \"steady\"\n[inputs.mock.tags]\nn = \"steady\"\n\
         [[inputs.mock.constant]]\nname = \"value\"\nvalue = 7\n",
    );
    let mut agent = agent(&config).start();
    agent.wait_metrics("counted", 5);
    let steady = |agent: &Agent| agent.read("out").matches("steady,").count();
    assert_eq!(steady(&agent), 1);
    let answer = agent.api(
        "PATCH",
        "/api/v1/processors/d",
        &json!({"dedup_interval": "2h"}),
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = agent.api(
        "PATCH",
        "/api/v1/aggregators/b",
        &json!({"stats": ["count", "min", "max", "sum"]}),
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    let before = gathered(&agent, "steady");
    eventually("more", || {
        (gathered(&agent, "steady") >= before + 5).then_some(())
    });
    let seen = agent.wait_metrics("counted", 1).len();
    agent.wait_metrics("counted", seen + 5);
    // And over a restart.
    assert_eq!(agent.stop(BOUND), Some(0), "{}", agent.log());
    assert_eq!(
        steady(&agent),
        1,
        "the deduplication forgot what it had seen"
    );
    let text = agent.read("out");
    let window = text
        .lines()
        .find(|line| line.contains("sequence_count="))
        .expect("a window is pushed at the end");
    let field = |name: &str| -> f64 {
        let (_, rest) = window.split_once(&format!("{name}=")).unwrap();
        rest.split([',', ' '])
            .next()
            .unwrap()
            .trim_end_matches('i')
            .parse()
            .unwrap()
    };
    let all = written(&text)["counted"].len() as f64;
    assert_eq!(
        (field("sequence_min"), field("sequence_max")),
        (0.0, all - 1.0),
        "{window}"
    );
    assert_eq!(field("sequence_count"), all, "{window}");
}
