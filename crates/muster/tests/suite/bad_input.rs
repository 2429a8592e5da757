//! What is wrong is told clearly, and nothing is lost by it.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use muster_testkit::{Agent, Output, eventually, request};
use serde_json::{Value, json};

use super::support::{Ask, FAST, TO_FILE, agent, assert_gapless, beside, mock, mock_options, step};

const BOUND: Duration = Duration::from_secs(20);

/// The parts are all in the text, in this order.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else {
            panic!("{part:?} is not (or too early) in:\n{text}")
        };
        rest = &rest[at + part.len()..];
    }
}

#[track_caller]
fn refused(config: &str, parts: &[&str]) -> Output {
    let output = agent(config).run(BOUND);
    assert_eq!(output.code, Some(3), "{}", output.err);
    assert_says(&output.err, parts);
    output
}

#[test]
fn broken_toml_is_shown_with_its_place() {
    let _beside = beside();
    refused(
        "[agent]\ninterval = \"1s\n",
        &["muster.conf:2:", "interval = \"1s", "^"],
    );
}

#[test]
fn unknown_options_are_all_shown_with_what_was_meant() {
    let _beside = beside();
    let config =
        "[[inputs.mock]]\n  sequnce = true\n[[inputs.cpuu]]\n[[outputs.file]]\n  fils = []\n";
    let output = refused(config, &["muster.conf:2:3", "sequnce", "^", "sequence"]);
    assert_says(&output.err, &["muster.conf:3:", "cpuu", "cpu"]);
    assert_says(&output.err, &["muster.conf:5:3", "fils", "files"]);
}

#[test]
fn two_components_with_one_id_are_shown_with_both_places() {
    let _beside = beside();
    let config = "[[inputs.mock]]\nid = \"a\"\n[[inputs.mem]]\nid = \"a\"\n";
    let output = refused(config, &["muster.conf:"]);
    for place in ["muster.conf:2", "muster.conf:4"] {
        assert!(
            output.err.contains(place),
            "{place} is not in:\n{}",
            output.err
        );
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let _beside = beside();
    let missing = agent("")
        .args(&["--config", "/nonexistent/x.conf"])
        .run(BOUND);
    assert_ne!(missing.code, Some(0));
    assert_says(&missing.err, &["/nonexistent/x.conf", "No such file"]);
    // Root may read everything, but nobody reads a directory as a file.
    let builder = agent("");
    fs::create_dir(builder.path("folder.conf")).unwrap();
    let path = builder.path("folder.conf").display().to_string();
    let folder = builder.args(&["--config", &path]).run(BOUND);
    assert_ne!(folder.code, Some(0));
    assert_says(&folder.err, &["folder.conf", "directory"]);
}

#[test]
fn an_unreadable_input_file_is_an_error_of_that_input_only() {
    let _beside = beside();
    let config = format!(
        "{FAST}{TO_FILE}{}[[inputs.file]]\nid = \"gone\"\nfiles = [\"{{dir}}/gone\"]\n",
        mock("well", "")
    );
    let agent = agent(&config).start();
    agent.wait_state("inputs", "gone", "failing");
    let why = agent.component("inputs", "gone")["observed"]["last_error"]["message"].to_string();
    assert!(why.contains("gone"), "{why}");
    assert_gapless("well", &agent.wait_metrics("well", 5), 0);
    // When it is there, all is well.
    fs::write(agent.path("gone"), "from_file,n=gone sequence=0i 1\n").unwrap();
    agent.wait_state("inputs", "gone", "running");
}

#[test]
fn an_invalid_file_at_sighup_leaves_the_last_good_state() {
    let _beside = beside();
    let good = format!("{FAST}{TO_FILE}{}", mock("a", ""));
    let agent = agent(&good).start();
    agent.wait_metrics("a", 3);
    agent.reload(&format!("{good}[[inputs.mock]]\nsequnce = true\n"));
    let error = eventually("the status says why", || {
        agent.get("/api/v1/status")["reload_error"]
            .as_str()
            .map(str::to_owned)
    });
    assert_says(&error, &["muster.conf:", "sequnce", "sequence"]);
    eventually("the log says why", || {
        agent.log().contains("sequnce").then_some(())
    });
    assert_says(&agent.log(), &["refused", "muster.conf:", "sequnce"]);
    // What cannot be started is refused as well, and a broken text.
    let [port] = muster_testkit::free_ports();
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let listener = format!(
        "[[inputs.mock]]\nid = \"new\"\n[[inputs.socket_listener]]\nid = \"l\"\nservice_address = \"tcp://127.0.0.1:{port}\"\n"
    );
    agent.reload(&format!("{good}{listener}"));
    eventually("the status says why", || {
        let status = agent.get("/api/v1/status");
        status["reload_error"]
            .as_str()
            .filter(|why| why.contains("inputs/l"))
            .map(drop)
    });
    let components = agent.get("/api/v1/inputs");
    assert_eq!(components.as_array().unwrap().len(), 1, "{components}");
    // Corrected, the error goes away; `a` was never touched.
    agent.reload(&format!("{good}{}", mock("b", "")));
    agent.wait_metrics("b", 2);
    assert_eq!(agent.get("/api/v1/status")["reload_error"], Value::Null);
    let count = agent.wait_metrics("a", 1).len();
    assert_gapless("a", &agent.wait_metrics("a", count + 3), 0);
}

#[test]
fn a_bad_line_in_a_stream_loses_no_other() {
    let _beside = beside();
    let [port] = muster_testkit::free_ports();
    let config = format!(
        "{FAST}{TO_FILE}[[inputs.socket_listener]]\nid = \"l\"\nservice_address = \"tcp://127.0.0.1:{port}\"\n"
    );
    let agent = agent(&config).start();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut text = String::new();
    for n in 0..200 {
        text += &format!("m,n=good sequence={n}i {n}\n");
        if n % 10 == 5 {
            text += "this is no line protocol at all\nm,n=good sequence= 7\n";
        }
    }
    stream.write_all(text.as_bytes()).unwrap();
    assert_gapless("good", &agent.wait_metrics("good", 200), 0);
    let observed = agent.component("inputs", "l")["observed"].clone();
    assert!(observed["errors"].as_u64().unwrap() >= 1, "{observed}");
    let message = observed["last_error"]["message"].as_str().unwrap();
    assert_says(message, &["bad record", "line", "column"]);
    // The connection is still open.
    stream.write_all(b"m,n=good sequence=200i 200\n").unwrap();
    agent.wait_metrics("good", 201);
}

#[test]
fn the_api_refuses_what_it_must() {
    let _beside = beside();
    let agent = agent(&format!("{FAST}{TO_FILE}{}", mock("a", ""))).start();
    let port = agent.port;
    let body = json!({"id": "x", "plugin": "mock"}).to_string();
    let kind = "Content-Type: application/json";
    let post = |headers: &[&str]| {
        let mut all = vec![kind];
        all.extend(headers);
        request(port, "POST", "/api/v1/inputs", &all, &body).unwrap()
    };
    let wrong = post(&["Authorization: Bearer 0123"]);
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    assert_says(&wrong.body, &["denied", "token"]);
    assert_eq!(post(&[]).status, 401);
    let token = format!("Authorization: Bearer {}", agent.token());
    let foreign = post(&[&token, "Host: evil.example"]);
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    assert_eq!(
        request(port, "GET", "/api/v1/status", &["Host: evil.example"], "")
            .unwrap()
            .status,
        403
    );
    assert_eq!(post(&[&token, "Origin: http://evil.example"]).status, 403);
    let fine = post(&[&token]);
    assert_eq!(fine.status, 201, "{}", fine.body);

    // Oversized: 413, and the agent goes on.
    let large = format!("{{\"changes\": \"{}\"}}", "x".repeat(9 << 20));
    let answer =
        muster_testkit::request_unix(&agent.socket(), "POST", "/api/v1/changes", &[kind], &large);
    assert_eq!(
        answer.map(|a| (a.status, a.body.contains("too-large"))),
        Some((413, true))
    );

    // Half a JSON document, and a JSON document that is no change.
    for body in ["{\"changes\": [", "{\"changes\": 7}", "[]"] {
        let answer =
            muster_testkit::request_unix(&agent.socket(), "POST", "/api/v1/changes", &[kind], body);
        assert_eq!(answer.unwrap().status, 400, "{body}");
    }
    eventually("the input runs on", || {
        (agent.state("inputs", "a") == "running").then_some(())
    });
}

#[test]
fn a_stale_generation_is_refused_with_what_differs() {
    let _beside = beside();
    let agent = agent(&format!("{FAST}{TO_FILE}")).start();
    let generation = agent.change(&[step("add", "one", json!({}))])["generation"]
        .as_u64()
        .unwrap();
    agent.change(&[step("add", "two", json!({}))]);
    let query = format!("?base={generation}");
    let answer = agent.try_change(&query, &[step("add", "three", json!({}))]);
    assert_eq!(answer.status, 409, "{}", answer.body);
    let body = answer.json();
    assert_eq!(
        (&body["code"], &body["generation"]),
        (&json!("stale"), &json!(generation + 1))
    );
    assert_eq!(body["problems"][0]["component"], "inputs/two");
    assert_eq!(
        agent
            .try_change(
                &format!("?base={}", generation + 1),
                &[step("add", "three", json!({}))]
            )
            .status,
        200
    );
    // Named, not numbered: what exists, and what does not.
    let answer = agent.try_change(
        "",
        &[
            step("add", "one", json!({})),
            step("set", "nobody", json!({})),
        ],
    );
    assert_eq!(answer.status, 409);
    assert_says(
        &answer.body,
        &["inputs/one exists already", "inputs/nobody"],
    );
}

#[test]
fn a_port_in_use_is_refused_and_who_has_it_is_named() {
    let _beside = beside();
    let [port, foreign] = muster_testkit::free_ports();
    let listener = |id: &str, port: u16| {
        let options = json!({"service_address": format!("tcp://127.0.0.1:{port}")});
        json!({"op": "add", "kind": "input", "id": id, "plugin": "socket_listener", "options": options})
    };
    let agent = agent(&format!("{FAST}{TO_FILE}")).start();
    agent.change(&[listener("first", port)]);
    let answer = agent.try_change(
        "",
        &[step("add", "with-it", json!({})), listener("second", port)],
    );
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_says(&answer.body, &["inputs/second", "inputs/first"]);
    let _held = TcpListener::bind(("127.0.0.1", foreign)).unwrap();
    let answer = agent.try_change(
        "",
        &[
            step("add", "with-it", json!({})),
            listener("third", foreign),
        ],
    );
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_says(
        &answer.body,
        &["inputs/third", &format!("127.0.0.1:{foreign}"), "in use"],
    );
    let ids = agent.get("/api/v1/inputs");
    assert_eq!(
        ids.as_array().unwrap().len(),
        1,
        "a part of a refused change was made: {ids}"
    );
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_ok(),
        "the first listener still listens"
    );
    // At the start as well: the API's own address.
    let output = super::support::agent(&format!("[control]\naddress = \"127.0.0.1:{foreign}\"\n"))
        .run(BOUND);
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert_says(&output.err, &[&format!("127.0.0.1:{foreign}"), "in use"]);
}

#[test]
fn a_second_agent_on_the_same_state_is_refused_and_told_who_has_it() {
    let _beside = beside();
    let first = agent(&format!("{FAST}{TO_FILE}")).start();
    let second = agent(&format!("{FAST}{TO_FILE}"))
        .state_dir(&first.path("state"))
        .run(BOUND);
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert_says(&second.err, &["state", &first.process.id().to_string()]);
    assert_eq!(
        first.api("GET", "/healthz", &Value::Null).status,
        200,
        "its socket is still its own"
    );
}

#[test]
fn a_read_only_state_directory_is_named() {
    let _beside = beside();
    // Root may write everywhere but where nothing can be made: below /proc.
    let builder = agent(&format!("{FAST}{TO_FILE}"));
    let folder = builder.path("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let root =
        fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let state = if root.unwrap_or(false) {
        "/proc/muster".into()
    } else {
        folder.join("state")
    };
    let output = builder.state_dir(&state).run(BOUND);
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert_says(
        &output.err,
        &["state directory", &state.display().to_string()],
    );
}

#[test]
fn what_the_api_broke_never_keeps_the_agent_from_starting() {
    let _beside = beside();
    let mut agent = agent(&format!("{FAST}{TO_FILE}{}", mock("well", ""))).start();
    let [port] = muster_testkit::free_ports();
    let options = json!({"service_address": format!("tcp://127.0.0.1:{port}")});
    agent.change(&[
        json!({"op": "add", "kind": "input", "id": "l", "plugin": "socket_listener", "options": options}),
        step("add", "other", mock_options("other", json!({}))),
    ]);
    assert_eq!(agent.stop(BOUND), Some(0), "{}", agent.log());
    let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    agent.restart();
    let trouble = wait_trouble(&agent, "inputs/l");
    assert!(trouble.contains(&port.to_string()), "{trouble}");
    let seen = agent.wait_metrics("other", 1).len();
    agent.wait_metrics("other", seen + 3);
    drop(held);
    agent.wait_state("inputs", "l", "running");
}

/// Waits until a component is shown as not well, and says why.
fn wait_trouble(agent: &Agent, component: &str) -> String {
    eventually("the status names the trouble", || {
        let status = agent.get("/api/v1/status");
        let troubles = status["troubles"].as_array()?;
        let trouble = troubles.iter().find(|t| t["component"] == component)?;
        trouble["why"]
            .as_str()
            .filter(|why| !why.is_empty())
            .map(str::to_owned)
    })
}
