//! What was decided.

use serde::{Deserialize, Serialize};

use crate::config::Mode;
use crate::explanation::Explanation;
use crate::{Event, ProviderId, ServerName, Time};

/// A decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its number, from 1, without gaps.
    pub id: u64,
    /// When.
    pub at: Time,
    /// What the scaler might do.
    pub mode: Mode,
    /// What changes in the ledger, in order, to be made durable before the actions.
    pub events: Vec<Event>,
    /// What to do then. Empty unless the mode is `on` and the lease is ours.
    pub actions: Vec<Action>,
    /// What would be done if the mode were `on`; the same as `actions` then.
    pub wanted: Vec<Action>,
    /// What somebody should look at.
    pub alarms: Vec<Alarm>,
    /// Why.
    pub explanation: Explanation,
}

/// Something to do. Each is safe to repeat, and is wanted again by the next decision while its
/// effect is not seen: whoever carries it out keeps one going per server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Create the server, which the ledger has as planned: its runner object first, where there is a
    /// token.
    Create(ServerName, ProviderId),
    /// Pause the server's runner (again). Without a token nothing is paused, and
    /// [`Happening::DrainPaused`](crate::Happening::DrainPaused) is reported at once.
    Pause(ServerName),
    /// Let the server's runner take jobs again.
    Unpause(ServerName),
    /// Delete the server, then its runner object. One without an ID at its provider never was there:
    /// only its runner object is deleted.
    Delete(ServerName),
    /// Pause a permanent host's runner.
    PauseHost(u64),
    /// Take that back.
    UnpauseHost(u64),
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// A stable word: `observation_unhealthy`, `budget_reached`, `delete_stuck`, ...
    pub code: String,
    /// The pool, if it is one pool's.
    pub pool: Option<String>,
    /// What is the matter and what to do.
    pub text: String,
}
