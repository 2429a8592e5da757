//! What one request may be.

use zookeeper_client::{Client, CreateMode};

use crate::shared::Shared;
use crate::{ErrorKind, Stat, path};

/// The most bytes that servers take in one packet unless they are told otherwise
/// (`jute.maxbuffer`). They answer a larger one by dropping the connection.
pub const MAX_PACKET: usize = 0xf_ffff;

/// Everything in a request beside paths, data and login: header, lengths, flags, access list.
const FRAMING: usize = 160;

/// How long a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is deleted.
    Persistent,
    /// As long as the session. It can have no children.
    Ephemeral,
}

impl From<Mode> for CreateMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Persistent => Self::Persistent,
            Mode::Ephemeral => Self::Ephemeral,
        }
    }
}

/// The bytes that one write takes in a packet in the worst case.
pub(crate) fn frame_bytes(shared: &Shared, path: &str, data: &[u8]) -> usize {
    FRAMING + shared.options.servers.root().len() + path.len() + data.len()
}

/// Whether a packet of so many bytes may be sent.
pub(crate) fn check_size(bytes: usize) -> Result<(), ErrorKind> {
    if bytes > MAX_PACKET {
        return Err(ErrorKind::TooLarge {
            bytes,
            limit: MAX_PACKET,
        });
    }
    Ok(())
}

/// Makes a node.
pub(crate) async fn create(
    shared: &Shared,
    client: &Client,
    path: &str,
    data: &[u8],
    mode: Mode,
) -> Result<Stat, ErrorKind> {
    let options = CreateMode::from(mode).with_acls(shared.acl());
    Ok(client.create(path, data, &options).await?.0.into())
}

/// Makes a node, and first the nodes above it if they are not there, those of the root too: others may have removed it
/// since the connection began.
pub(crate) async fn create_all(
    shared: &Shared,
    client: &Client,
    path: &str,
    data: &[u8],
    mode: Mode,
) -> Result<Stat, ErrorKind> {
    match create(shared, client, path, data, mode).await {
        Err(ErrorKind::NoNode) => {}
        done => return done,
    }
    let root = shared.options.servers.root().trim_end_matches('/');
    let above = format!("{root}{}", path::parent(path).unwrap_or_default());
    if !above.is_empty() {
        let whole = client.clone().chroot("/");
        let whole = whole.map_err(|_| ErrorKind::Client("it has no root".to_owned()))?;
        let directory = CreateMode::Persistent.with_acls(shared.acl());
        whole.mkdir(&above, &directory).await?;
    }
    create(shared, client, path, data, mode).await
}
