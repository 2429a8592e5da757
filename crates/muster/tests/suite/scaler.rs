//! The runner scaler, by the real binary.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::support::alone;

const BINARY: &str = env!("CARGO_BIN_EXE_muster");

fn scaler(words: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("scaler").args(words);
    command.output().unwrap()
}

fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("scaler.conf");
    std::fs::write(&path, text).unwrap();
    path
}

/// A real Prometheus, runners as processes, servers that come, take jobs and go.
#[test]
fn the_demonstration_kills_no_job_and_leaves_nothing() {
    let _alone = alone();
    let output = scaler(&["demo", "--jobs-for", "20s", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    for none in ["killed", "open", "left"] {
        assert_eq!(summary[none], 0, "{none}: {summary} {errors}");
    }
    for some in ["succeeded", "servers", "jobs_on_servers", "decisions"] {
        assert_ne!(summary[some], 0, "{some}: {summary} {errors}");
    }
    assert_eq!(output.status.code(), Some(0), "{summary} {errors}");
}

/// What a configuration needs is looked at, and each thing that will not work is named.
#[test]
fn a_check_names_what_will_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let config = file(
        &folder,
        &format!(
            "[scaler]\nowner = \"ci\"\n[scaler.prometheus]\nurl = \"http://{address}\"\n\
             [scaler.gitlab]\nurl = \"http://{address}\"\ntoken = \"glpat-secret\"\nprojects = [\"a/b\"]\n\
             [[scaler.pool]]\nname = \"docker\"\nmatch_tags = [\"docker\"]\npermanent = 'job=\"x\"'\n\
             [[scaler.pool.provider]]\nkind = \"exec\"\ncommand = [\"/nonexistent/servers\"]\n"
        ),
    );
    let output = scaler(&["check", "--json", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    for part in ["pool docker", "gitlab", "provider docker/0"] {
        let found = findings
            .iter()
            .any(|f| f["what"].as_str().unwrap().starts_with(part) && f["ok"] == false);
        assert!(found, "{part}: {report}");
    }
    let text = format!("{output:?}");
    assert!(!text.contains("glpat-secret"), "{text}");
}

#[test]
fn a_configuration_that_cannot_be_used_says_where_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, says: &[&str]| {
        let config = file(&folder, text);
        let output = scaler(&["check", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{text}: {said}");
        for words in says {
            assert!(said.contains(words), "{words} is not in: {said}");
        }
    };
    check("[agent]\n", &["there is no table [scaler]"]);
    let pool = "[[scaler.pool]]\nname = \"a\"\nmatch_tags = [\"a\"]\n\
                [[scaler.pool.provider]]\nkind = \"exec\"\ncommand = [\"true\"]\n";
    check(
        &format!("[scaler]\nowner = \"ci\"\nmoed = \"on\"\n{pool}"),
        &["scaler.conf:3", "moed", "did you mean `mode`?"],
    );
    let torn = pool.replace("match_tags", "permanent = 'job=\"a'\nmatch_tags");
    check(
        &format!("[scaler]\nowner = \"ci\"\n{torn}"),
        &["scaler.conf", "permanent"],
    );
    let wrong = pool.replace("exec", "exce");
    check(
        &format!("[scaler]\nowner = \"ci\"\n{wrong}"),
        &["exce", "did you mean \"exec\"?"],
    );
    check(&format!("[scaler]\n{pool}"), &["owner"]);
}

/// What others do with the same jobs, and how many hours that takes.
#[test]
fn rules_are_compared_in_a_simulated_world() {
    let words = [
        "simulate",
        "--days",
        "1",
        "--seeds",
        "1",
        "--jobs-per-day",
        "300",
    ];
    let rules = [
        "--policy",
        "muster",
        "--policy",
        "taskscaler",
        "--idle-time",
        "60s",
        "--json",
    ];
    let output = scaler(&[&words[..], &rules[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let compared: Value = serde_json::from_slice(&output.stdout).unwrap();
    let points = compared["points"].as_array().unwrap();
    assert!(points.len() > 2);
    for point in points {
        let run = &point["runs"][0];
        assert_eq!(run["killed"], 0, "{run}");
        assert_eq!(run["finished"], run["jobs"], "{run}");
    }
    let output = scaler(&["simulate", "--policy", "mustre"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("did you mean `muster`?"), "{said}");
}

/// The alerts that are shipped fire when they should, and else not, by Prometheus' own reckoning.
#[test]
fn the_shipped_alerts_are_right() {
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/prometheus/muster-scaler.test.yml"
    );
    let output = Command::new("promtool")
        .args(["test", "rules", rules])
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("promtool: {error}; install it with: sudo apt-get install prometheus")
    });
    assert!(output.status.success(), "{output:?}");
}
