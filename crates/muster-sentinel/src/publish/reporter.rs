//! The key that says that somebody looks.

use serde::{Deserialize, Serialize};

use crate::document::Writer;

/// What a reporter says of itself. Its key is there as long as its session, or its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporter {
    /// The version of the format.
    pub v: u32,
    /// Who it is; the documents that it writes name the same.
    pub writer: Writer,
    /// The host's name.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Its program's version.
    pub version: String,
    /// It writes each document anew about so often, in milliseconds.
    pub refresh_ms: u64,
}

impl Reporter {
    /// This process.
    pub(super) fn here(writer: Writer, refresh: std::time::Duration) -> Self {
        Self {
            v: crate::document::VERSION,
            writer,
            host: super::default_writer(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            refresh_ms: u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
