//! Telling others: publishers read the board at their own pace and write it where readers look.

pub(crate) mod file;

pub use file::{FileDocument, FilePublisher, FilePublisherOptions};

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
