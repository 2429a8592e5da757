//! Telling others: publishers read the board at their own pace and write it where readers look.

pub(crate) mod file;
pub(crate) mod zookeeper;

pub use file::{FileDocument, FilePublisher, FilePublisherOptions};
pub(crate) use zookeeper::{REPORTERS, VERSIONED, reporter_path};
pub use zookeeper::{Reporter, ZooKeeperMode, ZooKeeperPublisher, ZooKeeperPublisherOptions};

/// The name under which this agent reports, if none is configured: the host's.
pub(crate) fn default_writer() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}
