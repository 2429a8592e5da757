//! Relief for overloaded permanent hosts: their runners are paused for a while. And what somebody
//! should look at.

use super::round::{PoolRound, Round};
use crate::config::Relief;
use crate::decision::Action;
use crate::explanation::{Gate, Problem};
use crate::provider::Refusal;
use crate::{Event, Host, PausedHost, Reading, ServerState};

impl<'a> PoolRound<'a> {
    /// Pauses overloaded hosts, as many at once as is configured, while others take jobs.
    pub(super) fn relieve(&mut self, round: &mut Round<'a>) {
        let overload = &self.config.overload;
        if overload.relief == Relief::Off || !self.health.may_shrink {
            return;
        }
        let of_pool = |host: &&PausedHost| host.pool == self.config.name;
        let paused = round.ledger.paused_hosts.values().filter(of_pool).count();
        let mut left = (overload.relief_hosts as usize).saturating_sub(paused);
        let others = self
            .permanent
            .iter()
            .any(|p| p.takes_jobs(round, round.now));
        if !others && self.in_state(ServerState::Joined) == 0 {
            return;
        }
        for permanent in &self.permanent {
            let host = permanent.host;
            let up = round.metric(&host.up) == Some(true);
            let Some(runner) = host.runner.filter(|_| up && left > 0) else {
                continue;
            };
            if !permanent.memory.overload.on || permanent.is_paused(round) {
                continue;
            }
            left -= 1;
            round.intent(Event::HostPaused(PausedHost {
                runner,
                instance: host.instance.clone(),
                pool: self.config.name.clone(),
                since: round.now,
                until: round.now + overload.relief_time.get(),
            }));
            round.wanted.push(Action::PauseHost(runner));
        }
    }

    /// What somebody should look at.
    pub(super) fn alarm(&mut self, round: &mut Round<'a>) {
        let pool = Some(self.config.name.as_str());
        if !self.health.problems.is_empty() {
            let problems: Vec<String> = self
                .health
                .problems
                .iter()
                .map(Problem::to_string)
                .collect();
            let text = format!("no server is taken away: {}", problems.join("; "));
            round.alarm("observation_unhealthy", pool, text);
        }
        for gate in self.gates.iter().filter(|gate| gate.blocked()) {
            let code = match gate.gate {
                Gate::MaxServers => "max_servers_reached",
                Gate::Provider => "no_provider",
                Gate::RequestBound => "request_bound",
                Gate::Budget => "budget_reached",
                _ => continue,
            };
            let text = format!(
                "{} of {} servers more are not asked for: {}; {} jobs wait",
                gate.asked - gate.passed,
                self.plan.short,
                gate.saw,
                self.demand.pending
            );
            round.alarm(code, pool, text);
        }
        for at in 0..self.config.provider.len() {
            self.alarm_of_provider(round, at);
            self.alarm_of_listing(round, at);
        }
        let wait = self.seen.and_then(|seen| round.metric(&seen.wait_p95));
        if let Some(wait) = wait.filter(|wait| *wait > self.config.target_wait_p95.get()) {
            let text = format!(
                "95 of 100 jobs that started waited up to {} s, more than {}",
                wait.as_secs(),
                self.config.target_wait_p95
            );
            round.alarm("wait_too_long", pool, text);
        }
        for member in &self.members {
            let server = &member.server;
            if round.now >= server.expires + self.config.drain_deadline.get() {
                let text = format!(
                    "the server {} is {} and past its lifetime and the time to drain it",
                    server.name, server.state
                );
                round.alarm("server_expired", pool, text);
            }
            let works = member.is_up(round) == Some(true) || member.running > Some(0);
            if server.is_absent() && !server.state.is_going() && works {
                let text = format!(
                    "the provider {} has the server {} no more, and it works: is another account,                      region or host configured there?",
                    server.provider, server.name
                );
                round.alarm("server_unlisted", pool, text);
            }
        }
    }
}

impl<'a> PoolRound<'a> {
    fn alarm_of_provider(&self, round: &mut Round<'a>, at: usize) {
        let Some(memory) = self.provider_memory(round, at) else {
            return;
        };
        let pool = Some(self.config.name.as_str());
        if let Some((Refusal::Invalid, why)) = &memory.refused {
            let text = format!("provider {at} says that the request is wrong: {why}");
            round.alarm("provider_refuses", pool, text);
        }
        if memory.is_broken() {
            let text = format!(
                "of the last {} servers of provider {at} most did not join: look at one's console",
                memory.boots.len()
            );
            round.alarm("boots_fail", pool, text);
        }
    }

    /// A provider may have more servers than it lists.
    fn alarm_of_listing(&self, round: &mut Round<'a>, at: usize) {
        let text = match round.observation.listings.get(&self.provider_id(at)) {
            Some(Reading::Unknown { why }) => {
                format!("provider {at} does not list its servers: {why}")
            }
            Some(Reading::Known { value, .. }) if !value.complete => format!(
                "provider {at} does not list all of its servers: those that it leaves out count as there"
            ),
            _ => return,
        };
        round.alarm("provider_unclear", Some(&self.config.name), text);
    }
}

impl Round<'_> {
    /// Takes back what was paused, when its time is over.
    pub(super) fn unpause_hosts(&mut self) {
        let ledger = self.ledger;
        for paused in ledger.paused_hosts.values() {
            let host = self.host(paused);
            let seen = host.and_then(|host| match &host.paused {
                Reading::Known { value, at } => Some((*value, *at)),
                Reading::Unknown { .. } => None,
            });
            if self.now < paused.until {
                if seen.is_some_and(|(is, at)| !is && at > paused.since) {
                    self.wanted.push(Action::PauseHost(paused.runner));
                }
                continue;
            }
            match seen {
                Some((false, at)) if at > paused.until => {
                    self.fact(Event::HostUnpaused(paused.runner));
                }
                _ => self.wanted.push(Action::UnpauseHost(paused.runner)),
            }
            if !self.may_intend() {
                let text = format!(
                    "the runner {} of {} is paused by the scaler, which may not take it back in this \
                     mode: unpause it",
                    paused.runner, paused.instance
                );
                self.alarm("host_left_paused", Some(&paused.pool), text);
            }
        }
    }

    fn host(&self, paused: &PausedHost) -> Option<&Host> {
        let hosts = self.observation.pools.get(&paused.pool)?.hosts.value()?;
        hosts.iter().find(|host| host.runner == Some(paused.runner))
    }
}
