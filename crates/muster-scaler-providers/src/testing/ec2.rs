//! EC2's query API, with its manners: tags need not be unique, what is terminated stays visible, a client
//! token makes no second instance, pages have tokens.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_tasks::Group;
use parking_lot::Mutex;
use toml::Table;

use super::cloud::{Cloud, Faults, Machine};
use super::http::{Asked, Double, Reply, Served, serve};
use super::{Fault, World};
use crate::build;

const SECRET: &str = "ec2-secret-77aa";

/// So many instances are on one page, whatever is asked for.
const PAGE: usize = 2;

/// A region of EC2 in memory.
#[derive(Debug)]
pub struct Ec2World {
    served: Served,
    double: Arc<Ec2>,
    group: Group,
}

impl Ec2World {
    /// An empty one, served by tasks of `group`.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn new(group: &Group) -> Self {
        let (served, double) = serve(group, |_| Arc::new(Ec2::default())).await;
        Self {
            served,
            double,
            group: group.clone(),
        }
    }

    /// A provider with this value of one option.
    ///
    /// # Panics
    /// If it is no good.
    pub fn with(&self, option: &str, value: &str) -> Arc<dyn Provider> {
        let own = [
            ("kind", "ec2"),
            ("url", self.served.url.as_str()),
            ("region", "mars-north-1"),
            ("access_key_id", "AKIDEXAMPLE"),
            ("secret_access_key", SECRET),
            ("image_id", "ami-1"),
            ("instance_type", "c7i.large"),
        ];
        let pairs = own.into_iter().chain([(option, value)]);
        let table: Table = pairs
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        build(&table, &self.group).expect("options").provider
    }
}

#[async_trait]
impl World for Ec2World {
    fn provider(&self) -> Arc<dyn Provider> {
        self.with("kind", "ec2")
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (self.with("access_key_id", "AKIDWRONG"), "AuthFailure"),
            (self.with("image_id", "ami-9"), "InvalidAMIID"),
            (self.with("url", "http://127.0.0.1:1"), "connect"),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        let mut labels = labels.clone();
        labels.insert("Name".to_owned(), name.to_owned());
        self.double.create(name, labels)
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let mut servers = self.double.cloud.listed();
        // The name is a tag like all others there, and no label.
        for server in &mut servers {
            server.labels.remove("Name");
        }
        servers
    }

    fn fault(&self, fault: Fault) -> bool {
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
struct Ec2 {
    cloud: Cloud,
    /// The instances that were run with a client token.
    tokens: Mutex<BTreeMap<String, String>>,
}

fn error(status: u16, code: &str) -> Reply {
    let error = format!("<Error><Code>{code}</Code><Message>it is refused</Message></Error>");
    Reply::text(
        status,
        format!("<Response><Errors>{error}</Errors></Response>"),
    )
}

fn parameters(asked: &Asked) -> BTreeMap<String, String> {
    form_urlencoded::parse(asked.body.as_bytes())
        .into_owned()
        .collect()
}

fn show(machine: &Machine) -> String {
    let state = match machine.phase {
        Phase::Building => "pending",
        Phase::Deleting => "shutting-down",
        _ => "running",
    };
    let mut tags = String::new();
    for (key, value) in &machine.labels {
        let _ = write!(tags, "<item><key>{key}</key><value>{value}</value></item>");
    }
    format!(
        "<item><instancesSet><item><instanceId>{}</instanceId><instanceState><name>{state}</name></instanceState>\
         <launchTime>2026-11-22T07:00:00.000Z</launchTime><tagSet>{tags}</tagSet></item></instancesSet></item>",
        machine.id
    )
}

impl Ec2 {
    fn create(&self, name: &str, labels: BTreeMap<String, String>) -> String {
        let id = format!("i-{:017x}", self.cloud.number());
        self.cloud.create(id.clone(), name, labels);
        id
    }

    fn run(&self, asked: &BTreeMap<String, String>) -> Reply {
        let value = |key: &str| asked.get(key).map_or("", String::as_str);
        if value("ImageId") != "ami-1" {
            return error(400, "InvalidAMIID.NotFound");
        }
        if value("DryRun") == "true" {
            return error(412, "DryRunOperation");
        }
        let mut tokens = self.tokens.lock();
        let there = tokens.get(value("ClientToken")).cloned();
        let there = there.filter(|id| self.cloud.all().iter().any(|machine| machine.id == *id));
        if there.is_none() && self.cloud.faults.take(Fault::Quota) {
            return error(400, "InstanceLimitExceeded");
        }
        if there.is_none() && self.cloud.faults.take(Fault::NoCapacity) {
            return error(500, "InsufficientInstanceCapacity");
        }
        let id = there.unwrap_or_else(|| {
            let tag = |at: usize| {
                let key = asked.get(&format!("TagSpecification.1.Tag.{at}.Key"))?;
                let value = asked.get(&format!("TagSpecification.1.Tag.{at}.Value"))?;
                Some((key.clone(), value.clone()))
            };
            let labels: BTreeMap<_, _> = (1..).map_while(tag).collect();
            let name = labels.get("Name").cloned().unwrap_or_default();
            self.create(&name, labels)
        });
        tokens.insert(value("ClientToken").to_owned(), id.clone());
        let set =
            format!("<instancesSet><item><instanceId>{id}</instanceId></item></instancesSet>");
        Reply::text(
            200,
            format!("<RunInstancesResponse>{set}</RunInstancesResponse>"),
        )
    }

    fn describe(&self, asked: &BTreeMap<String, String>) -> Reply {
        if let Some(id) = asked.get("InstanceId.1") {
            return match self.cloud.get(id) {
                Some(machine) => instances(&show(&machine), ""),
                None => error(400, "InvalidInstanceID.NotFound"),
            };
        }
        let filter = asked
            .get("Filter.1.Name")
            .and_then(|name| name.strip_prefix("tag:"));
        let mut machines = self.cloud.list();
        if let Some(tag) = filter {
            machines.retain(|machine| machine.labels.get(tag) == asked.get("Filter.1.Value.1"));
        }
        let skipped: usize = asked
            .get("NextToken")
            .and_then(|token| token.parse().ok())
            .unwrap_or(0);
        let more = machines.len() > skipped + PAGE;
        // The last page is what fails.
        if filter == Some("muster-owner") && !more && self.cloud.faults.take(Fault::Partial) {
            return error(503, "Unavailable");
        }
        let shown: String = machines.iter().skip(skipped).take(PAGE).map(show).collect();
        let next = if more {
            format!("<nextToken>{}</nextToken>", skipped + PAGE)
        } else {
            String::new()
        };
        instances(&shown, &next)
    }
}

fn instances(shown: &str, next: &str) -> Reply {
    let set = format!("<reservationSet>{shown}</reservationSet>{next}");
    Reply::text(
        200,
        format!("<DescribeInstancesResponse xmlns=\"urn:x\">{set}</DescribeInstancesResponse>"),
    )
}

#[async_trait]
impl Double for Ec2 {
    fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    fn changes(&self, asked: &Asked) -> bool {
        let asked = parameters(asked);
        let action = asked.get("Action").map_or("", String::as_str);
        matches!(action, "RunInstances" | "TerminateInstances") && !asked.contains_key("DryRun")
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        if !asked
            .header("Authorization")
            .contains("Credential=AKIDEXAMPLE/")
        {
            return error(401, "AuthFailure");
        }
        let asked = parameters(asked);
        match asked.get("Action").map_or("", String::as_str) {
            "RunInstances" => self.run(&asked),
            "DescribeInstances" => self.describe(&asked),
            "TerminateInstances" => {
                let id = asked.get("InstanceId.1").map_or("", String::as_str);
                match self.cloud.delete(id) {
                    true => Reply::text(200, "<TerminateInstancesResponse/>"),
                    false => error(400, "InvalidInstanceID.NotFound"),
                }
            }
            _ => error(400, "InvalidAction"),
        }
    }

    fn rate_limited(&self) -> Reply {
        error(503, "RequestLimitExceeded")
    }
}
