//! Single checks: what is asked of an instance, and what its answer means.

mod dial;
mod redis;

use async_trait::async_trait;
use tokio::time::Instant;

pub use dial::Dialer;
pub(crate) use redis::ask_once;
pub use redis::{Depth, RedisOptions, RedisProbe};

use crate::status::{Answer, Outcome, Reason};

/// Checks one instance, again and again. It may keep a connection between checks.
#[async_trait]
pub trait Probe: Send {
    /// Checks once. Whoever calls it drops the future at `deadline` and asks
    /// [`overdue`](Self::overdue) then.
    async fn check(&mut self, deadline: Instant) -> Answer;

    /// What it means that the last check was dropped at its deadline.
    fn overdue(&self) -> Outcome;
}

/// How far a check over the network has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The host's name is looked up.
    #[default]
    Resolving,
    /// The connection is opened.
    Connecting,
    /// The connection stands, the answer is awaited.
    Waiting,
}

impl Phase {
    /// What it means that no more came.
    pub(crate) fn overdue(self) -> Outcome {
        let (reason, detail) = match self {
            Self::Resolving => (Reason::Dns, "the name was not resolved in time"),
            Self::Connecting => (Reason::Timeout, "no connection in time"),
            Self::Waiting => (Reason::Hung, "no answer in time"),
        };
        Outcome::new(reason, detail)
    }
}
