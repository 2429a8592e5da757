//! Which keys there are in a store, and what is in them: the same in ZooKeeper, where they are nodes, as in etcd.

use std::fmt::Write;
use std::time::Duration;

use muster_options::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::document::{Document, TooLarge, Writer};
use crate::status::{Instance, Status, Target};

/// Below the root, everything of this version of the layout.
pub(crate) const VERSIONED: &str = "/v1";

/// Where the reporters are, and where instances are that are up (mode `ephemeral`).
pub(crate) const REPORTERS: &str = "/v1/reporters";
const UP: &str = "/v1/up";

/// What is written for an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// A document, whatever its state: `<root>/v1/<kind>/<cluster>/<host>:<port>`.
    #[default]
    Status,
    /// The document, as long as it is up: `<root>/v1/up/<cluster>/<host>:<port>`.
    Ephemeral,
    /// Host and port as nerve writes them, as long as it is up: `<root>/<cluster>/<host>:<port>`.
    Nerve,
    /// Address and state as codis' proxies write them, as long as it is up:
    /// `<root>/<cluster>/proxy-<host>:<port>`.
    Jodis,
}

impl PublishMode {
    /// Whether an instance's key goes with its reporter.
    pub(super) fn is_bound(self) -> bool {
        self != Self::Status
    }

    /// What is above the keys of the instance's cluster.
    pub(super) fn folder(self, instance: &Instance) -> String {
        let cluster = cluster_of(instance);
        match self {
            Self::Status => format!("{VERSIONED}/{}/{cluster}", instance.kind),
            Self::Ephemeral => format!("{UP}/{cluster}"),
            Self::Nerve | Self::Jodis => format!("/{cluster}"),
        }
    }

    /// The name of the instance's key.
    pub(super) fn name(self, instance: &Instance) -> String {
        let name = name_of(&instance.target.to_string());
        match self {
            Self::Jodis => format!("proxy-{name}"),
            _ => name,
        }
    }

    /// What the instance's key holds; `None` if there is to be none. A document is written anew about every `refresh`, if
    /// it is not zero.
    pub(super) fn body(
        self,
        instance: &Instance,
        status: &Status,
        writer: &Writer,
        refresh: Duration,
    ) -> Result<Option<Vec<u8>>, TooLarge> {
        if self != Self::Status && !status.is_up() {
            return Ok(None);
        }
        let address = instance.target.to_string();
        let (host, port) = match &instance.target {
            Target::Tcp { host, port } => (host.as_str(), *port),
            _ => (address.as_str(), 0),
        };
        let body = match self {
            Self::Status | Self::Ephemeral => {
                let document = Document::new(instance, status, writer).refreshed(refresh);
                return document.to_json().map(Some);
            }
            Self::Nerve => json!({ "host": host, "port": port, "name": writer.id }),
            Self::Jodis => json!({
                "addr": address, "admin": "", "start": "", "token": address, "state": "online",
            }),
        };
        Ok(Some(body.to_string().into_bytes()))
    }
}

/// The key of what a reporter says of a cluster in sum.
pub(super) fn summary(cluster: &str, id: &str) -> String {
    format!("{VERSIONED}/summary/{cluster}/{}", name_of(id))
}

/// The key of a reporter.
pub(crate) fn reporter(id: &str) -> String {
    format!("{REPORTERS}/{}", name_of(id))
}

/// The instance's cluster as a part of keys.
pub(super) fn cluster_of(instance: &Instance) -> String {
    match instance.cluster.as_str() {
        "" => "default".to_owned(),
        cluster => name_of(cluster),
    }
}

/// A text as the name of a key: slashes, percent signs, control characters and a leading dot are
/// percent-encoded.
fn name_of(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c == '/' || c == '%' || c.is_control() || (c == '.' && at == 0) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(name, "%{byte:02X}");
            }
        } else {
            name.push(c);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::CheckKind;

    #[test]
    fn paths() {
        let check = |mode: PublishMode, cluster: &str, target: Target, expected: &str| {
            let instance = Instance {
                kind: CheckKind::Redis,
                cluster: cluster.to_owned(),
                target,
            };
            let path = format!("{}/{}", mode.folder(&instance), mode.name(&instance));
            assert_eq!(path, expected);
        };
        let tcp = || Target::Tcp {
            host: "::1".to_owned(),
            port: 1,
        };
        check(PublishMode::Status, "shop", tcp(), "/v1/redis/shop/[::1]:1");
        check(PublishMode::Ephemeral, "", tcp(), "/v1/up/default/[::1]:1");
        check(PublishMode::Nerve, "a/b", tcp(), "/a%2Fb/[::1]:1");
        check(PublishMode::Jodis, "..", tcp(), "/%2E./proxy-[::1]:1");
        let socket = Target::Socket("/run/redis.sock".into());
        check(
            PublishMode::Status,
            "x",
            socket,
            "/v1/redis/x/%2Frun%2Fredis.sock",
        );
    }
}
