//! Keystone, Nova and Glance, with the manners of the real ones: names may be used twice, servers of a cell
//! that does not answer are stubs at the head of a listing or (on further pages, and if the first has no
//! room for them) missing, a full quota is a 403, a server for which there is no room is taken and then
//! fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

const PASSWORD: &str = "nova-password-81c4";

const CREDENTIAL: &str = "application-credential-1";

/// What a server's administrator is told once.
const ADMIN_PASSWORD: &str = "nova-admin-pass-7b21";

/// So many servers are on one page.
const PAGE: usize = 6;

/// An OpenStack cloud in memory.
#[derive(Debug)]
pub struct NovaWorld {
    served: Served,
    double: Arc<Nova>,
    group: Group,
}

impl NovaWorld {
    /// Names a flavor or an image about which nothing can be learned, as what looks for it is busy.
    pub const BUSY: &str = "busy";

    /// An empty one, served by tasks of `group`.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn new(group: &Group) -> Self {
        let (served, double) = serve(group, |url| Arc::new(Nova::new(url))).await;
        Self {
            served,
            double,
            group: group.clone(),
        }
    }

    /// How often somebody has logged in.
    pub fn logins(&self) -> usize {
        self.double.tokens.load(Ordering::Acquire)
    }

    /// A provider that logs in by an application credential, with another secret than the right one if there
    /// is one.
    pub fn with_application_credential(&self, secret: Option<&str>) -> Arc<dyn Provider> {
        self.build(&[
            ("username", ""),
            ("password", ""),
            ("project", ""),
            ("application_credential_id", CREDENTIAL),
            ("application_credential_secret", secret.unwrap_or(PASSWORD)),
        ])
    }

    /// A provider with this value of one option.
    ///
    /// # Panics
    /// If it is no good.
    pub fn with(&self, option: &str, value: &str) -> Arc<dyn Provider> {
        self.build(&[(option, value)])
    }

    fn table(&self, changed: &[(&str, &str)]) -> Table {
        let mut table: Table = [
            ("kind", "openstack"),
            ("auth_url", &format!("{}/identity", self.served.url)),
            ("username", "muster"),
            ("password", PASSWORD),
            ("project", "ci"),
            ("flavor", "m1.small"),
            ("image", "runner"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
        for (key, value) in changed {
            table.insert((*key).to_owned(), (*value).into());
        }
        table
    }

    fn build(&self, changed: &[(&str, &str)]) -> Arc<dyn Provider> {
        build(&self.table(changed), &self.group)
            .expect("options")
            .provider
    }
}

#[async_trait]
impl World for NovaWorld {
    fn provider(&self) -> Arc<dyn Provider> {
        self.build(&[])
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (self.build(&[("password", "wrong-password-81c4")]), "401"),
            (self.build(&[("flavor", "m1.huge")]), "m1.huge"),
            (self.build(&[("image", "nothing")]), "nothing"),
            (self.build(&[("region", "Mars")]), "Mars"),
            (
                self.build(&[("auth_url", "http://127.0.0.1:1/v3")]),
                "auth_url",
            ),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![
            PASSWORD.to_owned(),
            "wrong-password-81c4".to_owned(),
            "nova-token-".to_owned(),
            ADMIN_PASSWORD.to_owned(),
        ]
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        self.double.create(name, labels.clone())
    }

    async fn servers(&self) -> Vec<ListedServer> {
        self.double.cloud.listed()
    }

    fn fault(&self, fault: Fault) -> bool {
        match fault {
            Fault::Expire => {
                self.double
                    .valid_from
                    .store(self.logins() + 1, Ordering::Release);
            }
            // It takes the request, and the server fails.
            Fault::NoCapacity => self.double.cloud.faults.add(Fault::BuildFails),
            fault => self.double.cloud.faults.add(fault),
        }
        true
    }

    fn calm(&self) {
        self.double.cloud.faults.calm();
    }

    fn calls(&self) -> usize {
        self.served.calls()
    }
}

#[derive(Debug)]
struct Nova {
    url: String,
    cloud: Cloud,
    /// So many tokens were given out.
    tokens: AtomicUsize,
    /// Tokens before this one have run out.
    valid_from: AtomicUsize,
}

impl Nova {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            cloud: Cloud::default(),
            tokens: AtomicUsize::new(0),
            valid_from: AtomicUsize::new(0),
        }
    }

    fn create(&self, name: &str, labels: BTreeMap<String, String>) -> String {
        let id = format!("00000000-0000-4000-8000-{:012}", self.cloud.number());
        self.cloud.create(id.clone(), name, labels);
        id
    }

    fn log_in(&self, asked: &Asked) -> Reply {
        let body = asked.json();
        let identity = &body["auth"]["identity"];
        let user = &identity["password"]["user"];
        let credential = &identity["application_credential"];
        let known = match identity["methods"][0].as_str() {
            Some("password") => user["name"] == "muster" && user["password"] == PASSWORD,
            Some("application_credential") => {
                credential["id"] == CREDENTIAL && credential["secret"] == PASSWORD
            }
            _ => false,
        };
        if !known {
            let message = "The request you have made requires authentication.";
            return Reply::json(
                401,
                &json!({ "error": { "code": 401, "message": message } }),
            );
        }
        let number = self.tokens.fetch_add(1, Ordering::AcqRel) + 1;
        let place = |kind: &str, path: &str| {
            json!({ "type": kind, "endpoints": [
                { "interface": "internal", "region_id": "RegionOne", "url": "http://internal.invalid" },
                { "interface": "public", "region_id": "RegionOne", "url": format!("{}{path}", self.url) },
            ] })
        };
        let catalog = [place("compute", "/compute/v2.1"), place("image", "/image")];
        Reply::json(201, &json!({ "token": { "catalog": catalog } }))
            .with("X-Subject-Token", format!("nova-token-{number}"))
    }

    fn is_logged_in(&self, asked: &Asked) -> bool {
        let number = asked.header("X-Auth-Token").strip_prefix("nova-token-");
        let number = number.and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| number >= self.valid_from.load(Ordering::Acquire))
    }

    fn create_server(&self, asked: &Asked) -> Reply {
        let body = asked.json();
        let server = &body["server"];
        if self.cloud.faults.take(Fault::Quota) {
            let message =
                "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances";
            return Reply::json(
                403,
                &json!({ "forbidden": { "code": 403, "message": message } }),
            );
        }
        let wrong = |message: &str| {
            Reply::json(
                400,
                &json!({ "badRequest": { "code": 400, "message": message } }),
            )
        };
        if server["flavorRef"] != "42" {
            return wrong("Flavor could not be found.");
        }
        if server["imageRef"] != "image-1" {
            return wrong("Can not find requested image");
        }
        let name = server["name"].as_str().unwrap_or_default();
        let id = self.create(name, texts(&server["metadata"]));
        Reply::json(
            202,
            &json!({ "server": { "id": id, "links": [], "adminPass": ADMIN_PASSWORD } }),
        )
    }

    fn list(&self, asked: &Asked) -> Reply {
        let mut machines = self.cloud.list();
        if let Some(marker) = asked.query("marker") {
            let before = machines.iter().position(|machine| machine.id == marker);
            machines.drain(..=before.unwrap_or_default());
        }
        let more = machines.len() > PAGE;
        machines.truncate(PAGE);
        let down = asked.query.is_empty() && self.cloud.faults.take(Fault::Partial);
        let mut servers: Vec<Value> = machines.iter().map(show).collect();
        if down && let Some(last) = servers.pop() {
            let stub = json!({ "id": last["id"], "status": "UNKNOWN", "links": [] });
            let room = if more { None } else { Some(stub) };
            servers.splice(..0, room);
        }
        let mut answer = json!({ "servers": servers });
        if more && let Some(last) = machines.last() {
            let href = format!(
                "http://internal.invalid/v2.1/servers/detail?marker={}",
                last.id
            );
            answer["servers_links"] = json!([{ "rel": "next", "href": href }]);
        }
        Reply::json(200, &answer)
    }

    fn images(&self, asked: &Asked) -> Reply {
        let image = json!({ "id": "image-1", "name": "runner", "status": "active" });
        match asked.parts().get(3) {
            Some(&"image-1") => Reply::json(200, &image),
            Some(&NovaWorld::BUSY) => Reply::text(503, "try again later"),
            Some(_) => Reply::text(404, "no such image"),
            None if asked.query("name") == Some("runner") => {
                Reply::json(200, &json!({ "images": [image] }))
            }
            None => Reply::json(200, &json!({ "images": [] })),
        }
    }
}

fn not_found(what: &str) -> Reply {
    let message = format!("{what} could not be found.");
    Reply::json(
        404,
        &json!({ "itemNotFound": { "code": 404, "message": message } }),
    )
}

fn show(machine: &Machine) -> Value {
    let (status, task, fault) = match &machine.phase {
        Phase::Building => ("BUILD", json!("spawning"), Value::Null),
        Phase::Error(why) => ("ERROR", Value::Null, json!({ "code": 500, "message": why })),
        Phase::Deleting => ("ACTIVE", json!("deleting"), Value::Null),
        _ => ("ACTIVE", Value::Null, Value::Null),
    };
    let mut shown = json!({
        "id": machine.id,
        "name": machine.name,
        "status": status,
        "OS-EXT-STS:task_state": task,
        "metadata": machine.labels,
        "addresses": {},
        "created": "2026-11-22T07:00:00Z",
    });
    if !fault.is_null() {
        shown["fault"] = fault;
    }
    shown
}

#[async_trait]
impl Double for Nova {
    fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    fn changes(&self, asked: &Asked) -> bool {
        asked.path.starts_with("/compute") && asked.method != "GET" && self.is_logged_in(asked)
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        let parts = asked.parts();
        if parts == ["identity", "v3", "auth", "tokens"] {
            return self.log_in(asked);
        }
        if !self.is_logged_in(asked) {
            return Reply::json(
                401,
                &json!({ "error": { "code": 401, "message": "Unauthorized" } }),
            );
        }
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["image", "v2", "images", ..]) => self.images(asked),
            ("GET", ["compute", "v2.1"]) => {
                Reply::json(200, &json!({ "version": { "version": "2.93" } }))
            }
            ("GET", ["compute", "v2.1", "limits"]) => Reply::json(
                200,
                &json!({ "limits": { "absolute": {
                "maxTotalInstances": 10, "totalInstancesUsed": self.cloud.all().len(),
            } } }),
            ),
            ("GET", ["compute", "v2.1", "flavors"]) => Reply::json(
                200,
                &json!({ "flavors": [{ "id": "42", "name": "m1.small" }] }),
            ),
            ("GET", ["compute", "v2.1", "flavors", "42"]) => Reply::json(200, &json!({})),
            ("GET", ["compute", "v2.1", "flavors", NovaWorld::BUSY]) => {
                Reply::text(503, "try again later")
            }
            ("GET", ["compute", "v2.1", "servers", "detail"]) => self.list(asked),
            ("GET", ["compute", "v2.1", "servers", id]) => match self.cloud.get(id) {
                Some(machine) => Reply::json(200, &json!({ "server": show(&machine) })),
                None => not_found("Instance"),
            },
            ("POST", ["compute", "v2.1", "servers"]) => self.create_server(asked),
            ("DELETE", ["compute", "v2.1", "servers", id]) if self.cloud.delete(id) => {
                Reply::text(204, "")
            }
            _ => not_found("It"),
        }
    }

    fn rate_limited(&self) -> Reply {
        Reply::text(429, "This request was rate-limited.").with("Retry-After", "1")
    }
}
