//! A Docker Engine on a unix socket, with its manners: names are unique, a container is found by its name and
//! by the beginning of its ID, too, and is created and started apart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_tasks::Group;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use super::cloud::{Cloud, Faults, Machine};
use super::http::{Asked, Double, Reply, Served, serve_unix};
use super::{Fault, World};
use crate::build;
use crate::http::texts;

/// An engine in memory.
#[derive(Debug)]
pub struct DockerWorld {
    served: Served,
    double: Arc<Docker>,
    directory: TempDir,
    group: Group,
}

impl DockerWorld {
    /// An empty one, served by tasks of `group`.
    ///
    /// # Panics
    /// If it cannot make its socket.
    pub fn new(group: &Group) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let double = Arc::new(Docker::default());
        let served = serve_unix(group, &directory.path().join("docker.sock"), &double);
        Self {
            served,
            double,
            directory,
            group: group.clone(),
        }
    }

    /// The archive that was written into a container, by its name.
    pub fn archive(&self, name: &str) -> Vec<u8> {
        let machines = self.double.cloud.all();
        let id = machines
            .into_iter()
            .find(|machine| machine.name == name)
            .map(|machine| machine.id);
        id.and_then(|id| self.double.archives.lock().get(&id).cloned())
            .unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// A provider with this value of one option.
    ///
    /// # Panics
    /// If it is no good.
    pub fn with(&self, option: &str, value: impl Into<toml::Value>) -> Arc<dyn Provider> {
        let socket = self.socket().display().to_string();
        let own = [
            ("kind", "docker"),
            ("image", "runner:1"),
            ("socket", &socket),
        ];
        let mut table: Table = own
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
        table.insert(option.to_owned(), value.into());
        build(&table, &self.group).expect("options").provider
    }
}

#[async_trait]
impl World for DockerWorld {
    fn provider(&self) -> Arc<dyn Provider> {
        self.with("kind", "docker")
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (self.with("image", "nothing:9"), "nothing:9"),
            (
                self.with("socket", "/nowhere/docker.sock"),
                "/nowhere/docker.sock",
            ),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        self.double.create(name, labels.clone())
    }

    async fn servers(&self) -> Vec<ListedServer> {
        self.double.cloud.listed()
    }

    fn fault(&self, fault: Fault) -> bool {
        // There is no quota, no credential and nothing that comes late.
        let can = matches!(
            fault,
            Fault::LoseAnswer
                | Fault::LoseRequest
                | Fault::Hang
                | Fault::Partial
                | Fault::RateLimit
                | Fault::NoCapacity
                | Fault::Echo
        );
        if can {
            self.double.cloud.faults.add(fault);
        }
        can
    }

    fn calm(&self) {
        self.double.cloud.faults.calm();
    }

    fn calls(&self) -> usize {
        self.served.calls()
    }
}

#[derive(Debug, Default)]
struct Docker {
    cloud: Cloud,
    archives: Mutex<BTreeMap<String, Vec<u8>>>,
}

fn complain(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message }))
}

impl Docker {
    fn create(&self, name: &str, labels: BTreeMap<String, String>) -> String {
        let id = format!("{:064x}", 0xabc0_0000 + self.cloud.number());
        self.cloud.create_waiting(id.clone(), name, labels);
        id
    }

    /// The container of that ID, beginning of an ID, or name.
    fn find(&self, word: &str) -> Option<Machine> {
        let all = self.cloud.all();
        all.into_iter()
            .find(|machine| machine.id.starts_with(word) || machine.name == word)
    }

    fn create_container(&self, asked: &Asked) -> Reply {
        let (body, name) = (asked.json(), asked.query("name").unwrap_or_default());
        if body["Image"] != "runner:1" {
            return complain(404, "No such image");
        }
        if self.find(name).is_some() {
            return complain(409, "Conflict. The container name is already in use");
        }
        if self.cloud.faults.take(Fault::NoCapacity) {
            return complain(507, "no space left on device");
        }
        let id = self.create(name, texts(&body["Labels"]));
        Reply::json(201, &json!({ "Id": id, "Warnings": [] }))
    }

    fn list(&self, asked: &Asked) -> Reply {
        if self.cloud.faults.take(Fault::Partial) {
            return complain(500, "the daemon is shutting down");
        }
        let filters: Value =
            serde_json::from_str(asked.query("filters").unwrap_or("{}")).unwrap_or_default();
        let (label, name) = (filters["label"][0].as_str(), filters["name"][0].as_str());
        let fits = |machine: &Machine| {
            label.is_none_or(|label| {
                label.split_once('=').is_some_and(|(key, value)| {
                    machine.labels.get(key).is_some_and(|own| own == value)
                })
            }) && name.is_none_or(|name| format!("^/{}$", machine.name) == name)
        };
        let machines = self.cloud.list();
        let shown: Value = machines
            .iter()
            .filter(|machine| fits(machine))
            .map(|machine| {
                json!({
                    "Id": machine.id,
                    "Names": [format!("/{}", machine.name)],
                    "Labels": machine.labels,
                    "State": state(machine),
                    "Created": machine.created.millis() / 1000,
                    "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "172.17.0.2" } } },
                })
            })
            .collect();
        Reply::json(200, &shown)
    }
}

fn state(machine: &Machine) -> &'static str {
    match machine.phase {
        Phase::Building => "created",
        _ => "running",
    }
}

#[async_trait]
impl Double for Docker {
    fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    fn changes(&self, asked: &Asked) -> bool {
        asked.method != "GET"
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        let parts = asked.parts();
        let found = |word: &str| {
            self.find(word)
                .ok_or_else(|| complain(404, "No such container"))
        };
        let answer = match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["v1.41", "info"]) => Ok(Reply::json(
                200,
                &json!({
                "Containers": self.cloud.all().len(), "NCPU": 2, "MemTotal": 1_000_000 }),
            )),
            ("GET", ["v1.41", "images", "runner%3A1", "json"]) => Ok(Reply::json(200, &json!({}))),
            ("GET", ["v1.41", "containers", "json"]) => Ok(self.list(asked)),
            ("POST", ["v1.41", "containers", "create"]) => Ok(self.create_container(asked)),
            ("GET", ["v1.41", "containers", word, "json"]) => found(word).map(|machine| {
                Reply::json(
                    200,
                    &json!({
                        "Id": machine.id,
                        "Name": format!("/{}", machine.name),
                        "Config": { "Labels": machine.labels },
                        "State": { "Status": state(&machine), "Error": "" },
                        "Created": "2026-11-22T07:00:00.5Z",
                    }),
                )
            }),
            ("PUT", ["v1.41", "containers", word, "archive"]) => found(word).map(|machine| {
                self.archives
                    .lock()
                    .insert(machine.id, asked.body.clone().into_bytes());
                Reply::text(200, "")
            }),
            ("POST", ["v1.41", "containers", word, "start"]) => found(word).map(|machine| {
                self.cloud.start(&machine.id);
                Reply::text(204, "")
            }),
            ("DELETE", ["v1.41", "containers", word]) => found(word).map(|machine| {
                self.cloud.remove(&machine.id);
                Reply::text(204, "")
            }),
            _ => Err(complain(404, "page not found")),
        };
        answer.unwrap_or_else(|refused| refused)
    }

    fn rate_limited(&self) -> Reply {
        complain(429, "too many requests")
    }
}
