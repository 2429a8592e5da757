//! Whether there is a session and a connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::SessionId;

/// Whether there is a session and a connection. All times are of the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There was no session yet, or the last one is over; one is being opened.
    Connecting,
    /// Operations are possible.
    Connected(Connection),
    /// The connection was lost. The session may still live, and what is bound to it with it: whoever
    /// acts as an owner stops until the connection is back.
    Suspended {
        /// The connection that was lost.
        connection: Connection,
        /// When that was noticed.
        since: Instant,
        /// When the session must be taken for lost: never later than the servers can end it.
        until: Instant,
    },
    /// What is bound to the session must be taken for gone. The next connection is with a new
    /// session, unless the servers still know the old one (possible with [`Lost::TimeUp`] only).
    Lost {
        /// Why.
        why: Lost,
        /// Since when.
        since: Instant,
    },
    /// The session was stopped.
    Stopped,
}

/// One connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The session. Nodes that are bound to it name it as their [`owner`](crate::Stat::owner).
    pub session: SessionId,
    /// How many sessions there were, this one included: if it is the same as before, the session is
    /// the same, and its ephemeral nodes are still there.
    pub sessions: u64,
    /// How many connections there were, this one included.
    pub connections: u64,
    /// The server.
    pub server: SocketAddr,
    /// How long the servers keep the session without contact.
    pub timeout: Duration,
    /// Since when it is there.
    pub since: Instant,
}

/// Why a session was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The servers said that it has expired.
    Expired,
    /// There was no contact for so long that the servers may have ended it.
    TimeUp,
    /// The servers refused the login.
    AuthFailed,
    /// The client failed with it again and again, so it was given up.
    GivenUp,
}

impl State {
    /// The connection, if there is one.
    #[must_use]
    pub fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Connected(connection) => Some(connection),
            _ => None,
        }
    }

    /// Whether the session was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// One word for it, for logs and tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected(_) => "connected",
            Self::Suspended { .. } => "suspended",
            Self::Lost { .. } => "lost",
            Self::Stopped => "stopped",
        }
    }
}
