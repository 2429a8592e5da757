//! Which permanent hosts there are, and whether the observation of a pool can be relied on.

use std::collections::BTreeSet;

use super::round::{Permanent, PoolRound, Round};
use super::{DEAD_AFTER, FORGET_AFTER};
use crate::config::OverloadConfig;
use crate::explanation::Problem;
use crate::memory::{HostMemory, Switch};
use crate::{Event, Host, Time};

/// Runners and GitLab may differ by so many jobs whatever the share: jobs start and end between two
/// looks.
const SLACK: u32 = 5;

impl<'a> PoolRound<'a> {
    /// Brings what is remembered of the permanent hosts up to date.
    pub(super) fn look_at_hosts(&mut self, round: &mut Round<'a>) {
        let hosts = self.seen.and_then(|seen| round.fresh(&seen.hosts));
        let permanent = |host: &&Host| host.server.is_none();
        let mut remembered_ones = 0;
        for host in hosts.into_iter().flatten().filter(permanent) {
            let known = self.memory.and_then(|m| m.hosts.get(&host.instance));
            let memory = remembered(host, known, &self.config.overload, round);
            if known != Some(&memory) {
                self.remember(round, &host.instance, Some(memory));
            }
            remembered_ones += usize::from(known.is_some());
            self.permanent.push(Permanent { host, memory });
        }
        self.sees_hosts = hosts.is_some() && !self.sees_none();
        if self
            .memory
            .is_some_and(|memory| memory.hosts.len() > remembered_ones)
        {
            self.look_for_missing(round);
        }
    }

    /// Whether there should be permanent hosts, and Prometheus has not a single one: rather does it not
    /// know them than that they are all gone.
    fn sees_none(&self) -> bool {
        self.permanent.is_empty() && !self.config.permanent.is_empty()
    }

    /// Hosts that there should be and that Prometheus does not have.
    fn look_for_missing(&mut self, round: &mut Round<'a>) {
        let Some(memory) = self.memory else { return };
        let seen: BTreeSet<&str> = self
            .permanent
            .iter()
            .map(|p| p.host.instance.as_str())
            .collect();
        for (instance, known) in &memory.hosts {
            if seen.contains(instance.as_str()) {
                continue;
            }
            let missing = known.down_since.map(|since| round.now.since(since));
            if missing.is_some_and(|missing| missing >= FORGET_AFTER) && self.sees_hosts {
                self.remember(round, instance, None);
                continue;
            }
            if missing.is_none() && self.sees_hosts {
                let memory = HostMemory {
                    down_since: Some(round.now),
                    ..*known
                };
                self.remember(round, instance, Some(memory));
            }
            self.missing.push(known);
        }
    }

    fn remember(&self, round: &mut Round<'a>, instance: &str, memory: Option<HostMemory>) {
        round.fact(Event::Host {
            pool: self.config.name.clone(),
            instance: instance.to_owned(),
            memory,
        });
    }

    /// Whether the observation bears growing and shrinking.
    pub(super) fn judge(&mut self, round: &mut Round<'a>) {
        let Some(seen) = self.seen else {
            self.health.problems.push(Problem::NotObserved);
            return;
        };
        let mut problems = Vec::new();
        let counted = self.counts_without_queue(round);
        match seen.hosts.fresh(round.now, round.metrics_age()) {
            Err(why) => problems.push(Problem::Hosts(why)),
            Ok(_) if self.sees_none() => {
                problems.push(Problem::Hosts("no permanent host was seen".to_owned()));
            }
            Ok(_) => problems.extend(self.coverage(round)),
        }
        let mut demand_known = true;
        match seen.jobs.fresh(round.now, round.gitlab_age()) {
            Ok(jobs) => problems.extend(self.disagreement(round, jobs.running)),
            Err(_) if counted => {}
            Err(why) => {
                demand_known = false;
                problems.push(Problem::Jobs(why));
            }
        }
        if !round.is_reduced() {
            let runners = &round.observation.runners;
            let runners = runners.fresh(round.now, round.gitlab_age());
            problems.extend(runners.err().map(Problem::Runners));
        }
        let bears_blind = self.config.grow_blind && !counted;
        self.health.may_grow = demand_known && (self.sees_hosts || bears_blind);
        self.health.may_shrink = problems.is_empty();
        self.health.problems = problems;
    }

    /// In the reduced mode without a query for the queue, what runs is all that is known of demand.
    pub(super) fn counts_without_queue(&self, round: &Round<'_>) -> bool {
        round.is_reduced() && self.config.pending_query.is_empty()
    }

    fn coverage(&mut self, round: &Round<'_>) -> Option<Problem> {
        let expected = self.permanent.len() + self.missing.len();
        // One that is up and does not tell what it runs is as good as one that does not answer.
        let answers = |p: &&Permanent<'_>| {
            round.metric(&p.host.up) == Some(true) && round.metric(&p.host.running).is_some()
        };
        let answering = self.permanent.iter().filter(answers).count();
        self.capacity.hosts = u32::try_from(expected).unwrap_or(u32::MAX);
        self.capacity.up = u32::try_from(answering).unwrap_or(u32::MAX);
        let least = round.config.prometheus.min_coverage;
        if answering as f64 >= least * expected as f64 {
            return None;
        }
        Some(Problem::Coverage {
            answering: self.capacity.up,
            expected: self.capacity.hosts,
            least,
        })
    }

    /// Whether the metrics of all hosts and GitLab tell the same of how many jobs run.
    fn disagreement(&self, round: &Round<'_>, gitlab: u32) -> Option<Problem> {
        if round.is_reduced() {
            return None;
        }
        let hosts = round.fresh(&self.seen?.hosts)?;
        let mut runners = 0u32;
        for host in hosts {
            runners = runners.saturating_add(round.metric(&host.running)?);
        }
        let allowed = SLACK.max(runners.max(gitlab) / 5);
        (runners.abs_diff(gitlab) > allowed).then_some(Problem::Disagreement { runners, gitlab })
    }
}

/// What is remembered of a host after this look.
fn remembered(
    host: &Host,
    known: Option<&HostMemory>,
    overload: &OverloadConfig,
    round: &Round<'_>,
) -> HostMemory {
    let known = known.copied().unwrap_or_default();
    let up = round.metric(&host.up);
    let down_since = match up {
        Some(true) => None,
        Some(false) | None => known.down_since.or(Some(round.now)),
    };
    HostMemory {
        slots: round.metric(&host.slots).or(known.slots),
        down_since,
        overload: pressed(host, known.overload, overload, round),
    }
}

fn pressed(host: &Host, switch: Switch, overload: &OverloadConfig, round: &Round<'_>) -> Switch {
    let cpu = round
        .metric(&host.cpu_pressure)
        .map(|v| v > overload.cpu_pressure.above);
    let memory = round
        .metric(&host.memory_stall)
        .map(|v| v > overload.memory_stall.above);
    let seen = match (cpu, memory) {
        (None, None) => None,
        (cpu, memory) => Some(cpu == Some(true) || memory == Some(true)),
    };
    let lasting = if memory == Some(true) {
        overload.memory_stall.lasting
    } else {
        overload.cpu_pressure.lasting
    };
    switch.look(seen, round.now, lasting.get(), overload.calm.get())
}

impl HostMemory {
    /// Whether it has been down for so long that it counts nothing.
    pub(super) fn is_dead(&self, now: Time) -> bool {
        self.down_since
            .is_some_and(|since| now.since(since) >= DEAD_AFTER)
    }
}
