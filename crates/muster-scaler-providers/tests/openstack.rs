//! The suite against a real Keystone, Placement and Nova with the fake driver. `scripts/test full` runs
//! it: it needs Debian's packages and some minutes to set up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_scaler_providers::build;
use muster_scaler_providers::testing::{Fault, World, conformance};
use muster_tasks::Group;
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

const IMAGE: &str = "11111111-2222-3333-4444-555555555555";

/// A small OpenStack, which ends with its input.
struct Cloud {
    child: Child,
    input: Option<ChildStdin>,
    _folder: TempDir,
    about: Value,
    client: reqwest::Client,
    group: Group,
}

impl Cloud {
    fn start(group: &Group) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openstack/cloud.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let packages = "python3-keystone python3-nova python3-placement";
        let about = serde_json::from_str(&line);
        let about = about.unwrap_or_else(|_| {
            panic!("OpenStack does not start; it needs: apt-get install -y --no-install-recommends {packages}")
        });
        muster_net::install_provider();
        let input = child.stdin.take();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            child,
            input,
            _folder: folder,
            about,
            client,
            group: group.clone(),
        }
    }

    fn about(&self, key: &str) -> &str {
        self.about[key].as_str().unwrap()
    }

    fn build(&self, changed: &[(&str, &str)]) -> Arc<dyn Provider> {
        let own = [
            ("kind", "openstack"),
            ("auth_url", self.about("auth_url")),
            ("username", "admin"),
            ("password", self.about("password")),
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

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let request = self
            .client
            .request(method, format!("{}{path}", self.about("compute")));
        let request = request.header("X-Auth-Token", self.about("token"));
        let request = request.header("OpenStack-API-Version", "compute 2.69");
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{path}: {}",
            answer.text().await.unwrap()
        );
        answer.json().await.unwrap()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
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
        ]
    }

    fn secrets(&self) -> Vec<String> {
        ["password", "token"]
            .map(|key| self.about(key).to_owned())
            .into()
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        let server = json!({ "name": name, "metadata": labels, "flavorRef": "42", "imageRef": IMAGE, "networks": "none" });
        let made = self
            .ask(
                reqwest::Method::POST,
                "/servers",
                Some(json!({ "server": server })),
            )
            .await;
        made["server"]["id"].as_str().unwrap().to_owned()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let listed = self.ask(reqwest::Method::GET, "/servers", None).await;
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

    fn fault(&self, _: Fault) -> bool {
        false
    }

    fn calm(&self) {}

    fn calls(&self) -> usize {
        0
    }
}

#[muster_tasks::test]
async fn a_real_openstack_passes_the_suite(root: Group) {
    let cloud = Cloud::start(&root);
    conformance::conformance(&cloud).await;
    let limits = cloud.provider().limits().await.unwrap();
    assert_eq!(limits.servers, Some(10), "Nova's default quota");
    assert_eq!(limits.used, Some(4), "the foreign servers of the suite");
    // The quota is real, too.
    let provider = cloud.provider();
    let mut refused = None;
    for number in 0..12 {
        let answer = provider
            .create(&conformance::spec(&format!("m-{number}")))
            .await;
        if let muster_scaler_core::provider::CreateAnswer::Refused(refusal, why) = answer {
            refused = Some((refusal, why));
            break;
        }
    }
    let (refusal, why) = refused.expect("no more than the quota");
    assert_eq!(
        refusal,
        muster_scaler_core::provider::Refusal::Quota,
        "{why}"
    );
}
