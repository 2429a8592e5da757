//! What Nova is asked and what it answers, pure.

use muster_scaler_core::provider::{Limits, ListedServer, Phase, Refusal, ServerSpec, label};
use serde_json::{Value, json};

use super::OpenStackOptions;
use crate::clock;
use crate::http::{Reply, text, texts};

/// The version of the API: the first in which the servers of cells that do not answer are listed.
pub(super) const MICROVERSION: &str = "2.69";

/// The first page or a further one of a listing.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) servers: Vec<ListedServer>,
    /// Whether all of them were there.
    pub(super) complete: bool,
    /// The query of the next page.
    pub(super) next: Option<String>,
}

/// The body of a creation.
pub(super) fn create(
    options: &OpenStackOptions,
    spec: &ServerSpec,
    owner: &str,
    flavor: &str,
    image: &str,
    user_data: &str,
) -> Value {
    let networks = match options.networks.as_slice() {
        [] => json!("auto"),
        [word] if word == "auto" || word == "none" => json!(word),
        ids => ids.iter().map(|id| json!({ "uuid": id })).collect(),
    };
    let mut server = json!({
        "name": spec.name.0,
        "flavorRef": flavor,
        "imageRef": image,
        "user_data": user_data,
        "metadata": spec.labels,
        "tags": [format!("{}={owner}", label::OWNER)],
        "networks": networks,
        "config_drive": options.config_drive,
    });
    let groups = options
        .security_groups
        .iter()
        .map(|name| json!({ "name": name }));
    if groups.len() > 0 {
        server["security_groups"] = groups.collect();
    }
    for (key, value) in [
        ("key_name", &options.key_name),
        ("availability_zone", &options.availability_zone),
    ] {
        if !value.is_empty() {
            server[key] = json!(value);
        }
    }
    json!({ "server": server })
}

/// How an answer refuses a creation; `None` if it does not, or if nobody knows what was done.
pub(super) fn refusal(reply: &Reply) -> Option<Refusal> {
    let says = |word: &str| reply.text().to_lowercase().contains(word);
    match reply.status {
        403 | 413 if says("quota") => Some(Refusal::Quota),
        400 | 409 if says("no valid host") => Some(Refusal::Capacity),
        413 | 429 => Some(Refusal::RateLimit),
        400..500 => Some(Refusal::Invalid),
        _ => None,
    }
}

/// What an answer that is none says, as a line.
pub(super) fn complaint(reply: &Reply) -> String {
    let body = reply.json();
    // {"badRequest": {"message": ...}}, {"error": {"message": ...}}
    let inner = body
        .as_object()
        .and_then(|object| object.values().find_map(|one| one["message"].as_str()));
    let said = inner.map_or_else(|| reply.text(), str::to_owned);
    format!("status {}: {}", reply.status, said.trim())
}

/// One page of servers.
pub(super) fn page(listed: &Value) -> Page {
    let all = listed["servers"].as_array();
    let servers: Vec<Option<ListedServer>> = all.into_iter().flatten().map(server).collect();
    let links = listed["servers_links"].as_array().into_iter().flatten();
    let next = links
        .filter(|link| link["rel"] == "next")
        .find_map(|link| link["href"].as_str());
    Page {
        complete: all.is_some() && servers.iter().all(Option::is_some),
        servers: servers.into_iter().flatten().collect(),
        next: next
            .and_then(|href| href.split_once('?'))
            .map(|(_, query)| query.to_owned()),
    }
}

/// A server; `None` for the stub of one whose cell does not answer.
pub(super) fn server(one: &Value) -> Option<ListedServer> {
    // A stub has neither name nor metadata.
    let (name, metadata) = (one["name"].as_str()?, one["metadata"].as_object()?);
    let id = one["id"].as_str()?;
    let deleting = one["OS-EXT-STS:task_state"] == "deleting";
    let phase = match text(&one["status"]) {
        "DELETED" | "SOFT_DELETED" => Phase::Deleting,
        _ if deleting => Phase::Deleting,
        "BUILD" => Phase::Building,
        "ACTIVE" => Phase::Active,
        "ERROR" => Phase::Error(match text(&one["fault"]["message"]) {
            "" => "no reason given".to_owned(),
            why => why.to_owned(),
        }),
        "SHUTOFF" | "SUSPENDED" | "PAUSED" | "SHELVED" | "SHELVED_OFFLOADED" => Phase::Stopped,
        other => Phase::Other(other.to_owned()),
    };
    Some(ListedServer {
        id: id.to_owned(),
        name: name.to_owned(),
        labels: texts(&Value::Object(metadata.clone())),
        phase,
        address: address(&one["addresses"]),
        created: clock::parse(text(&one["created"])),
    })
}

/// A floating address if there is one, else the first.
fn address(networks: &Value) -> Option<String> {
    let networks = networks.as_object().into_iter().flatten();
    let all: Vec<&Value> = networks
        .flat_map(|(_, list)| list.as_array().into_iter().flatten())
        .collect();
    let floating = all.iter().find(|one| one["OS-EXT-IPS:type"] == "floating");
    let chosen = floating.or_else(|| all.first());
    chosen
        .and_then(|one| one["addr"].as_str())
        .map(str::to_owned)
}

/// Whether the API is new enough.
pub(super) fn check_version(about: &Value) -> Result<(), String> {
    let version = text(&about["version"]["version"]);
    let number = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    match (number(version), number(MICROVERSION)) {
        (Some(there), Some(needed)) if there < needed => Err(format!(
            "Nova's API has version {version}, and {MICROVERSION} (OpenStack Stein) is needed"
        )),
        _ => Ok(()),
    }
}

/// The quota of the project.
pub(super) fn limits(answer: &Value) -> Limits {
    let absolute = &answer["limits"]["absolute"];
    let number = |key: &str| absolute[key].as_i64();
    let bound = |key: &str| number(key).and_then(|most| u64::try_from(most).ok());
    let note = |what: &str, most: &str, used: &str| {
        let (most, used) = (bound(most)?, bound(used)?);
        Some(format!("{what}: {used} of {most} are used"))
    };
    let notes = [
        note("cores", "maxTotalCores", "totalCoresUsed"),
        note("MiB of memory", "maxTotalRAMSize", "totalRAMUsed"),
    ];
    Limits {
        servers: bound("maxTotalInstances"),
        used: bound("totalInstancesUsed"),
        notes: notes.into_iter().flatten().collect(),
    }
}
