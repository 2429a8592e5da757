//! What the scaler knows of its own servers and remembers between decisions: the fold of all
//! [`Event`]s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::memory::{HostMemory, JobRun, Memory, Switch};
use crate::provider::Refusal;
use crate::server::{Drain, Server, ServerName, ServerState};

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
    Server {
        /// Which.
        name: ServerName,
        /// When.
        at: Time,
        /// What.
        what: Happening,
    },
    /// A permanent host's runner is paused until then.
    HostPaused(PausedHost),
    /// The runner of a permanent host is not paused by us any more.
    HostUnpaused(u64),
    /// What is remembered of a permanent host has changed; none: it is forgotten.
    Host {
        /// The pool.
        pool: String,
        /// The host.
        instance: String,
        /// What is remembered now.
        memory: Option<HostMemory>,
    },
    /// A pool became saturated, or is no more, or is on its way.
    Saturation {
        /// The pool.
        pool: String,
        /// What is remembered now.
        switch: Switch,
    },
    /// Jobs ended; their durations are learnt.
    JobsRan {
        /// When that was seen.
        at: Time,
        /// Which.
        runs: Vec<JobRun>,
    },
    /// A decision was made; its number.
    Decided(u64),
}

impl Event {
    /// That something happened to a server.
    pub fn server(name: &ServerName, at: Time, what: Happening) -> Self {
        let name = name.clone();
        Self::Server { name, at, what }
    }
}

/// What happens to a server of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// Its runner object was made, or found.
    RunnerMade(u64),
    /// A step toward it failed before the provider was asked, and why; it is tried again.
    NotYet(String),
    /// The provider is about to be asked for it.
    Requesting,
    /// The provider has it, with this ID.
    Exists(String),
    /// It is reached there.
    Address(String),
    /// The answer to the request was lost, and why.
    AnswerLost(String),
    /// The provider said no, and why; the server never was. It leaves the ledger when its runner
    /// object is gone.
    Refused(Refusal, String),
    /// A complete listing, which began then and after the request, did not show it.
    Absent(Time),
    /// Its runner takes jobs.
    Joined,
    /// It did not join, and why; it shall be deleted.
    BootFailed(String),
    /// It has had no job since then; none: it has one.
    Idle(Option<Time>),
    /// Its host has not answered since then; none: it answers.
    Down(Option<Time>),
    /// It is of no use now, and why.
    Quarantined(String),
    /// It is of use again.
    Recovered,
    /// It shall take no new jobs.
    Draining(Drain),
    /// Its runner is paused for certain.
    DrainPaused,
    /// It was looked at while paused: whether it was empty.
    DrainLooked(bool),
    /// It shall take jobs again.
    Undrained,
    /// It shall be deleted, and why.
    Removing(String),
    /// The provider is deleting it.
    DeleteAccepted,
    /// A deletion failed, and why.
    DeleteFailed(String),
    /// The provider has it no more, and its runner object is gone: it leaves the ledger.
    Removed,
}

impl Happening {
    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::RunnerMade(_) => "runner made",
            Self::NotYet(_) => "not yet",
            Self::Requesting => "requesting",
            Self::Exists(_) => "exists",
            Self::Address(_) => "address",
            Self::AnswerLost(_) => "answer lost",
            Self::Refused(..) => "refused",
            Self::Absent(_) => "absent",
            Self::Joined => "joined",
            Self::BootFailed(_) => "boot failed",
            Self::Idle(_) => "idle",
            Self::Down(_) => "down",
            Self::Quarantined(_) => "quarantined",
            Self::Recovered => "recovered",
            Self::Draining(_) => "draining",
            Self::DrainPaused => "drain paused",
            Self::DrainLooked(_) => "drain looked",
            Self::Undrained => "undrained",
            Self::Removing(_) => "removing",
            Self::DeleteAccepted => "delete accepted",
            Self::DeleteFailed(_) => "delete failed",
            Self::Removed => "removed",
        }
    }
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
    /// Since when.
    pub since: Time,
    /// When it is taken back, whatever happens.
    pub until: Time,
}

/// An event that does not fit the ledger: what it says cannot have happened there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The ledger has no such server.
    #[error("the ledger has no server \"{0}\"")]
    NoSuchServer(ServerName),
    /// It has one of that name already.
    #[error("the ledger has a server \"{0}\" already")]
    AlreadyThere(ServerName),
    /// That cannot happen to a server in its state.
    #[error("\"{what}\" cannot happen to server \"{server}\" while it is {state}")]
    Illegal {
        /// The server.
        server: ServerName,
        /// Its state.
        state: ServerState,
        /// The happening's word.
        what: &'static str,
    },
    /// The provider gave it another ID before.
    #[error("server \"{server}\" has another ID at its provider than \"{id}\"")]
    AnotherId {
        /// The server.
        server: ServerName,
        /// The new ID.
        id: String,
    },
    /// Decisions are numbered without gaps.
    #[error("decision {id} does not follow decision {last}")]
    OutOfOrder {
        /// The number.
        id: u64,
        /// The last one.
        last: u64,
    },
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

impl Ledger {
    /// Changes as the event says.
    ///
    /// # Errors
    /// If that cannot have happened. The ledger is as before then.
    pub fn apply(&mut self, event: &Event) -> Result<(), Misfit> {
        match event {
            Event::Planned(server) | Event::Adopted(server) => {
                if self.servers.contains_key(&server.name) {
                    return Err(Misfit::AlreadyThere(server.name.clone()));
                }
                if matches!(event, Event::Planned(_)) {
                    self.memory.pool(&server.pool).planned(server.planned);
                }
                let server = Server::clone(server);
                self.servers.insert(server.name.clone(), server);
            }
            Event::Server { name, at, what } => return self.happens(name, *at, what),
            Event::HostPaused(host) => {
                self.paused_hosts.insert(host.runner, host.clone());
            }
            Event::HostUnpaused(runner) => {
                self.paused_hosts.remove(runner);
            }
            Event::Host {
                pool,
                instance,
                memory,
            } => self.memory.pool(pool).host(instance, memory.as_ref()),
            Event::Saturation { pool, switch } => self.memory.pool(pool).saturated = *switch,
            Event::JobsRan { at, runs } => self.memory.learn(*at, runs),
            Event::Decided(id) => {
                let last = self.decisions;
                if last.checked_add(1) != Some(*id) {
                    return Err(Misfit::OutOfOrder { id: *id, last });
                }
                self.decisions = *id;
            }
        }
        Ok(())
    }

    fn happens(&mut self, name: &ServerName, at: Time, what: &Happening) -> Result<(), Misfit> {
        let server = self
            .servers
            .get_mut(name)
            .ok_or_else(|| Misfit::NoSuchServer(name.clone()))?;
        let before = server.state;
        server.happens(at, what)?;
        self.memory.happened(server, before, at, what);
        if matches!(what, Happening::Removed) {
            self.servers.remove(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
