//! A small OpenStack of real servers, which ends with its value.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_scaler_providers::build;
use muster_scaler_providers::testing::http::{Served, serve};
use muster_scaler_providers::testing::{Fault, World};
use muster_tasks::Group;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use crate::front::Front;

/// What must be installed.
const PACKAGES: &str = "python3-keystone python3-nova python3-placement";

pub(crate) struct Cloud {
    // Before the folder, which it uses.
    _script: Script,
    _folder: TempDir,
    served: Served,
    pub(crate) front: Arc<Front>,
    group: Group,
}

/// The script that has started the servers; it ends them and itself with its input.
struct Script {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

fn install(packages: &str) -> ! {
    panic!(
        "OpenStack is not installed; install it with: apt-get install -y --no-install-recommends {packages}"
    )
}

impl Cloud {
    pub(crate) async fn start(group: &Group) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (served, front) = serve(group, |_| Arc::new(Front::new(folder.path()))).await;
        let (script, about) = Script::start(&folder, &served.url);
        front.about.set(about).unwrap();
        Self {
            _script: script,
            _folder: folder,
            served,
            front,
            group: group.clone(),
        }
    }

    /// A provider with other options than usual. One that is empty is left out.
    pub(crate) fn build(&self, changed: &[(&str, &str)]) -> Arc<dyn Provider> {
        let own = [
            ("kind", "openstack"),
            ("auth_url", self.front.about("auth_url")),
            ("username", "admin"),
            ("password", self.front.about("password")),
            ("project", "admin"),
            ("flavor", "tiny"),
            ("image", "tiny"),
        ];
        let pairs = own.into_iter().chain(changed.iter().copied());
        let mut table: Table = pairs
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        table.insert(
            "networks".to_owned(),
            vec![toml::Value::from("none")].into(),
        );
        build(&table, &self.group).unwrap().provider
    }

    /// Asks Nova as the administrator.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.front.about("compute"));
        self.front.ask(method, url, body).await
    }
}

impl Script {
    fn start(folder: &TempDir, front: &str) -> (Self, Value) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openstack/cloud.py");
        let child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(folder.path())
            .arg(front)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            install(PACKAGES)
        };
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let started = Self { child, input };
        let mut line = String::new();
        BufReader::new(output.unwrap())
            .read_line(&mut line)
            .unwrap();
        let about: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(missing) = about["missing"].as_array() {
            let missing: Vec<&str> = missing.iter().filter_map(Value::as_str).collect();
            install(&missing.join(" "));
        }
        assert!(
            about["auth_url"].is_string(),
            "OpenStack does not start: {line}"
        );
        (started, about)
    }
}

#[async_trait]
impl World for Cloud {
    fn provider(&self) -> Arc<dyn Provider> {
        self.build(&[])
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (self.build(&[("password", "wrong-password")]), "401"),
            (self.build(&[("flavor", "huge")]), "huge"),
            (self.build(&[("image", "nothing")]), "nothing"),
            (self.build(&[("region", "Mars")]), "Mars"),
            (
                self.build(&[("auth_url", "http://127.0.0.1:1/v3")]),
                "auth_url",
            ),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        // All tokens of Keystone begin so.
        let token = &self.front.about("token")[..6];
        [self.front.about("password"), "wrong-password", token]
            .map(str::to_owned)
            .into()
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        let image = self.front.about("image");
        let server = json!({ "name": name, "metadata": labels, "flavorRef": "42", "imageRef": image, "networks": "none" });
        let made = self
            .ask(Method::POST, "/servers", &json!({ "server": server }))
            .await;
        made["server"]["id"].as_str().unwrap().to_owned()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let listed = self.ask(Method::GET, "/servers", &Value::Null).await;
        let named = |one: &Value| ListedServer {
            id: one["id"].to_string(),
            name: one["name"].as_str().unwrap_or_default().to_owned(),
            labels: BTreeMap::new(),
            phase: Phase::Active,
            address: None,
            created: None,
        };
        listed["servers"]
            .as_array()
            .unwrap()
            .iter()
            .map(named)
            .collect()
    }

    fn fault(&self, fault: Fault) -> bool {
        // Nova lists from the database that it has written to.
        let possible = fault != Fault::ShownLate;
        if possible {
            self.front.faults.add(fault);
        }
        possible
    }

    fn calm(&self) {
        self.front.faults.calm();
    }

    fn calls(&self) -> usize {
        self.served.calls()
    }
}
