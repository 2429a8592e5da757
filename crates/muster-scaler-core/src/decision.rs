//! What was decided, and why.

use serde::{Deserialize, Serialize};

use crate::config::Mode;
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
    /// What to do then. Empty unless the mode is `on`.
    pub actions: Vec<Action>,
    /// What would be done if the mode were `on`; the same as `actions` then.
    pub wanted: Vec<Action>,
    /// What somebody should look at.
    pub alarms: Vec<Alarm>,
    /// Why.
    pub explanation: Explanation,
}

/// Something to do. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Create the server, which the ledger has as planned: its runner object first, where there is a
    /// token.
    Create(ServerName, ProviderId),
    /// Pause the server's runner (again).
    Pause(ServerName),
    /// Let the server's runner take jobs again.
    Unpause(ServerName),
    /// Delete the server, then its runner object.
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

/// Why it was decided so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// By pool, in the configuration's order.
    pub pools: Vec<PoolExplanation>,
}

/// Why it was decided so for one pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolExplanation {
    /// Its name.
    pub pool: String,
    /// Each gate, in order.
    pub gates: Vec<GateResult>,
}

/// What may hold a decision back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The mode.
    Mode,
    /// Whether the observation is whole, fresh and agrees with itself.
    Observation,
    /// Whether this scaler is the only one of its owner.
    Lease,
    /// The most servers.
    MaxServers,
    /// How many may be asked for a minute.
    CreateRate,
    /// How many may be deleted a minute.
    DeleteRate,
    /// Whether some provider can be asked now.
    Provider,
    /// Whether more servers would help.
    RequestBound,
    /// What may be spent.
    Budget,
}

/// What a gate said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Which.
    pub gate: Gate,
    /// Whether it let everything pass.
    pub passed: bool,
    /// What it saw.
    pub why: String,
}
