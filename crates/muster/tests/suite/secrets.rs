//! No secret of the configuration is told: not by the API, not by the commands, not in the log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use muster_testkit::{Agent, eventually_within};
use serde_json::{Value, json};

use super::support::{agent, beside};

/// What all secrets have in common; each ends with a number of its own.
const SECRET: &str = "not/for+you=47";

/// Every component with a secret, and nobody there whom it could be told to.
const CONFIG: &str = r#"
[agent]
interval = "200ms"
flush_interval = "200ms"
[[inputs.mock]]
metric_name = "m"
[[inputs.http]]
id = "page"
urls = ["http://reader:not%2Ffor+you=4701@127.0.0.1:9/page"]
token = "not/for+you=4702"
[inputs.http.headers]
X-Auth-Token = "not/for+you=4703"
[[outputs.influxdb]]
id = "db"
urls = ["http://writer:not%2Ffor+you=4704@127.0.0.1:9"]
username = "writer"
password = "not/for+you=4705"
[scaler]
mode = "dry-run"
owner = "ci"
tick = "1s"
[scaler.prometheus]
url = "http://127.0.0.1:9"
bearer_token = "not/for+you=4706"
[scaler.gitlab]
url = "http://127.0.0.1:9"
token = "not/for+you=4707"
webhook_token = "not/for+you=4708"
projects = ["a/b"]
[[scaler.pool]]
name = "docker"
match_tags = ["docker"]
[[scaler.pool.provider]]
kind = "exec"
command = ["/bin/sh", "-c", "cat >&2; exit 1"]
secrets = { own = "not/for+you=4709" }
[[scaler.pool.provider]]
kind = "hetzner"
url = "http://127.0.0.1:9"
token = "not/for+you=4710"
server_type = "cx22"
image = "debian-13"
[[sentinel.redis]]
id = "cache"
servers = ["127.0.0.1:9"]
password = "not/for+you=4711"
interval = "1s"
[sentinel.zookeeper]
servers = ["127.0.0.1:9"]
root = "/p"
username = "muster"
password = "not/for+you=4712"
[sentinel.etcd]
endpoints = ["http://127.0.0.1:9"]
root = "/p"
username = "muster"
password = "not/for+you=4713"
"#;

#[track_caller]
fn silent(what: &str, text: &str) {
    for form in [SECRET, "not%2Ffor+you=47", "not%2Ffor%2Byou%3D47"] {
        assert!(!text.contains(form), "{what} tells a secret:\n{text}");
    }
}

/// The paths that can be read, with each component in the place of `{kind}` and `{id}`.
fn paths(agent: &Agent) -> Vec<String> {
    let described = agent.get("/api/v1/openapi.json");
    let all = described["paths"].as_object().unwrap();
    let readable = all.iter().filter(|(_, verbs)| verbs.get("get").is_some());
    let mut paths = Vec::new();
    for (path, _) in readable {
        match path.as_str() {
            // It never ends, and has nothing but metrics.
            "/api/v1/tail" => {}
            "/api/v1/diff" => paths.push(format!("{path}?from=1&to=2")),
            "/debug/pprof/profile" => paths.push(format!("{path}?seconds=1")),
            "/debug/pprof/goroutine" => {
                paths.extend(["1", "2"].map(|n| format!("{path}?debug={n}")));
            }
            "/api/v1/scaler/{id}/decision" => paths.push(path.replace("{id}", "scaler")),
            _ if path.contains("{kind}") => {
                let status = agent.get("/api/v1/status");
                for kind in status["components"].as_object().unwrap().keys() {
                    let of_kind = path.replace("{kind}", kind);
                    let listed = agent.get(&format!("/api/v1/{kind}"));
                    let ids = listed.as_array().unwrap().iter().map(|c| &c["id"]);
                    match of_kind.contains("{id}") {
                        true => paths
                            .extend(ids.map(|id| of_kind.replace("{id}", id.as_str().unwrap()))),
                        false => paths.push(of_kind),
                    }
                }
            }
            _ => paths.push(path.clone()),
        }
    }
    paths
}

/// Those that hold a secret are for nobody else.
fn look_into(folder: &Path, found: &mut u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            look_into(&path, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            if bytes
                .windows(SECRET.len())
                .any(|part| part == SECRET.as_bytes())
            {
                *found += 1;
                let mode = kind.permissions().mode();
                assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
            }
        }
    }
}

#[test]
fn no_secret_of_the_configuration_is_told() {
    let _beside = beside();
    let mut agent = agent(CONFIG).args(&["--debug"]).start();
    let mentions = ["inputs/page", "outputs/db", "publishers/etcd", "docker/1"];
    eventually_within(Duration::from_secs(60), "all have tried and failed", || {
        let log = agent.log();
        let decided = agent.get("/api/v1/scaler").to_string();
        let said = |what: &&str| log.contains(*what) || decided.contains(*what);
        let is_down = agent.get("/api/v1/checks").to_string().contains("refused");
        (mentions.iter().all(said) && is_down).then_some(())
    });

    // A secret is changed, one stands where it does not belong, and one is in what cannot be read.
    let change = |verb: &str, path: &str, body: &Value| {
        let answer = agent.api(verb, path, body);
        silent(path, &answer.body);
        answer.status
    };
    let new = json!({"token": format!("{SECRET}14")});
    assert_eq!(change("PATCH", "/api/v1/inputs/page", &new), 200);
    let wrong = json!({"token": {"is": format!("{SECRET}15")}, "methode": "GET"});
    assert_eq!(change("PATCH", "/api/v1/inputs/page", &wrong), 422);
    let torn = json!({"options": format!("urls = [\"http://a:{SECRET}16@b\"")});
    assert!((400..500).contains(&change("PUT", "/api/v1/inputs/page", &torn)));
    let tried = agent.api("POST", "/api/v1/inputs/page/test", &Value::Null);
    silent("a trial", &tried.body);

    let paths = paths(&agent);
    assert!(paths.len() >= 25, "{paths:?}");
    for path in &paths {
        let answer = agent.api("GET", path, &Value::Null);
        // Nothing that it needs is there, so it is not ready; profiles are a feature (501).
        let is_said = [200, 501].contains(&answer.status) || path == "/readyz";
        assert!(is_said, "{path}: {} {}", answer.status, answer.body);
        silent(path, &answer.body);
    }
    let shown = agent.api("GET", "/api/v1/inputs/page", &Value::Null).body;
    assert!(shown.contains("***") && shown.contains("reader"), "{shown}");

    for words in [
        &["status"][..],
        &["input", "show", "page"],
        &["output", "show", "db"],
        &["check", "show", "cache"],
        &["history"],
        &["diff", "1", "2"],
        &["scaler", "explain"],
    ] {
        let output = agent.cli(words);
        let said = format!("{}{}", output.out, output.err);
        assert!(
            output.code.is_some_and(|code| code < 2) && !said.is_empty(),
            "{words:?}: {said}"
        );
        silent(&words.join(" "), &said);
    }
    let command_line = fs::read(format!("/proc/{}/cmdline", agent.process.id())).unwrap();
    silent("its command line", &String::from_utf8_lossy(&command_line));
    let mut found = 0;
    look_into(&agent.path("state"), &mut found);
    assert!(found > 0, "what was added at run time survives a restart");
    // What no output took is lost, which is no good end.
    assert_eq!(agent.stop(Duration::from_secs(10)), Some(1));
    silent("the log", &agent.log());
}
