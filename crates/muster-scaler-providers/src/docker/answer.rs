//! What the engine answers, pure.

use muster_scaler_core::Time;
use muster_scaler_core::provider::{ListedServer, Phase, Refusal};
use serde_json::Value;

use crate::clock;
use crate::http::{Reply, text, texts};

/// A container of a listing, if it is one.
pub(super) fn listed(one: &Value) -> Option<ListedServer> {
    let name = one["Names"][0].as_str()?;
    let networks = &one["NetworkSettings"]["Networks"];
    Some(ListedServer {
        id: one["Id"].as_str()?.to_owned(),
        name: name.trim_start_matches('/').to_owned(),
        labels: texts(&one["Labels"]),
        phase: phase(one["State"].as_str()?, ""),
        address: address(networks),
        created: one["Created"].as_i64().map(Time::from_secs),
    })
}

/// A container that was looked at by its ID, if it is one.
pub(super) fn inspected(one: &Value) -> Option<ListedServer> {
    let state = &one["State"];
    Some(ListedServer {
        id: one["Id"].as_str()?.to_owned(),
        name: one["Name"].as_str()?.trim_start_matches('/').to_owned(),
        labels: texts(&one["Config"]["Labels"]),
        phase: phase(state["Status"].as_str()?, text(&state["Error"])),
        address: address(&one["NetworkSettings"]["Networks"]),
        created: clock::parse(text(&one["Created"])),
    })
}

fn phase(state: &str, error: &str) -> Phase {
    match state {
        "removing" => Phase::Deleting,
        "created" if !error.is_empty() => Phase::Error(error.to_owned()),
        "created" | "restarting" => Phase::Building,
        "running" => Phase::Active,
        "paused" | "exited" => Phase::Stopped,
        "dead" => Phase::Error("it could not be removed whole".to_owned()),
        other => Phase::Other(other.to_owned()),
    }
}

fn address(networks: &Value) -> Option<String> {
    let networks = networks.as_object().into_iter().flatten();
    let mut addresses = networks.filter_map(|(_, network)| network["IPAddress"].as_str());
    addresses
        .find(|address| !address.is_empty())
        .map(str::to_owned)
}

/// How an answer refuses a creation; `None` if nobody knows what was done.
pub(super) fn refusal(reply: &Reply) -> Option<Refusal> {
    match reply.status {
        429 => Some(Refusal::RateLimit),
        507 => Some(Refusal::Capacity),
        400..500 => Some(Refusal::Invalid),
        _ => None,
    }
}

/// What an answer that is none says, as a line.
pub(super) fn complaint(reply: &Reply) -> String {
    let body = reply.json();
    let said = body["message"]
        .as_str()
        .map_or_else(|| reply.text(), str::to_owned);
    format!("status {}: {}", reply.status, said.trim())
}
