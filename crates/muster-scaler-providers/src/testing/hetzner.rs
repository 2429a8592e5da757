//! Hetzner's API, with its manners: names are unique, labels are found by a selector, a listing has pages, a
//! deletion is an action.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_tasks::Group;
use serde_json::{Value, json};
use toml::Table;

use super::cloud::{Cloud, Faults, Machine};
use super::http::{Asked, Double, Reply, Served, serve};
use super::{Fault, World};
use crate::build;
use crate::http::texts;

const TOKEN: &str = "hetzner-token-4bd1";

/// So many servers are on one page, whatever is asked for.
const PAGE: usize = 2;

/// A project of Hetzner Cloud in memory.
#[derive(Debug)]
pub struct HetznerWorld {
    served: Served,
    double: Arc<Hetzner>,
    group: Group,
}

impl HetznerWorld {
    /// An empty one, served by tasks of `group`.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn new(group: &Group) -> Self {
        let (served, double) = serve(group, |_| Arc::new(Hetzner::default())).await;
        Self {
            served,
            double,
            group: group.clone(),
        }
    }

    /// The options of a provider there.
    pub fn table(&self) -> Table {
        let url = format!("{}/v1", self.served.url);
        let own = [
            ("kind", "hetzner"),
            ("url", &url),
            ("token", TOKEN),
            ("server_type", "cx32"),
            ("image", "runner"),
            ("location", "fsn1"),
        ];
        let pairs = own.into_iter();
        pairs
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect()
    }

    fn build(&self, changed: &[(&str, &str)]) -> Arc<dyn Provider> {
        let mut table = self.table();
        for (key, value) in changed {
            table.insert((*key).to_owned(), (*value).into());
        }
        build(&table, &self.group).expect("options").provider
    }
}

#[async_trait]
impl World for HetznerWorld {
    fn provider(&self) -> Arc<dyn Provider> {
        self.build(&[])
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (
                self.build(&[("token", "hetzner-wrong-4bd1")]),
                "unauthorized",
            ),
            (self.build(&[("server_type", "cx9999")]), "cx9999"),
            (self.build(&[("image", "nothing")]), "nothing"),
            (self.build(&[("location", "mars1")]), "mars1"),
            (self.build(&[("url", "http://127.0.0.1:1")]), "connect"),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), "hetzner-wrong-4bd1".to_owned()]
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        self.double.create(name, labels.clone())
    }

    async fn servers(&self) -> Vec<ListedServer> {
        self.double.cloud.listed()
    }

    fn fault(&self, fault: Fault) -> bool {
        // A build that fails leaves no server here, and tokens do not run out.
        let can = !matches!(fault, Fault::BuildFails | Fault::Expire);
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
struct Hetzner {
    cloud: Cloud,
}

fn error(status: u16, code: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "error": { "code": code, "message": "it is refused" } }),
    )
}

fn show(machine: &Machine) -> Value {
    let status = match machine.phase {
        Phase::Building => "initializing",
        Phase::Deleting => "deleting",
        _ => "running",
    };
    json!({
        "id": machine.id.parse::<u64>().unwrap_or_default(),
        "name": machine.name,
        "status": status,
        "labels": machine.labels,
        "public_net": { "ipv4": { "ip": "192.0.2.7" }, "ipv6": { "ip": "2001:db8::/64" } },
        "private_net": [],
        "created": "2026-11-22T07:00:00+00:00",
    })
}

impl Hetzner {
    fn create(&self, name: &str, labels: BTreeMap<String, String>) -> String {
        let id = (7000 + self.cloud.number()).to_string();
        self.cloud.create(id.clone(), name, labels);
        id
    }

    fn create_server(&self, asked: &Asked) -> Reply {
        let body = asked.json();
        let name = body["name"].as_str().unwrap_or_default();
        if self.cloud.all().iter().any(|machine| machine.name == name) {
            return error(409, "uniqueness_error");
        }
        if self.cloud.faults.take(Fault::Quota) {
            return error(403, "resource_limit_exceeded");
        }
        if self.cloud.faults.take(Fault::NoCapacity) {
            return error(412, "resource_unavailable");
        }
        let fits = body["server_type"] == "cx32"
            && body["image"] == "runner"
            && body["location"] == "fsn1";
        if !fits {
            return error(422, "invalid_input");
        }
        let id = self.create(name, texts(&body["labels"]));
        let id = id.parse::<u64>().unwrap_or_default();
        Reply::json(
            201,
            &json!({ "server": { "id": id }, "action": { "status": "running" } }),
        )
    }

    fn list(&self, asked: &Asked) -> Reply {
        let mut machines = self.cloud.list();
        let total = machines.len();
        if let Some(name) = asked.query("name") {
            machines.retain(|machine| machine.name == name);
        }
        if let Some((key, value)) = asked
            .query("label_selector")
            .and_then(|text| text.split_once('='))
        {
            machines.retain(|machine| machine.labels.get(key).is_some_and(|own| own == value));
        }
        let page: usize = asked
            .query("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1);
        let skipped = page.saturating_sub(1).saturating_mul(PAGE);
        let more = machines.len() > skipped + PAGE;
        // The last page is what fails.
        if asked.query("label_selector").is_some()
            && !more
            && self.cloud.faults.take(Fault::Partial)
        {
            return error(503, "unavailable");
        }
        let shown: Vec<Value> = machines.iter().skip(skipped).take(PAGE).map(show).collect();
        let next = if more { json!(page + 1) } else { Value::Null };
        let pagination = json!({ "page": page, "next_page": next, "total_entries": total });
        Reply::json(
            200,
            &json!({ "servers": shown, "meta": { "pagination": pagination } }),
        )
    }
}

#[async_trait]
impl Double for Hetzner {
    fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    fn changes(&self, asked: &Asked) -> bool {
        asked.method != "GET"
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        if asked.header("Authorization") != format!("Bearer {TOKEN}") {
            return error(401, "unauthorized");
        }
        let parts = asked.parts();
        let named = |key: &str, name: &str| {
            let found = asked.query("name").filter(|asked| *asked == name);
            let found: Vec<Value> = found
                .map(|name| json!({ "name": name }))
                .into_iter()
                .collect();
            Reply::json(200, &json!({ key: found }))
        };
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["v1", "servers"]) => self.list(asked),
            ("POST", ["v1", "servers"]) => self.create_server(asked),
            ("GET", ["v1", "servers", id]) => match self.cloud.get(id) {
                Some(machine) => Reply::json(200, &json!({ "server": show(&machine) })),
                None => error(404, "not_found"),
            },
            ("DELETE", ["v1", "servers", id]) if self.cloud.delete(id) => {
                Reply::json(200, &json!({ "action": { "status": "running" } }))
            }
            ("GET", ["v1", "server_types"]) => named("server_types", "cx32"),
            ("GET", ["v1", "images"]) => named("images", "runner"),
            ("GET", ["v1", "locations"]) => named("locations", "fsn1"),
            _ => error(404, "not_found"),
        }
    }

    fn rate_limited(&self) -> Reply {
        error(429, "rate_limit_exceeded")
    }
}
