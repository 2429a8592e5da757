//! What the API answers, pure.

use muster_scaler_core::provider::{ListedServer, Phase, Refusal};
use roxmltree::{Document, Node};

use crate::clock;
use crate::http::Reply;

/// One page of instances.
#[derive(Debug)]
pub(super) struct Page {
    /// Those that are not terminated.
    pub(super) servers: Vec<ListedServer>,
    /// The token of the next page.
    pub(super) next: Option<String>,
}

/// One page of instances; `None` if the text is none, or one of them cannot be read.
pub(super) fn page(text: &str) -> Option<Page> {
    let document = Document::parse(text).ok()?;
    let root = document.root_element();
    let reservations = items(child(root, "reservationSet")?);
    let instances = reservations
        .filter_map(|one| child(one, "instancesSet"))
        .flat_map(items);
    let servers: Option<Vec<_>> = instances
        .filter(|one| state(*one) != Some("terminated"))
        .map(server)
        .collect();
    let next = child_text(root, "nextToken").filter(|token| !token.is_empty());
    Some(Page {
        servers: servers?,
        next: next.map(str::to_owned),
    })
}

/// The ID of the instance that was run.
pub(super) fn instance_id(text: &str) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let instance = items(child(document.root_element(), "instancesSet")?).next()?;
    child_text(instance, "instanceId").map(str::to_owned)
}

fn server(one: Node<'_, '_>) -> Option<ListedServer> {
    let tags = child(one, "tagSet").into_iter().flat_map(items);
    let mut labels: std::collections::BTreeMap<_, _> = tags
        .filter_map(|tag| {
            Some((
                child_text(tag, "key")?.to_owned(),
                child_text(tag, "value").unwrap_or("").to_owned(),
            ))
        })
        .collect();
    let phase = match state(one)? {
        "pending" => Phase::Building,
        "running" => Phase::Active,
        "stopping" | "stopped" => Phase::Stopped,
        "shutting-down" => Phase::Deleting,
        other => Phase::Other(other.to_owned()),
    };
    let address = child_text(one, "ipAddress").or_else(|| child_text(one, "privateIpAddress"));
    Some(ListedServer {
        id: child_text(one, "instanceId")?.to_owned(),
        // It is ours, too, but no label.
        name: labels.remove("Name").unwrap_or_default(),
        labels,
        phase,
        address: address.map(str::to_owned),
        created: child_text(one, "launchTime").and_then(clock::parse),
    })
}

fn state<'a>(one: Node<'a, 'a>) -> Option<&'a str> {
    child_text(child(one, "instanceState")?, "name")
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children()
        .find(|child| child.tag_name().name() == name)
}

fn child_text<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    child(node, name)?.text()
}

fn items<'a>(node: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children()
        .filter(|child| child.tag_name().name() == "item")
}

/// Code and message of an error.
fn error(reply: &Reply) -> Option<(String, String)> {
    let text = reply.text();
    let document = Document::parse(&text).ok()?;
    let error = document
        .descendants()
        .find(|node| node.tag_name().name() == "Error")?;
    let part = |name| child_text(error, name).unwrap_or("").to_owned();
    Some((part("Code"), part("Message")))
}

/// How an answer refuses a creation; `None` if it does not, or if nobody knows what was done.
pub(super) fn refusal(reply: &Reply) -> Option<Refusal> {
    let code = error(reply).map(|(code, _)| code).unwrap_or_default();
    match code.as_str() {
        "InstanceLimitExceeded" | "VcpuLimitExceeded" | "MaxSpotInstanceCountExceeded" => {
            Some(Refusal::Quota)
        }
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "SpotMaxPriceTooLow" => Some(Refusal::Capacity),
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => Some(Refusal::RateLimit),
        _ if (400..500).contains(&reply.status) => Some(Refusal::Invalid),
        _ => None,
    }
}

/// Whether there is no such instance.
pub(super) fn is_not_found(reply: &Reply) -> bool {
    error(reply).is_some_and(|(code, _)| {
        code == "InvalidInstanceID.NotFound" || code == "InvalidInstanceID.Malformed"
    })
}

/// Whether what was only tried would work.
pub(super) fn would_work(reply: &Reply) -> bool {
    error(reply).is_some_and(|(code, _)| code == "DryRunOperation")
}

/// What an answer that is none says, as a line.
pub(super) fn complaint(reply: &Reply) -> String {
    match error(reply) {
        Some((code, message)) => format!("status {}: {code}: {message}", reply.status),
        None => format!("status {}: {}", reply.status, reply.text().trim()),
    }
}
