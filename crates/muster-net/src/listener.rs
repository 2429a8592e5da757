//! Listening sockets that a component's generations hand on to each other.

mod datagrams;
mod socket;
mod streams;

use std::io;
use std::time::Duration;

use muster_plugin::{ComponentId, PluginError, ResourceTaken, Resources};

use crate::Address;

pub use datagrams::{Datagrams, listen_datagrams};
pub(crate) use socket::tune;
pub use streams::{Accepted, Listening, Parking, listen};

/// How sockets are set up. What is not given stays as the system has it.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// Size of the kernel's receive buffer.
    pub receive_buffer: Option<usize>,
    /// Time between keep-alive probes of TCP connections; zero turns them off.
    pub keep_alive: Option<Duration>,
    /// Permission bits of a unix socket's file.
    pub mode: Option<u32>,
}

impl SocketOptions {
    /// Reads permission bits as Telegraf writes them: `"777"`, in octal.
    ///
    /// # Errors
    /// If the text is no octal number up to 777.
    pub fn parse_mode(text: &str) -> Result<Option<u32>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Some(mode)),
            _ => Err(format!(
                "\"{text}\" are no permission bits; write for example \"660\""
            )),
        }
    }
}

/// Why a socket could not be had.
enum BindError {
    Taken(ResourceTaken),
    Io(io::Error),
}

impl From<ResourceTaken> for BindError {
    fn from(taken: ResourceTaken) -> Self {
        Self::Taken(taken)
    }
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl BindError {
    fn at(self, address: &Address) -> PluginError {
        let failed = PluginError::new(format!("listen on {address}"));
        match self {
            Self::Taken(taken) => failed.because(taken).with_hint("choose another address"),
            Self::Io(error) if error.kind() == io::ErrorKind::AddrInUse => failed
                .because(error)
                .with_hint("another program or component listens there"),
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => failed
                .because(error)
                .with_hint("ports below 1024 need a privilege"),
            Self::Io(error) => failed.because(error),
        }
    }
}

/// When the system says that an address is in use: which component holds it under the wildcard
/// address, if one does.
fn holder_of_wildcard(
    resources: &Resources,
    owner: &ComponentId,
    kind: &str,
    port: u16,
) -> Option<ResourceTaken> {
    for host in ["[::]", "0.0.0.0"] {
        let name = format!("{kind}:{host}:{port}");
        let nothing = || Err::<(), _>(BindError::Io(io::ErrorKind::NotFound.into()));
        if let Err(BindError::Taken(taken)) = resources.take(owner, &name, nothing) {
            return Some(taken);
        }
    }
    None
}

/// The name of a socket among the exclusive resources. Port 0 means a new port each time, so such
/// sockets of several components do not collide.
fn resource_name(kind: &str, at: std::net::SocketAddr, owner: &ComponentId) -> String {
    if at.port() == 0 {
        format!("{kind}:{at} of {owner}")
    } else {
        format!("{kind}:{at}")
    }
}
