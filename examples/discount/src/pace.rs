//! How much faster than in the story time passes.

use std::time::Duration;

/// Divides all times of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    faster: u32,
}

impl Pace {
    /// So many times faster; 0 counts as 1.
    #[must_use]
    pub fn new(faster: u32) -> Self {
        Self {
            faster: faster.max(1),
        }
    }

    /// How long this takes here.
    #[must_use]
    pub fn of(self, time: Duration) -> Duration {
        time / self.faster
    }
}
