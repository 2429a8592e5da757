//! What is remembered between decisions beside the servers. All of it may be lost without harm: it
//! is learnt anew, but for what was spent.
//!
//! Bounds: [`MOST_HOSTS`] hosts a pool, [`MOST_JOBS`] names of jobs with [`RUNS`] durations each,
//! creations and deletions of one minute, and per provider the outcomes of [`BOOTS`] boots and the
//! times of [`RUNS`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::Happening;
use crate::provider::Refusal;
use crate::server::{Server, ServerState, backoff};
use crate::{ProviderId, Time};

/// So many hosts are remembered of a pool; others are not learnt.
pub const MOST_HOSTS: usize = 10_000;
/// So many names of jobs are remembered; then those not seen for longest are forgotten.
pub const MOST_JOBS: usize = 20_000;
/// So many durations are remembered of a job, and boot times of a provider.
pub const RUNS: usize = 20;
/// By so many boots it is judged whether a provider's servers come up.
pub const BOOTS: usize = 6;

const MINUTE: Duration = Duration::from_secs(60);
const FIRST_REFUSAL: Duration = MINUTE;
const LONGEST_REFUSAL: Duration = Duration::from_secs(1800);
const BREAK: Duration = Duration::from_secs(1800);

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// By pool.
    pub pools: BTreeMap<String, PoolMemory>,
    /// By provider.
    pub providers: BTreeMap<ProviderId, ProviderMemory>,
    /// How long jobs last, by project and name.
    pub durations: BTreeMap<u64, BTreeMap<String, Samples>>,
    /// How many names of jobs there are in `durations`.
    pub job_names: usize,
}

/// What is remembered of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolMemory {
    /// The permanent hosts that there should be.
    pub hosts: BTreeMap<String, HostMemory>,
    /// Whether its permanent fleet is saturated.
    pub saturated: Switch,
    /// When servers were planned, in the last minute before the last of them.
    pub creates: VecDeque<Time>,
    /// When deletions began, likewise.
    pub deletes: VecDeque<Time>,
    /// What its servers that are gone have cost.
    pub tally: Tally,
    /// When a server left the ledger last: a listing that began before may still show it.
    pub last_removed: Time,
}

/// What is remembered of a permanent host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMemory {
    /// How many jobs it may run, as last seen.
    pub slots: Option<u32>,
    /// Since when it has not been up, or has not been seen at all.
    pub down_since: Option<Time>,
    /// Whether it is overloaded.
    pub overload: Switch,
}

/// A condition that must hold for a while before it counts, and be gone for a while before it counts
/// no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Whether it counts.
    pub on: bool,
    /// Since when what is seen differs from that.
    pub differs_since: Option<Time>,
}

impl Switch {
    /// The switch after a look. What is not known changes nothing.
    #[must_use]
    pub fn look(
        self,
        seen: Option<bool>,
        now: Time,
        on_after: Duration,
        off_after: Duration,
    ) -> Self {
        let Some(seen) = seen else { return self };
        if seen == self.on {
            return Self {
                on: self.on,
                differs_since: None,
            };
        }
        let since = self.differs_since.unwrap_or(now);
        let after = if seen { on_after } else { off_after };
        if now.since(since) >= after {
            return Self {
                on: seen,
                differs_since: None,
            };
        }
        Self {
            on: self.on,
            differs_since: Some(since),
        }
    }
}

/// What is remembered of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderMemory {
    /// Refusals in a row.
    pub refusals: u32,
    /// It is not asked before.
    pub not_before: Time,
    /// What it said last when it refused.
    pub refused: Option<(Refusal, String)>,
    /// Whether its last servers joined, the newest last.
    pub boots: VecDeque<bool>,
    /// Its servers do not come up: it is not asked before.
    pub broken_until: Time,
    /// Seconds from the request to the joining.
    pub boot_seconds: Samples,
}

impl ProviderMemory {
    /// Whether more than half of its last [`BOOTS`] servers did not join.
    pub fn is_broken(&self) -> bool {
        self.boots.iter().filter(|joined| !**joined).count() * 2 > BOOTS
    }

    fn booted(&mut self, joined: bool, at: Time) {
        if joined {
            self.boots.retain(|joined| *joined);
        }
        self.boots.push_back(joined);
        if self.boots.len() > BOOTS {
            self.boots.pop_front();
        }
        if self.is_broken() {
            self.broken_until = at + BREAK;
        }
    }
}

/// The last numbers of a kind, [`RUNS`] at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// In the order in which they came.
    pub last: VecDeque<u32>,
    /// The same by size.
    pub sorted: Vec<u32>,
    /// When the last came.
    pub at: Time,
}

impl Samples {
    /// One more.
    pub fn push(&mut self, value: u32, at: Time) {
        if self.last.len() == RUNS
            && let Some(old) = self.last.pop_front()
            && let Ok(place) = self.sorted.binary_search(&old)
        {
            self.sorted.remove(place);
        }
        self.last.push_back(value);
        let place = self.sorted.partition_point(|v| *v < value);
        self.sorted.insert(place, value);
        self.at = at;
    }

    /// The value that so many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> Option<u32> {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    /// The median of those above `least`.
    pub fn median_above(&self, least: u32) -> Option<u32> {
        let above = &self.sorted[self.sorted.partition_point(|v| *v <= least)..];
        above.get(above.len().saturating_sub(1) / 2).copied()
    }
}

/// A job that ended well: how long it ran is what others of its name may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// The project.
    pub project: u64,
    /// The job's name.
    pub name: String,
    /// How long it ran, in seconds.
    pub seconds: u32,
}

/// What was spent by a pool on servers that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The day, in days since 1970 (UTC).
    pub day: i64,
    /// Milliseconds of servers on that day.
    pub day_millis: u64,
    /// The month, in months since January 1970 (UTC).
    pub month: i64,
    /// Millionths of the currency in that month.
    pub month_millionths: u64,
}

impl Memory {
    pub(crate) fn pool(&mut self, name: &str) -> &mut PoolMemory {
        if !self.pools.contains_key(name) {
            self.pools.insert(name.to_owned(), PoolMemory::default());
        }
        self.pools.entry(name.to_owned()).or_default()
    }

    fn provider(&mut self, id: &ProviderId) -> &mut ProviderMemory {
        self.providers.entry(id.clone()).or_default()
    }

    pub(crate) fn learn(&mut self, at: Time, runs: &[JobRun]) {
        for run in runs {
            let names = self.durations.entry(run.project).or_default();
            if let Some(samples) = names.get_mut(&run.name) {
                samples.push(run.seconds, at);
                continue;
            }
            let mut samples = Samples::default();
            samples.push(run.seconds, at);
            names.insert(run.name.clone(), samples);
            self.job_names += 1;
        }
        if self.job_names > MOST_JOBS {
            self.forget_jobs();
        }
    }

    /// Forgets a tenth, so that it is rare.
    fn forget_jobs(&mut self) {
        let mut times: Vec<Time> = self
            .durations
            .values()
            .flat_map(BTreeMap::values)
            .map(|samples| samples.at)
            .collect();
        times.sort_unstable();
        let Some(limit) = times.get(MOST_JOBS / 10).copied() else {
            return;
        };
        self.durations.retain(|_, names| {
            names.retain(|_, samples| samples.at > limit);
            !names.is_empty()
        });
        self.job_names = self.durations.values().map(BTreeMap::len).sum();
    }

    /// What happened to a server, for what is remembered of its pool and provider.
    pub(crate) fn happened(
        &mut self,
        server: &Server,
        before: ServerState,
        at: Time,
        what: &Happening,
    ) {
        let began = server.state == ServerState::Removing && before != server.state;
        if began && server.provider_id.is_some() {
            self.pool(&server.pool).deletes_began(at);
        }
        match what {
            Happening::Exists(_) if before != server.state => {
                let provider = self.provider(&server.provider);
                provider.refusals = 0;
                provider.refused = None;
            }
            Happening::Refused(refusal, why) => {
                let provider = self.provider(&server.provider);
                // Servers that were asked for together are one try.
                if at >= provider.not_before {
                    provider.refusals = provider.refusals.saturating_add(1);
                    provider.not_before =
                        at + backoff(provider.refusals, FIRST_REFUSAL, LONGEST_REFUSAL);
                }
                provider.refused = Some((*refusal, why.clone()));
            }
            Happening::Joined if before != server.state && !server.was_adopted() => {
                let seconds = server.requested.map(|r| at.since(r).as_secs());
                let provider = self.provider(&server.provider);
                provider.booted(true, at);
                if let Some(seconds) = seconds {
                    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                    provider.boot_seconds.push(seconds, at);
                }
            }
            Happening::BootFailed(_) if !server.was_adopted() => {
                self.provider(&server.provider).booted(false, at);
            }
            Happening::Removed => {
                let pool = self.pool(&server.pool);
                pool.tally.add(server, at);
                pool.last_removed = at;
            }
            _ => {}
        }
    }
}

impl PoolMemory {
    pub(crate) fn planned(&mut self, at: Time) {
        push_minute(&mut self.creates, at);
    }

    fn deletes_began(&mut self, at: Time) {
        push_minute(&mut self.deletes, at);
    }

    pub(crate) fn host(&mut self, instance: &str, memory: Option<&HostMemory>) {
        match memory {
            None => {
                self.hosts.remove(instance);
            }
            Some(memory) => {
                if let Some(known) = self.hosts.get_mut(instance) {
                    *known = *memory;
                } else if self.hosts.len() < MOST_HOSTS {
                    self.hosts.insert(instance.to_owned(), *memory);
                }
            }
        }
    }
}

fn push_minute(times: &mut VecDeque<Time>, at: Time) {
    while times.front().is_some_and(|t| at.since(*t) >= MINUTE) {
        times.pop_front();
    }
    times.push_back(at);
}

/// How many of these fall into the minute before `now`.
pub(crate) fn in_last_minute(times: &VecDeque<Time>, now: Time) -> u32 {
    let recent = times.iter().rev().take_while(|t| now.since(**t) < MINUTE);
    u32::try_from(recent.count()).unwrap_or(u32::MAX)
}
