//! Why it was decided so: numbers and words, from which a text is made only when somebody reads it.

mod text;
mod words;

use serde::{Deserialize, Serialize};

use crate::config::Mode;
use crate::provider::Refusal;
use crate::spend::Spent;
use crate::{ServerName, ServerState, Time};

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
    /// What was looked at.
    pub inputs: Vec<Input>,
    /// Whether that can be relied on.
    pub health: Health,
    /// The slots that there are.
    pub capacity: Capacity,
    /// The slots that are needed.
    pub demand: Demand,
    /// What follows from both.
    pub plan: Plan,
    /// What was spent.
    pub spent: Spent,
    /// Each gate, in order.
    pub gates: Vec<GateResult>,
    /// Each server, and what is to become of it.
    pub servers: Vec<ServerLine>,
}

impl PoolExplanation {
    /// How many of the pool's servers are in the state.
    pub fn count(&self, state: ServerState) -> usize {
        self.servers.iter().filter(|s| s.state == state).count()
    }
}

/// One observed value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Which.
    pub what: InputKind,
    /// It, if it is known: a count, or seconds.
    pub value: Option<f64>,
    /// Its age in milliseconds, if it is known.
    pub age_millis: Option<u64>,
    /// Why it is not known.
    pub why: Option<String>,
}

/// What was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Hosts of the pool in Prometheus.
    Hosts,
    /// Jobs that wait.
    Pending,
    /// Jobs that run.
    Running,
    /// Pipelines that are not over.
    Pipelines,
    /// The wait of those jobs that started, 95th percentile.
    WaitP95,
    /// Runner objects of our servers in GitLab.
    Runners,
    /// Servers in the listing of the provider at this position.
    Listed(usize),
}

/// Whether the observation of a pool can be relied on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Whether servers may be asked for on the strength of it.
    pub may_grow: bool,
    /// Whether servers may be taken away on the strength of it.
    pub may_shrink: bool,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// Something wrong with an observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The pool was not observed.
    NotObserved,
    /// The hosts are not known.
    Hosts(String),
    /// Too few of the hosts answer.
    Coverage {
        /// So many do.
        answering: u32,
        /// So many there should be.
        expected: u32,
        /// The share that must.
        least: f64,
    },
    /// The jobs are not known.
    Jobs(String),
    /// The runners' metrics and GitLab say different things.
    Disagreement {
        /// Running jobs by the runners' metrics.
        runners: u32,
        /// By GitLab.
        gitlab: u32,
    },
    /// GitLab's view of our runners is not known.
    Runners(String),
}

/// The slots of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Permanent hosts that there should be.
    pub hosts: u32,
    /// Those of them that answer.
    pub up: u32,
    /// Those that count nothing: down or missing for longer than a minute.
    pub down: u32,
    /// Those that are overloaded, and count what they run.
    pub overloaded: u32,
    /// Those whose runner is paused, and count what they run.
    pub paused: u32,
    /// Slots of permanent hosts.
    pub permanent: u32,
    /// Slots of joined servers.
    pub temporary: u32,
    /// Slots of servers on their way.
    pub coming: u32,
    /// Jobs on servers that are drained or quarantined; they need no slot elsewhere.
    pub leaving: u32,
}

impl Capacity {
    /// All slots that count.
    pub const fn total(&self) -> u32 {
        self.permanent
            .saturating_add(self.temporary)
            .saturating_add(self.coming)
            .saturating_add(self.leaving)
    }
}

/// The slots that the jobs of a pool need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Whether it is known.
    pub known: bool,
    /// Jobs that wait.
    pub pending: u32,
    /// Jobs that run.
    pub running: u32,
    /// How long the one that waits longest has waited, in milliseconds.
    pub oldest_wait_millis: u64,
    /// How far it was looked ahead, in milliseconds: how long a server takes to join.
    pub horizon_millis: u64,
    /// Jobs of next stages that are expected to start by then.
    pub ahead: u32,
    /// Jobs that are expected to end by then.
    pub freed: u32,
    /// The most slots needed at once between now and then.
    pub peak: u32,
    /// The most between now and as long again as a server may be idle after that.
    pub keep: u32,
    /// Jobs of next stages whose start cannot be told, as nothing was learnt yet.
    pub untold: u32,
    /// Slots needed because of saturation.
    pub saturation: u32,
}

impl Demand {
    /// Jobs that wait or run.
    pub const fn now(&self) -> u32 {
        self.pending.saturating_add(self.running)
    }
}

/// From slots to servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The entry of the schedule that holds.
    pub schedule: Option<usize>,
    /// Free slots to keep ready.
    pub warm: u32,
    /// The share beyond demand.
    pub headroom: f64,
    /// The most servers.
    pub max_servers: u32,
    /// The slots of a server.
    pub slots_per_server: u32,
    /// Slots wanted: demand with headroom and the warm ones.
    pub target: u32,
    /// Slots to keep.
    pub keep: u32,
    /// Servers wanted.
    pub desired: u32,
    /// Servers that are there or on their way.
    pub have: u32,
    /// Servers that are owned, those that go included.
    pub owned: u32,
    /// Servers that are short.
    pub short: u32,
    /// Of these, taken back from draining.
    pub take_back: u32,
    /// Of these, asked for.
    pub create: u32,
    /// Servers that are too many.
    pub surplus: u32,
    /// Of these, drained now.
    pub drain: u32,
}

/// What may hold a decision back, in the order in which it is asked.
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
    /// Whether some provider can be asked now.
    Provider,
    /// Whether more servers would help.
    RequestBound,
    /// What may be spent.
    Budget,
    /// How many may be deleted a minute.
    DeleteRate,
}

/// What a gate said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Which.
    pub gate: Gate,
    /// Of so many servers,
    pub asked: u32,
    /// so many passed.
    pub passed: u32,
    /// What it saw.
    pub saw: Saw,
}

impl GateResult {
    /// Whether it held something back.
    pub const fn blocked(&self) -> bool {
        self.passed < self.asked
    }
}

/// What a gate saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saw {
    /// The mode.
    Mode(Mode),
    /// Whether the observation bears it; what is wrong stands in the health.
    Health(bool),
    /// The lease, or why it is not ours.
    Lease(Option<String>),
    /// So many of so many.
    Count {
        /// So many there are.
        have: u32,
        /// So many there may be.
        most: u32,
    },
    /// The providers, in order of preference: why one is not asked. The first that nothing speaks
    /// against is.
    Providers(Vec<Option<Shut>>),
    /// The runners' request rate.
    Requests {
        /// Hosts that ask as often as they may.
        bound: u32,
        /// Hosts of which that is known.
        of: u32,
        /// Free slots.
        free: u32,
    },
    /// What was spent and what may be.
    Budget {
        /// What was spent.
        spent: Spent,
        /// Hours of servers a day.
        hours: Option<f64>,
        /// Money a month.
        money: Option<f64>,
    },
}

/// Why a provider is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shut {
    /// It refused, and is asked again then.
    Refused(Refusal, Time),
    /// Its servers do not come up; it is asked again then.
    Broken(Time),
    /// Its servers did not come up; one is tried at a time.
    Trying,
}

/// A server, and what is to become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerLine {
    /// Its name.
    pub name: ServerName,
    /// How far it is, after the decision.
    pub state: ServerState,
    /// Jobs that it runs, if that is known.
    pub running: Option<u32>,
    /// Why.
    pub verdict: Verdict,
}

/// What is to become of a server, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is waited for.
    Coming,
    /// Stays: it has a job.
    Busy,
    /// Stays: whether it has a job is not known.
    NotKnown,
    /// Stays: it has been idle for so many seconds only.
    Idle(u64),
    /// Stays: it is idle, but needed.
    Needed,
    /// Stays: it is younger than it must become.
    Young,
    /// Stays: what is paid for lasts for so many seconds more.
    Paid(u64),
    /// Stays: the observation does not bear taking it away.
    Unsure,
    /// Is new.
    New,
    /// Is drained from now on.
    Drained,
    /// Is being drained.
    Draining,
    /// Is taken back from draining.
    TakenBack,
    /// Is empty, and waits for the rate of deletions.
    WaitsForRate,
    /// Does not answer.
    Quarantined,
    /// Is being deleted.
    Deleted,
}
