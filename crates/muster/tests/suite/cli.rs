//! The command line against a running agent: the real binary on both sides.

use std::fs;
use std::process::Command;
use std::time::Duration;

use muster_testkit::{Agent, AgentBuilder, Output, eventually};
use serde_json::Value;

use super::support::beside;

const BINARY: &str = env!("CARGO_BIN_EXE_muster");

/// An input that brings a metric every 50 ms, and an output that takes everything.
const CONFIG: &str = r#"
[agent]
interval = "50ms"
flush_interval = "50ms"

[[inputs.mock]]
id = "steady"
metric_name = "steady"

[[outputs.discard]]
id = "sink"
"#;

fn agent() -> Agent {
    AgentBuilder::new(BINARY).config(CONFIG).start()
}

/// Runs a command, checks its exit code, gives what it printed: both outputs in one text.
#[track_caller]
fn check(agent: &Agent, arguments: &[&str], code: i32) -> String {
    let Output {
        code: got,
        out,
        err,
    } = agent.cli(arguments);
    assert_eq!(got, Some(code), "{arguments:?}\n{out}\n{err}");
    format!("{out}{err}")
}

/// As [`check`], and what was printed has all these parts.
#[track_caller]
fn says(agent: &Agent, arguments: &[&str], code: i32, parts: &[&str]) {
    let text = check(agent, arguments, code);
    for part in parts {
        assert!(
            text.contains(part),
            "{arguments:?}: {part:?} is not in\n{text}"
        );
    }
}

#[track_caller]
fn json(agent: &Agent, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let out = agent.cli(&arguments).out;
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{out}"))
}

fn generation(agent: &Agent) -> u64 {
    json(agent, &["status"])["generation"].as_u64().unwrap()
}

/// Waits until a component is in this state.
#[track_caller]
fn wait_state(agent: &Agent, kind: &str, id: &str, state: &str) {
    eventually(&format!("{id} is {state}"), || {
        (json(agent, &[kind, "show", id])["observed"]["state"] == state).then_some(())
    });
}

#[test]
fn a_component_comes_changes_rests_and_goes() {
    let _others = beside();
    let agent = agent();
    let add = [
        "input",
        "add",
        "mock",
        "--id",
        "a",
        "metric_name=a",
        "interval=50ms",
        "tags.dc=x",
    ];
    says(&agent, &add, 0, &["inputs/a (mock) added", "generation 2"]);
    wait_state(&agent, "input", "a", "running");
    says(
        &agent,
        &["input", "ls"],
        0,
        &["steady", "a ", "mock", "running", "the API"],
    );
    assert!(!check(&agent, &["input", "ls", "s*"], 0).contains("the API"));

    says(
        &agent,
        &add,
        1,
        &["failed to add inputs/a", "inputs/a exists already"],
    );
    assert_eq!(generation(&agent), 2, "what is refused changes nothing");

    let set = [
        "input",
        "set",
        "a",
        "tags.site=y",
        "metric_name=b",
        "--unset",
        "tags.dc",
    ];
    says(
        &agent,
        &set,
        0,
        &[
            "metric_name = \"b\" (was \"a\")",
            "tags.dc no more",
            "generation 3",
        ],
    );
    says(
        &agent,
        &["input", "show", "a"],
        0,
        &["[[inputs.mock]]", "site = \"y\""],
    );
    says(
        &agent,
        &["input", "set", "a", "site=y"],
        3,
        &["site", "nothing was changed"],
    );

    says(&agent, &["input", "pause", "a"], 0, &["paused = true"]);
    wait_state(&agent, "input", "a", "paused");
    says(&agent, &["input", "resume", "a"], 0, &["paused no more"]);
    wait_state(&agent, "input", "a", "running");

    says(
        &agent,
        &["input", "rm", "a"],
        0,
        &["inputs/a (mock) removed"],
    );
    says(&agent, &["input", "rm", "a"], 1, &["there is no inputs/a"]);
    says(
        &agent,
        &["input", "show", "stedy"],
        1,
        &["there is no inputs/stedy", "did you mean steady?"],
    );
    let before = generation(&agent);
    says(
        &agent,
        &["input", "rm", "steady", "absent"],
        1,
        &["there is no inputs/absent"],
    );
    assert_eq!(generation(&agent), before, "all of them or none");
    says(&agent, &["input", "show", "steady"], 0, &["running"]);
}

#[test]
fn what_is_added_may_be_derived_or_come_from_a_file() {
    let _others = beside();
    let agent = agent();
    let derived = json(&agent, &["input", "add", "mock", "metric_name=x"]);
    let name = derived["edits"][0]["component"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(name.starts_with("inputs/mock-"), "{derived}");
    fs::write(
        agent.path("one.toml"),
        "[[processors.override]]\nid = \"site\"\n[processors.override.tags]\ndc = \"x\"\n",
    )
    .unwrap();
    let file = agent.path("one.toml").display().to_string();
    let dry = ["processor", "add", "--file", &file, "--dry-run"];
    says(
        &agent,
        &dry,
        0,
        &["processors/site (override) would be added", "a dry run"],
    );
    says(&agent, &["processor", "ls"], 0, &["no processors"]);
    says(
        &agent,
        &["processor", "add", "--file", &file],
        0,
        &["processors/site (override) added"],
    );
    says(&agent, &["processor", "show", "site"], 0, &["dc = \"x\""]);
    says(
        &agent,
        &["output", "add", "--file", &file],
        3,
        &["use `muster processor add`"],
    );
    says(&agent, &["input", "add", "mokc"], 3, &["mokc", "mock"]);
    says(
        &agent,
        &["input", "add", "mock", "metric_nam=x"],
        3,
        &["metric_nam", "metric_name"],
    );
    says(
        &agent,
        &["input", "add", "mock", "--id", "a b"],
        2,
        &["is no ID"],
    );
}

#[test]
fn a_file_is_applied_whole_or_not_at_all() {
    let _others = beside();
    let agent = agent();
    let apply = |text: &str, name: &str, more: &[&str], code: i32, parts: &[&str]| {
        let path = agent.path(name);
        fs::write(&path, text).unwrap();
        let path = path.display().to_string();
        let arguments: Vec<&str> = ["apply", &path]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        says(&agent, &arguments, code, parts);
    };
    let good = "[[inputs.mock]]\nid = \"a\"\nmetric_name = \"a\"\n[[inputs.mock]]\nid = \"b\"\nmetric_name = \"b\"\n";
    let bad = format!("{good}[[inputs.mock]]\nid = \"c\"\nmetric_nam = \"c\"\n");
    apply(
        &bad,
        "bad.conf",
        &[],
        3,
        &["bad.conf:9", "metric_nam", "nothing was changed"],
    );
    assert_eq!(generation(&agent), 1);
    let path = agent.path("bad.conf").display().to_string();
    let error = json(&agent, &["apply", &path]);
    let place = error["problems"][0]["place"].as_str().unwrap_or_default();
    assert!(place.contains("bad.conf:9:"), "{error}");
    apply(
        good,
        "good.conf",
        &["--dry-run"],
        0,
        &["inputs/a (mock) would be added", "a dry run"],
    );
    assert_eq!(generation(&agent), 1);
    apply(
        good,
        "good.conf",
        &["--base", "1", "--message", "more & more"],
        0,
        &["generation 2"],
    );
    apply(
        good,
        "good.conf",
        &["--base", "1"],
        1,
        &["generation 1", "inputs/a", "--base 2"],
    );
    apply(good, "good.conf", &[], 0, &["nothing to change"]);
    let document = r#"{"changes": [{"op": "remove", "kind": "input", "id": "a"},
        {"op": "add", "kind": "input", "id": "b", "plugin": "mock"}]}"#;
    apply(document, "doc.json", &[], 1, &["inputs/b exists already"]);
    says(&agent, &["input", "show", "a"], 0, &["mock"]);
    says(
        &agent,
        &["history"],
        0,
        &["more & more", "+inputs/a +inputs/b", "start"],
    );
}

#[test]
fn the_history_leads_back() {
    let _others = beside();
    let agent = agent();
    check(
        &agent,
        &["input", "add", "mock", "--id", "a", "metric_name=a"],
        0,
    );
    check(&agent, &["input", "set", "a", "metric_name=b"], 0);
    check(&agent, &["input", "rm", "a"], 0);
    says(
        &agent,
        &["diff", "2", "3"],
        0,
        &["metric_name = \"b\" (was \"a\")"],
    );
    says(&agent, &["diff", "3"], 0, &["inputs/a (mock) removed"]);
    says(&agent, &["diff", "1", "4"], 0, &["are the same"]);
    says(
        &agent,
        &["diff", "1", "99"],
        1,
        &["there is no generation 99"],
    );
    says(
        &agent,
        &["rollback", "2", "--dry-run"],
        0,
        &["would be added", "generation 4"],
    );
    says(
        &agent,
        &["rollback", "2"],
        0,
        &["inputs/a (mock) added", "generation 5"],
    );
    assert_eq!(
        json(&agent, &["input", "show", "a"])["options"]["metric_name"],
        "a"
    );
    let history = json(&agent, &["history", "--limit", "2"]);
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(history[0]["by"], "rollback");
}

#[test]
fn live_metrics_can_be_watched() {
    let _others = beside();
    let agent = agent();
    let text = check(&agent, &["tail", "stead*", "--limit", "2"], 0);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines.iter().all(|line| line.starts_with("steady")),
        "{text}"
    );
    let out = agent.cli(&["tail", "--json", "-n", "1"]).out;
    let metric: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(metric["name"], "steady", "{metric}");
    says(&agent, &["input", "test", "steady"], 0, &["steady"]);
    says(
        &agent,
        &["input", "test", "mock", "metric_name=tried"],
        0,
        &["tried"],
    );
    says(
        &agent,
        &["input", "test", "stedy"],
        1,
        &["did you mean steady?"],
    );
}

#[test]
fn what_is_given_metrics_is_tried_apart_from_what_runs() {
    let _others = beside();
    let agent = agent();
    let file = |name: &str, text: &str| {
        let path = agent.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let lines = file(
        "lines.lp",
        "a,path=$HOME value=1 1000000001\na value=3 1000000002\n",
    );
    let tried = check(
        &agent,
        &[
            "processor",
            "test",
            "override",
            "name_override=b",
            "--metrics",
            &lines,
        ],
        0,
    );
    assert_eq!(
        tried,
        "b,path=$HOME value=1 1000000001\nb value=3 1000000002\n"
    );
    let now = file("now.lp", "a value=1\na value=3\n");
    let options = ["drop_original=true", "stats=[\"max\"]"];
    let arguments = ["aggregator", "test", "basicstats", "--metrics", &now];
    let arguments: Vec<&str> = arguments.into_iter().chain(options).collect();
    says(&agent, &arguments, 0, &["a value_max=3 "]);
    says(
        &agent,
        &["output", "test", "sink", "--metrics", &lines],
        0,
        &["2 metrics written"],
    );
    let bad = file("bad.lp", "a value=1\nb\n");
    says(
        &agent,
        &["output", "test", "sink", "--metrics", &bad],
        1,
        &["line 2"],
    );
    says(
        &agent,
        &["input", "test", "steady", "--metrics", &lines],
        2,
        &["makes its metrics itself"],
    );
    let down = format!(
        "urls=[\"http://127.0.0.1:{}\"]",
        muster_testkit::free_ports::<1>()[0]
    );
    says(
        &agent,
        &[
            "output",
            "test",
            "influxdb",
            &down,
            "skip_database_creation=true",
            "--metrics",
            &lines,
        ],
        1,
        &["0 metrics written", "2 metrics were not written"],
    );
    // What runs has not seen any of it.
    assert_eq!(generation(&agent), 1);
}

#[test]
fn the_agent_is_shown_as_it_is() {
    let _others = beside();
    let agent = agent();
    wait_state(&agent, "input", "steady", "running");
    eventually("all is well", || {
        (agent.cli(&["status"]).code == Some(0)).then_some(())
    });
    says(
        &agent,
        &["status"],
        0,
        &["inputs", "1 running", "all is well"],
    );
    says(
        &agent,
        &["top"],
        0,
        &["COMPONENT", "inputs/steady", "outputs/sink", "metrics/s"],
    );
    let text = check(&agent, &["top", "--filter", "outputs/"], 0);
    assert!(
        !text.contains("inputs/steady") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert_eq!(
        json(&agent, &["top"])["components"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    says(&agent, &["tasks"], 0, &["muster", "steady"]);
    let count: usize = check(&agent, &["tasks", "--count"], 0)
        .trim()
        .parse()
        .unwrap();
    assert!(count > 2, "{count}");
    assert!(json(&agent, &["tasks"]).is_object());
    says(&agent, &["flush"], 0, &["told to write"]);
    says(&agent, &["reload"], 0, &["nothing to change"]);

    check(
        &agent,
        &[
            "input",
            "add",
            "mock",
            "--id",
            "ill",
            "fault=error",
            "fault_every=1",
        ],
        0,
    );
    wait_state(&agent, "input", "ill", "failing");
    says(&agent, &["status"], 1, &["inputs/ill is failing"]);
    says(&agent, &["input", "ls"], 0, &["ill: "]);
}

#[test]
fn over_http_a_change_needs_the_token() {
    let _others = beside();
    let agent = agent();
    let url = format!("http://127.0.0.1:{}", agent.port);
    let run = |state: &str, more: &[&str]| {
        let mut command = Command::new(BINARY);
        command
            .args(["input", "pause", "steady", "--api", &url])
            .args(more);
        command
            .env("MUSTER_STATE_DIR", state)
            .env_remove("MUSTER_TOKEN");
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let elsewhere = agent.path("elsewhere").display().to_string();
    let (code, err) = run(&elsewhere, &[]);
    assert!(
        code == Some(1) && err.contains("--token-file"),
        "{code:?} {err}"
    );
    let token = agent.path("state/token").display().to_string();
    assert_eq!(run(&elsewhere, &["--token-file", &token]).0, Some(0));
    let state = agent.path("state").display().to_string();
    assert_eq!(run(&state, &[]).0, Some(0));
}

#[test]
fn without_an_agent_the_socket_is_named() {
    let _others = beside();
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .env("MUSTER_STATE_DIR", directory.path());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, out, err) = run(&["status"]);
    let socket = directory.path().join("api.sock").display().to_string();
    assert!(code == Some(4) && out.is_empty(), "{code:?} {out}");
    assert!(
        err.contains(&socket) && err.contains("start an agent with `muster`"),
        "{err}"
    );
    let (code, out, _) = run(&["status", "--json"]);
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &error["code"]),
        (Some(4), &Value::from("unreachable"))
    );
    assert_eq!(run(&["status", "--api", "http://127.0.0.1:1"]).0, Some(4));
    assert_eq!(run(&["status", "--api", "nonsense"]).0, Some(2));
    let (code, _, err) = run(&["statsu"]);
    assert!(code == Some(2) && err.contains("status"), "{code:?} {err}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    let _others = beside();
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(BINARY)
            .args(["completions", shell])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("rollback"),
            "{shell}: {text}"
        );
    }
    let pages = directory.path().join("man");
    let status = Command::new(BINARY)
        .arg("man")
        .arg(&pages)
        .status()
        .unwrap();
    assert!(status.success());
    let page = fs::read_to_string(pages.join("muster-input-add.1")).unwrap();
    assert!(page.contains("KEY=VALUE"), "{page}");
}

#[test]
fn an_agent_that_ends_during_a_watch_ends_the_watch() {
    let _others = beside();
    let mut agent = agent();
    let mut command = Command::new(BINARY);
    command
        .args(["tail", "none*"])
        .env("MUSTER_STATE_DIR", agent.path("state"));
    let mut watch = muster_testkit::Process::start(command, agent.directory.path(), "watch");
    eventually("the watch is there", || {
        agent
            .cli(&["tasks"])
            .out
            .contains("connection")
            .then_some(())
    });
    agent.stop(Duration::from_secs(10));
    watch.wait_end(Duration::from_secs(10));
}
