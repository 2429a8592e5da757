//! Which servers are taken away.

use super::QUARANTINE;
use super::round::{PoolRound, Round};
use crate::config::Mode;
use crate::decision::Action;
use crate::explanation::{Gate, GateResult, Saw, Verdict};
use crate::memory::in_last_minute;
use crate::{Server, ServerState, Time};

/// A drain that begins later before the end of what is paid for does not end in time, in seconds.
const QUANTUM_LEAST: u64 = 120;

impl<'a> PoolRound<'a> {
    /// Begins drains: of servers past their time, of those of no use, and of those too many.
    pub(super) fn shrink(&mut self, round: &mut Round<'a>) {
        let free = matches!(round.config.mode, Mode::DryRun | Mode::On)
            && round.observation.lease.is_ok()
            && self.health.may_shrink;
        let spent = self.is_spent();
        let mut chosen = Vec::new();
        for at in 0..self.members.len() {
            match self.must_go(round, at, spent) {
                Some((why, may_return)) if free => self.drain(round, at, why, may_return),
                Some(_) => self.members[at].verdict = Verdict::Unsure,
                None if self.members[at].server.state == ServerState::Joined => {
                    let verdict = self.verdict(at, round.now);
                    self.members[at].verdict = verdict;
                    if verdict == Verdict::Needed {
                        chosen.push(at);
                    }
                }
                None => {}
            }
        }
        chosen.sort_by_key(|at| self.members[*at].server.planned);
        let most = if free { self.plan.surplus as usize } else { 0 };
        let surplus = most.min(chosen.len());
        for at in chosen.drain(..surplus) {
            self.drain(round, at, "not needed", true);
        }
        if !free && self.plan.surplus > 0 {
            for at in chosen {
                self.members[at].verdict = Verdict::Unsure;
            }
        }
        self.note_delete_rate(round);
    }

    /// Why the server must go, whatever the demand, and whether it may be taken back.
    fn must_go(&self, round: &Round<'_>, at: usize, spent: bool) -> Option<(&'static str, bool)> {
        let (server, now) = (&self.members[at].server, round.now);
        match server.state {
            // A listing may leave out what runs jobs: whether it does is GitLab's word. When it is shown again,
            // it is as good as before.
            ServerState::Joined | ServerState::Quarantined if server.is_absent() => {
                Some(("its provider has it no more", true))
            }
            ServerState::Joined | ServerState::Quarantined if now >= server.expires => {
                Some(("its lifetime is over", false))
            }
            ServerState::Draining if now >= server.expires => {
                let returns = server.drain.as_ref().is_some_and(|drain| drain.may_return);
                returns.then_some(("its lifetime is over", false))
            }
            ServerState::Joined if spent => Some(("the budget is used up", false)),
            ServerState::Quarantined if now.since(server.since) >= QUARANTINE => {
                Some(("it does not answer", false))
            }
            ServerState::Joined if self.never_came(round, at) => Some((
                "it has fetched its configuration, and GitLab knows no runner of it",
                false,
            )),
            _ => None,
        }
    }

    /// Whether the runner of a server that said that it joins has not shown itself for as long as a boot may take.
    fn never_came(&self, round: &Round<'_>, at: usize) -> bool {
        let member = &self.members[at];
        let server = &member.server;
        let boot = self.provider_of(server).map(|p| p.boot_timeout.get());
        let late = boot.is_some_and(|boot| round.now.since(server.since) > boot);
        let hosts_known = self.hosts_known(round);
        late && member.running == Some(0) && member.has_joined(round, hosts_known) == Some(false)
    }

    /// What speaks for keeping a joined server; [`Verdict::Needed`] if only demand could.
    fn verdict(&self, at: usize, now: Time) -> Verdict {
        let member = &self.members[at];
        let server = &member.server;
        match member.running {
            None => return Verdict::NotKnown,
            Some(running) if running > 0 => return Verdict::Busy,
            Some(_) => {}
        }
        let idle = server.idle_since.map(|since| now.since(since));
        match idle {
            None => return Verdict::Busy,
            Some(idle) if idle < self.config.idle_time.get() => {
                return Verdict::Idle(idle.as_secs());
            }
            Some(_) => {}
        }
        let lived = server.joined.map(|joined| now.since(joined));
        if lived.is_none_or(|lived| lived < self.config.min_life.get()) {
            return Verdict::Young;
        }
        match self.paid(server, now) {
            Some(seconds) => Verdict::Paid(seconds),
            None => Verdict::Needed,
        }
    }

    /// For how many seconds more the server is paid, if it is too early to drain it: it goes in the
    /// last sixth, but not so late that the drain would reach into the next quantum.
    fn paid(&self, server: &Server, now: Time) -> Option<u64> {
        let quantum = self.config.billing_quantum.as_secs();
        if quantum < 6 * QUANTUM_LEAST {
            return None;
        }
        let left = quantum - server.age(now).as_secs() % quantum;
        let soon = QUANTUM_LEAST..=QUANTUM_LEAST + quantum / 6;
        (!soon.contains(&left)).then_some(left)
    }

    fn drain(&mut self, round: &mut Round<'a>, at: usize, why: &str, may_return: bool) {
        let name = self.members[at].server.name.clone();
        if self.begin_drain(round, at, why, may_return) {
            self.members[at].verdict = Verdict::Drained;
            self.plan.drain += 1;
            round.wanted.push(Action::Pause(name));
        }
    }

    fn note_delete_rate(&mut self, round: &Round<'_>) {
        let most = self.config.rate.delete_per_minute;
        let began = self
            .memory
            .map_or(0, |m| in_last_minute(&m.deletes, round.now));
        let waiting = |m: &&super::round::Member<'_>| m.verdict == Verdict::WaitsForRate;
        let waiting = self.members.iter().filter(waiting).count();
        self.gates.push(GateResult {
            gate: Gate::DeleteRate,
            asked: self.deletes_asked,
            passed: self.deletes_asked - u32::try_from(waiting).unwrap_or(self.deletes_asked),
            saw: Saw::Count { have: began, most },
        });
    }
}
