//! How the instances of a cluster stand in sum, for readers that need no more.

use serde::{Deserialize, Serialize};

use crate::document::{self, Writer};
use crate::status::{State, Status, Verdict};

/// What one reporter says of a cluster: of those of its instances that it writes. Its node is there as long as its
/// session. Readers add up what all reporters say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of the format.
    pub v: u32,
    /// Instances that work.
    pub up: u64,
    /// Instances that do not answer.
    pub down: u64,
    /// Instances that live and do not serve as they should, or flap.
    pub degraded: u64,
    /// Instances of which nothing is known.
    pub unknown: u64,
    /// Counts the summaries that this writer has written.
    pub seq: u64,
    /// Who wrote it.
    pub writer: Writer,
}

impl Summary {
    /// Of no instance yet.
    pub(super) fn new(writer: &Writer) -> Self {
        Self {
            v: document::VERSION,
            up: 0,
            down: 0,
            degraded: 0,
            unknown: 0,
            seq: 0,
            writer: writer.clone(),
        }
    }

    /// One instance more.
    pub(super) fn add(&mut self, status: &Status) {
        let count = match (status.state, status.verdict) {
            (State::Flapping, _) | (_, Verdict::Degraded) => &mut self.degraded,
            (_, Verdict::Up) => &mut self.up,
            (_, Verdict::Down) => &mut self.down,
            (_, Verdict::Unknown) => &mut self.unknown,
        };
        *count += 1;
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
