//! What the scaler knows of its own servers, and what it remembers between decisions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::provider::Refusal;
use crate::{ProviderId, Time};

/// A server's name: unique for ever among those of its owner; also the key of its creation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerName(pub String);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// On disk as an intent; nobody was asked yet.
    Planned,
    /// The provider was asked and has not answered yet.
    Requested,
    /// The answer was lost: only a complete listing decides whether it exists.
    Unknown,
    /// It exists and is expected to join.
    Booting,
    /// Its runner takes jobs.
    Joined,
    /// It joined, and is of no use now: unreachable, or it fails all jobs.
    Quarantined,
    /// Takes no new jobs; goes when it is empty.
    Draining,
    /// Is being deleted until nobody has it any more.
    Removing,
    /// Deleting it failed again and again; goes on being tried, counted and billed.
    Stuck,
}

impl ServerState {
    /// Whether it is expected to take jobs, now or soon.
    pub const fn is_coming_or_there(self) -> bool {
        matches!(
            self,
            Self::Planned | Self::Requested | Self::Unknown | Self::Booting | Self::Joined
        )
    }
}

/// A drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Since when the runner is known to be paused; none: the pause is not confirmed yet.
    pub paused: Option<Time>,
    /// When it was first seen without a job after it was paused.
    pub first_empty: Option<Time>,
    /// When it was last seen so.
    pub last_empty: Option<Time>,
    /// Until when it may last before it is alarmed about.
    pub deadline: Time,
    /// Why it is drained.
    pub why: String,
    /// Whether demand may take it back. Not past its hard lifetime.
    pub may_return: bool,
}

/// One of our servers. It is in the ledger from the intent until a complete listing shows it gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Whose jobs it is for.
    pub pool: String,
    /// Who has it.
    pub provider: ProviderId,
    /// How far it is.
    pub state: ServerState,
    /// Since when.
    pub since: Time,
    /// When it was planned; billing counts from the request.
    pub planned: Time,
    /// The decision that wanted it; 0: it was adopted.
    pub decision: u64,
    /// How many jobs it runs at a time.
    pub slots: u32,
    /// When it must have joined.
    pub boot_deadline: Time,
    /// When it is drained, whatever it does.
    pub expires: Time,
    /// The provider's ID, once known.
    pub provider_id: Option<String>,
    /// Its runner object in GitLab, once made.
    pub runner: Option<u64>,
    /// Where it is reached.
    pub address: Option<String>,
    /// When it joined.
    pub joined: Option<Time>,
    /// Since when it has had no job.
    pub idle_since: Option<Time>,
    /// Its drain, while it is draining or being removed after one.
    pub drain: Option<Drain>,
    /// How many complete listings that began after the request did not show it.
    pub absences: u32,
    /// Failed deletions in a row.
    pub failed_deletes: u32,
    /// Nothing is tried before.
    pub next_try: Time,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// What changes the ledger. Every event is made durable before its consequences are acted on;
/// folding all events from the first gives the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A server is wanted.
    Planned(Box<Server>),
    /// An owned server was found that the ledger did not have.
    Adopted(Box<Server>),
    /// Something happened to a server of the ledger.
    Server(ServerName, Happening),
    /// A permanent host's runner is paused until then.
    HostPaused(PausedHost),
    /// The runner of a permanent host is not paused by us any more.
    HostUnpaused(u64),
    /// What is remembered has changed.
    Remembered(Box<Memory>),
    /// A decision was made; its number.
    Decided(u64),
}

/// What happens to a server of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The provider is about to be asked for it.
    Requesting,
    /// Its runner object was made.
    RunnerMade(u64),
    /// The provider has it, with this ID.
    Exists(String),
    /// It is reached there.
    Address(String),
    /// The answer to the request was lost, and why.
    AnswerLost(String),
    /// The provider said no, and why; the server never was and leaves the ledger when its runner
    /// object is gone.
    Refused(Refusal, String),
    /// A complete listing that began after the request did not show it.
    Absent,
    /// Its runner takes jobs.
    Joined,
    /// It has had no job since then; none: it has one.
    Idle(Option<Time>),
    /// It is of no use now, and why.
    Quarantined(String),
    /// It is of use again.
    Recovered,
    /// It shall take no new jobs.
    Draining(Drain),
    /// Its runner is paused for certain.
    DrainPaused,
    /// It was seen while paused: whether it was empty.
    DrainLooked(bool),
    /// It takes jobs again.
    Undrained,
    /// It shall be deleted, and why.
    Removing(String),
    /// A deletion failed, and why.
    DeleteFailed(String),
    /// The provider has it no more, and its runner object is gone: it leaves the ledger.
    Removed,
}

/// A permanent host whose runner we paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedHost {
    /// The runner object.
    pub runner: u64,
    /// The host.
    pub instance: String,
    /// The pool.
    pub pool: String,
    /// When it is taken back, whatever happens.
    pub until: Time,
}

/// What is remembered between decisions beside the servers. All of it may be lost without harm: it
/// is learnt anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// By pool.
    pub tallies: BTreeMap<String, Tally>,
}

/// What was spent by a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The day, in days since 1970 (UTC).
    pub day: i64,
    /// Milliseconds of servers on that day.
    pub day_millis: u64,
    /// The month, in months since 1970 (UTC).
    pub month: i64,
    /// Money in that month.
    pub month_money: f64,
    /// Until when it is counted.
    pub counted: Time,
}

/// All that the scaler knows beside what it observes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Our servers by name.
    pub servers: BTreeMap<ServerName, Server>,
    /// Permanent hosts' runners that we paused.
    pub paused_hosts: BTreeMap<u64, PausedHost>,
    /// What is remembered.
    pub memory: Memory,
    /// The number of the last decision.
    pub decisions: u64,
}
