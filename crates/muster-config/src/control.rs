//! The `[control]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The options of the control API: the `[control]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// Where the API and the page listen, as `host:port`; empty for nowhere.
    pub address: String,
    /// Whether the API may listen on an address other than loopback without TLS.
    pub insecure: bool,
    /// Whether the API also listens on a unix socket in the state directory.
    pub unix_socket: bool,
    /// The path of the unix socket, if it is not to lie in the state directory.
    pub unix_socket_path: Option<String>,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8679".to_owned(),
            insecure: false,
            unix_socket: true,
            unix_socket_path: None,
        }
    }
}
