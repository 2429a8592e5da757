//! Telling others: publishers read the board at their own pace and write it where readers look.

pub(crate) mod etcd;
pub(crate) mod file;
mod layout;
mod ledger;
mod record;
mod reporter;
mod rounds;
mod summary;
#[cfg(test)]
mod testing;
pub(crate) mod zookeeper;

pub use etcd::{EtcdPublisher, EtcdPublisherOptions};
pub use file::{FileDocument, FilePublisher, FilePublisherOptions};
pub use layout::PublishMode;
pub(crate) use layout::{REPORTERS, VERSIONED, reporter as reporter_path};
pub use reporter::Reporter;
pub use summary::Summary;
pub use zookeeper::{ZooKeeperPublisher, ZooKeeperPublisherOptions, zookeeper_tls};

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
