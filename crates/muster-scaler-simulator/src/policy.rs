//! Rules for how many servers there shall be.
//!
//! The simulator is kind to the baselines: they let servers go without a race, they see the whole
//! queue even where the original only sees its own part, they share it with the permanent hosts, and
//! they reap servers that never come up.

use crate::state::{Answer, Change, Scrape, State};
use crate::world::FaultKind;

mod cluster_autoscaler;
mod docker_machine;
mod fixed;
mod horizontal;
mod muster;
mod taskscaler;

pub use cluster_autoscaler::ClusterAutoscaler;
pub use docker_machine::DockerMachine;
pub use fixed::Fixed;
pub use horizontal::{Horizontal, WhenBlind};
pub use muster::{Muster, MusterSettings, Record, Sight};
pub use taskscaler::{Preemptive, Taskscaler};

/// Decides how many servers there shall be.
pub trait Policy {
    /// How often it decides, in seconds.
    fn tick_seconds(&self) -> u32;

    /// Whether it looks at metrics.
    fn watches_metrics(&self) -> bool {
        false
    }

    /// Decides.
    fn tick(&mut self, desk: &mut Desk<'_, '_>);
}

/// A server that never came up is let go by the baselines after so many milliseconds.
const BASELINES_BOOT_DEADLINE: i64 = 900_000;

/// What a policy sees and may do.
pub struct Desk<'s, 'w> {
    pub(crate) state: &'s mut State<'w>,
}

impl<'w> State<'w> {
    pub(crate) fn desk(&mut self) -> Desk<'_, 'w> {
        Desk { state: self }
    }
}

/// What of a pool is seen without delay, as its own controller and webhooks see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// Jobs that wait.
    pub waiting: u32,
    /// How long the first of them has waited, in milliseconds.
    pub oldest_wait: i64,
    /// Jobs that run on temporary servers.
    pub on_servers: u32,
}

/// A temporary server that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub server: u32,
    /// Whether it takes jobs.
    pub up: bool,
    /// How many jobs it runs.
    pub running: u32,
    /// For how long it has been up without a job, in milliseconds.
    pub idle: i64,
    /// How long ago it was asked for, in milliseconds.
    pub age: i64,
}

/// What metrics say of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Jobs that run, on all hosts seen.
    pub running: f64,
    /// Slots of all hosts seen.
    pub slots: f64,
}

impl Desk<'_, '_> {
    /// Now, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.state.now
    }

    /// How many pools there are.
    pub fn pools(&self) -> u16 {
        self.state.pools.len() as u16
    }

    /// The pool's slots: of a server, and of all permanent hosts.
    pub fn slots(&self, pool: u16) -> (u32, u32) {
        let pool = self.state.pool(pool);
        let permanent = pool.permanent_hosts * pool.permanent_slots;
        (pool.server_slots.max(1), permanent)
    }

    /// What is seen of a pool without delay.
    pub fn direct(&self, pool: u16) -> Direct {
        let at = &self.state.pools[pool as usize];
        let first = at
            .waiting
            .front()
            .map(|job| self.state.jobs[*job as usize].state);
        let oldest_wait = match first {
            Some(crate::state::JobState::Waits(since)) => self.now() - since,
            _ => 0,
        };
        Direct {
            waiting: at.waiting.len() as u32,
            oldest_wait,
            on_servers: at.running_temporary,
        }
    }

    /// The servers of a pool that are wanted: not those that are let go.
    pub fn servers(&self, pool: u16) -> Vec<Seen> {
        let all = self.state.pools[pool as usize].servers.iter();
        let wanted = all.filter(|server| {
            let server = &self.state.servers[**server as usize];
            !server.retiring && !server.deleting
        });
        wanted.map(|server| self.seen(*server)).collect()
    }

    fn seen(&self, server: u32) -> Seen {
        let at = &self.state.servers[server as usize];
        let host = &self.state.hosts[at.host as usize];
        let idle = at.up.is_some() && host.running == 0;
        Seen {
            server,
            up: at.up.is_some(),
            running: host.running,
            idle: if idle {
                self.now() - host.idle_since
            } else {
                0
            },
            age: self.now() - at.asked,
        }
    }

    /// What metrics say, one interval late: `None` if there was no answer or an empty one.
    pub fn metrics(&self, pool: u16) -> Option<Metrics> {
        let [_, seen] = &self.state.scrapes;
        let &(_, running, slots) = seen.pools.get(pool as usize)?;
        let mut metrics = Metrics {
            running: f64::from(running),
            slots: f64::from(slots),
        };
        for fault in self.state.faults() {
            match fault {
                FaultKind::MetricsGap | FaultKind::EmptyMetrics => return None,
                FaultKind::NotANumber => metrics.running = f64::NAN,
                // Dead targets are missing in both sums, so that the share in use does not show them.
                FaultKind::DeadTargets(_)
                | FaultKind::StaleMetrics
                | FaultKind::GitlabDown
                | FaultKind::ProviderRefuses => {}
            }
        }
        Some(metrics)
    }

    /// Asks for so many servers, as far as there may be so many.
    pub fn create(&mut self, pool: u16, count: u32) {
        let most = self.state.pool(pool).max_servers as usize;
        let there = self.state.pools[pool as usize].servers.len();
        for _ in 0..(count as usize).min(most.saturating_sub(there)) {
            self.state.create(pool);
        }
    }

    /// Lets a server go: it takes no new jobs, and is deleted when it is empty.
    pub fn retire(&mut self, server: u32) {
        self.state.retire(server);
    }

    /// Lets go of servers that never came up.
    pub fn reap(&mut self, pool: u16) {
        for seen in self.servers(pool) {
            if !seen.up && seen.age > BASELINES_BOOT_DEADLINE {
                self.retire(seen.server);
            }
        }
    }

    pub(crate) fn changes(&self) -> &[Change] {
        &self.state.changes
    }

    pub(crate) fn answers(&self) -> &[Answer] {
        &self.state.answers
    }

    pub(crate) fn scrape(&self) -> &Scrape {
        &self.state.scrapes[1]
    }
}
