//! What the API answers, pure.

use std::net::Ipv6Addr;

use muster_scaler_core::provider::{ListedServer, Phase, Refusal};
use serde_json::Value;

use crate::clock;
use crate::http::{Reply, text, texts};

/// One page of servers.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) servers: Vec<ListedServer>,
    /// Whether it is a page at all.
    pub(super) whole: bool,
    /// The number of the next page.
    pub(super) next: Option<u64>,
}

/// One page of servers.
pub(super) fn page(listed: &Value) -> Page {
    let all = listed["servers"].as_array();
    let servers: Vec<Option<ListedServer>> = all.into_iter().flatten().map(server).collect();
    Page {
        whole: all.is_some() && servers.iter().all(Option::is_some),
        servers: servers.into_iter().flatten().collect(),
        next: listed["meta"]["pagination"]["next_page"].as_u64(),
    }
}

/// A server, if it is one.
pub(super) fn server(one: &Value) -> Option<ListedServer> {
    let net = &one["public_net"];
    let addresses = [&net["ipv4"]["ip"], &one["private_net"][0]["ip"]];
    let address = addresses.into_iter().find_map(Value::as_str);
    let ipv6 = || net["ipv6"]["ip"].as_str().and_then(first_of);
    let phase = match one["status"].as_str()? {
        "initializing" | "starting" => Phase::Building,
        "running" => Phase::Active,
        "off" | "stopping" => Phase::Stopped,
        "deleting" => Phase::Deleting,
        other => Phase::Other(other.to_owned()),
    };
    Some(ListedServer {
        id: one["id"].as_u64()?.to_string(),
        name: one["name"].as_str()?.to_owned(),
        labels: texts(&one["labels"]),
        phase,
        address: address.map(str::to_owned).or_else(ipv6),
        created: clock::parse(text(&one["created"])),
    })
}

/// The first address of a network: the API does not give the server's address of IPv6, but its network.
fn first_of(network: &str) -> Option<String> {
    let Some((begin, _)) = network.split_once('/') else {
        return Some(network.to_owned());
    };
    let begin: Ipv6Addr = begin.parse().ok()?;
    Some(Ipv6Addr::from_bits(begin.to_bits() | 1).to_string())
}

/// How an answer refuses a creation; `None` if nobody knows what was done.
pub(super) fn refusal(reply: &Reply) -> Option<Refusal> {
    match text(&reply.json()["error"]["code"]) {
        "resource_limit_exceeded" => return Some(Refusal::Quota),
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => {
            return Some(Refusal::Capacity);
        }
        "rate_limit_exceeded" | "locked" | "conflict" | "maintenance" => {
            return Some(Refusal::RateLimit);
        }
        _ => {}
    }
    match reply.status {
        429 => Some(Refusal::RateLimit),
        400..500 => Some(Refusal::Invalid),
        _ => None,
    }
}

/// What an answer that is none says, as a line.
pub(super) fn complaint(reply: &Reply) -> String {
    let body = reply.json();
    let error = &body["error"];
    match error["message"].as_str() {
        Some(message) => format!(
            "status {}: {}: {message}",
            reply.status,
            text(&error["code"])
        ),
        None => format!("status {}: {}", reply.status, reply.text().trim()),
    }
}
