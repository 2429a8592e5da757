//! One temporary server, and how it may change.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::{Happening, Misfit};
use crate::{ProviderId, Time};

/// So many complete listings that did not show a server say that it is not there.
pub const ABSENCES: u32 = 2;

/// From so many failed deletions in a row on, a server is stuck.
pub const STUCK_AFTER: u32 = 5;

/// A server's name: unique for ever among those of its owner; also the key of its creation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerName(pub String);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
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
    /// It joined, and does not answer now.
    Quarantined,
    /// Takes no new jobs; goes when it is empty.
    Draining,
    /// Is being deleted until nobody has it any more.
    Removing,
    /// Deleting it failed again and again; goes on being tried, counted and billed.
    Stuck,
}

impl ServerState {
    /// All, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Planned,
        Self::Requested,
        Self::Unknown,
        Self::Booting,
        Self::Joined,
        Self::Quarantined,
        Self::Draining,
        Self::Removing,
        Self::Stuck,
    ];

    /// Whether it is expected to take jobs, now or soon.
    pub const fn is_coming_or_there(self) -> bool {
        self.is_coming() || matches!(self, Self::Joined)
    }

    /// Whether it is expected to take jobs soon.
    pub const fn is_coming(self) -> bool {
        matches!(
            self,
            Self::Planned | Self::Requested | Self::Unknown | Self::Booting
        )
    }

    /// Whether it is being deleted.
    pub const fn is_going(self) -> bool {
        matches!(self, Self::Removing | Self::Stuck)
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Requested => "requested",
            Self::Unknown => "unknown",
            Self::Booting => "booting",
            Self::Joined => "joined",
            Self::Quarantined => "quarantined",
            Self::Draining => "draining",
            Self::Removing => "removing",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
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
    /// For how long GitLab may hold a runner's request for a job: a paused runner may still be given
    /// one for so long.
    pub hold: Duration,
}

impl Drain {
    /// A drain that begins.
    pub fn new(deadline: Time, why: impl Into<String>, may_return: bool, hold: Duration) -> Self {
        Self {
            paused: None,
            first_empty: None,
            last_empty: None,
            deadline,
            why: why.into(),
            may_return,
            hold,
        }
    }

    /// Two looks must be further apart than this: a fifth longer than a request is held. As the first
    /// is after the pause, no request from before it is still held at the second.
    pub fn looks_apart(&self) -> Duration {
        self.hold + self.hold / 5
    }

    /// Whether it was seen empty often enough.
    pub fn is_empty(&self) -> bool {
        match (self.first_empty, self.last_empty) {
            (Some(first), Some(last)) => last.since(first) > self.looks_apart(),
            _ => false,
        }
    }
}

/// One of our servers. It is in the ledger from the intent until nobody has it any more.
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
    /// When it was planned, or adopted.
    pub planned: Time,
    /// When the provider was asked; it is billed from then on.
    pub requested: Option<Time>,
    /// The decision that wanted it; 0: it was adopted.
    pub decision: u64,
    /// How many jobs it runs at a time.
    pub slots: u32,
    /// What it costs an hour, in the budget's currency.
    pub price_per_hour: f64,
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
    /// Since when its host has not answered.
    pub down_since: Option<Time>,
    /// Its drain, while it is draining or being removed after one.
    pub drain: Option<Drain>,
    /// How many complete listings in a row did not show it.
    pub absences: u32,
    /// When the last of them began.
    pub last_absence: Option<Time>,
    /// Failed steps in a row: toward its creation while it is planned, of its deletion later.
    pub failures: u32,
    /// Nothing is tried before.
    pub next_try: Time,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl Server {
    /// Stands between the name that a server shares with another and its ID, where a provider made two
    /// of one.
    pub const TWIN: char = '~';

    /// The name in the description of its runner object: that of the other, where it is one of two.
    pub fn runner_name(&self) -> &str {
        let name = self.name.0.split(Self::TWIN).next();
        name.unwrap_or_default()
    }

    /// An intent. Slots, price and deadlines are those of the pool and the provider.
    pub fn plan(name: ServerName, pool: &str, provider: ProviderId, now: Time) -> Self {
        Self {
            name,
            pool: pool.to_owned(),
            provider,
            state: ServerState::Planned,
            since: now,
            planned: now,
            requested: None,
            decision: 0,
            slots: 1,
            price_per_hour: 0.0,
            boot_deadline: now,
            expires: now,
            provider_id: None,
            runner: None,
            address: None,
            joined: None,
            idle_since: None,
            down_since: None,
            drain: None,
            absences: 0,
            last_absence: None,
            failures: 0,
            next_try: now,
            last_error: None,
        }
    }

    /// Whether it was found, not asked for.
    pub const fn was_adopted(&self) -> bool {
        self.decision == 0
    }

    /// Whether it is gone from its provider as far as complete listings can say.
    pub fn is_absent(&self) -> bool {
        self.absences >= ABSENCES
    }

    /// How long it has been billed at `now`.
    pub fn age(&self, now: Time) -> Duration {
        self.requested.map_or(Duration::ZERO, |r| now.since(r))
    }

    /// Whether it may be deleted without a job being lost: it was seen empty twice after it was paused,
    /// its drain is past its deadline, its provider has it no more, or it never joined and is not drained.
    pub fn may_be_deleted(&self, at: Time) -> bool {
        let may = match &self.drain {
            Some(drain) => drain.is_empty() || at >= drain.deadline,
            None => self.joined.is_none(),
        };
        may || self.is_absent()
    }

    /// Changes as `what` says.
    ///
    /// # Errors
    /// If that cannot happen to a server in this state. Nothing is changed then.
    pub fn happens(&mut self, at: Time, what: &Happening) -> Result<(), Misfit> {
        use ServerState as S;
        let state = self.state;
        let illegal = || Misfit::Illegal {
            server: self.name.clone(),
            state,
            what: what.word(),
        };
        let next = match (what, state) {
            (Happening::RunnerMade(_) | Happening::Address(_), _) => state,
            (Happening::NotYet(_), S::Planned) => state,
            (Happening::Requesting, S::Planned) => S::Requested,
            (_, S::Planned) if !matches!(what, Happening::Removing(_)) => return Err(illegal()),
            (Happening::Exists(id), _) if self.is_another(id) => {
                return Err(Misfit::AnotherId {
                    server: self.name.clone(),
                    id: id.clone(),
                });
            }
            (Happening::Exists(_), S::Requested | S::Unknown) => S::Booting,
            (Happening::Exists(_) | Happening::Absent(_), _) => state,
            (Happening::AnswerLost(_), S::Requested) => S::Unknown,
            (Happening::AnswerLost(_), _) => state,
            (Happening::Refused(..), S::Requested | S::Unknown) => S::Removing,
            (Happening::Refused(..), S::Removing | S::Stuck) if self.provider_id.is_none() => state,
            (Happening::Joined, S::Requested | S::Unknown | S::Booting) => S::Joined,
            (Happening::Joined, _) => state,
            (Happening::BootFailed(_), S::Unknown | S::Booting) => S::Removing,
            (Happening::BootFailed(_), S::Draining) if self.joined.is_none() => state,
            (Happening::Idle(_) | Happening::Down(_), S::Joined | S::Quarantined | S::Draining) => {
                state
            }
            (Happening::Quarantined(_), S::Joined) => S::Quarantined,
            (Happening::Recovered, S::Quarantined) => S::Joined,
            (Happening::Draining(_), S::Booting | S::Joined | S::Quarantined | S::Draining) => {
                S::Draining
            }
            (Happening::DrainPaused, S::Draining) => state,
            (Happening::DrainLooked(_), S::Draining) if self.is_paused() => state,
            (Happening::Undrained, S::Draining) if self.joined.is_some() => S::Joined,
            (Happening::Undrained, S::Draining) => S::Booting,
            (Happening::Removing(_), S::Planned | S::Unknown | S::Booting) => S::Removing,
            (Happening::Removing(_), S::Joined | S::Quarantined | S::Draining)
                if self.may_be_deleted(at) =>
            {
                S::Removing
            }
            (Happening::DeleteAccepted, S::Removing | S::Stuck) => S::Removing,
            (Happening::DeleteFailed(_), S::Removing) if self.failures + 1 < STUCK_AFTER => state,
            (Happening::DeleteFailed(_), S::Removing | S::Stuck) => S::Stuck,
            (Happening::Removed, S::Removing | S::Stuck) => state,
            _ => return Err(illegal()),
        };
        if next != state {
            self.state = next;
            self.since = at;
        }
        self.note(at, what);
        Ok(())
    }

    fn is_another(&self, id: &str) -> bool {
        self.provider_id.as_deref().is_some_and(|known| known != id)
    }

    fn is_paused(&self) -> bool {
        self.drain
            .as_ref()
            .is_some_and(|drain| drain.paused.is_some())
    }

    /// What a legal happening leaves behind beside the state.
    fn note(&mut self, at: Time, what: &Happening) {
        match what {
            Happening::RunnerMade(runner) => self.runner = Some(*runner),
            Happening::Address(address) => self.address = Some(address.clone()),
            Happening::Requesting => {
                self.requested = Some(at);
                self.boot_deadline = self.boot_deadline + at.since(self.planned);
                self.failures = 0;
            }
            Happening::Exists(id) => {
                self.provider_id = Some(id.clone());
                self.absences = 0;
                self.last_absence = None;
            }
            Happening::Absent(began) => {
                self.absences = self.absences.saturating_add(1);
                self.last_absence = Some(*began);
            }
            Happening::Joined => {
                self.idle_since = self.idle_since.or(Some(at));
                self.joined = self.joined.or(Some(at));
            }
            Happening::Idle(since) => self.idle_since = *since,
            Happening::Down(since) => self.down_since = *since,
            Happening::Recovered => self.down_since = None,
            Happening::Draining(drain) => self.drain_begins(drain),
            Happening::DrainPaused => self.on_drain(|d| d.paused = d.paused.or(Some(at))),
            Happening::DrainLooked(true) => self.on_drain(|d| {
                d.first_empty = d.first_empty.or(Some(at));
                d.last_empty = Some(at);
            }),
            Happening::DrainLooked(false) => self.on_drain(|d| {
                d.first_empty = None;
                d.last_empty = None;
            }),
            Happening::Undrained => {
                self.drain = None;
                self.idle_since = self.joined.map(|_| at);
            }
            Happening::NotYet(why) => self.failed(at, why),
            Happening::DeleteFailed(why) => self.failed(at, why),
            Happening::DeleteAccepted => {
                self.failures = 0;
                self.next_try = at + DELETE_AGAIN;
            }
            Happening::AnswerLost(why)
            | Happening::Refused(_, why)
            | Happening::BootFailed(why)
            | Happening::Quarantined(why) => {
                self.last_error = Some(why.clone());
            }
            Happening::Removing(_) | Happening::Removed => {}
        }
    }

    /// A drain of one that is drained already keeps what was seen; the stricter of both holds.
    fn drain_begins(&mut self, new: &Drain) {
        match &mut self.drain {
            Some(drain) => {
                drain.deadline = drain.deadline.min(new.deadline);
                drain.may_return &= new.may_return;
                drain.why.clone_from(&new.why);
            }
            None => self.drain = Some(new.clone()),
        }
    }

    fn on_drain(&mut self, change: impl FnOnce(&mut Drain)) {
        if let Some(drain) = &mut self.drain {
            change(drain);
        }
    }

    fn failed(&mut self, at: Time, why: &str) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(why.to_owned());
        self.next_try = at + backoff(self.failures, FIRST_WAIT, LONGEST_WAIT);
    }
}

/// A deletion that was accepted is asked about again after this.
const DELETE_AGAIN: Duration = Duration::from_secs(15);
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The wait after so many failures in a row: doubled each time.
pub(crate) fn backoff(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(longest)
}
