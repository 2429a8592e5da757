//! The slots that there are.

use super::round::{Member, Permanent, PoolRound, Round};
use crate::{ServerState, Time};

impl<'a> PoolRound<'a> {
    /// Counts the slots of permanent hosts and of our servers.
    pub(super) fn count_capacity(&mut self, round: &Round<'a>) {
        let mut count = self.capacity;
        for permanent in &self.permanent {
            let slots = permanent.slots();
            let paused = permanent.is_paused(round);
            if permanent.memory.is_dead(round.now) {
                count.down += 1;
                continue;
            }
            count.paused += u32::from(paused);
            count.overloaded += u32::from(permanent.memory.overload.on);
            let running = round.metric(&permanent.host.running);
            count.permanent += match running {
                // What runs there needs no slot elsewhere, and nothing else will run there.
                Some(running) if paused || permanent.memory.overload.on => running.min(slots),
                None if paused => 0,
                _ => slots,
            };
        }
        for memory in &self.missing {
            if memory.is_dead(round.now) {
                count.down += 1;
            } else {
                count.permanent += memory.slots.unwrap_or(0);
            }
        }
        for member in &self.members {
            let slots = member.server.slots;
            match member.server.state {
                ServerState::Joined => count.temporary += member.slots(round),
                ServerState::Draining | ServerState::Quarantined => {
                    count.leaving += member.running.unwrap_or(0);
                }
                state if state.is_coming() => count.coming += slots,
                _ => {}
            }
        }
        self.capacity = count;
    }
}

impl Permanent<'_> {
    /// How many jobs it may run, as last seen.
    fn slots(&self) -> u32 {
        self.memory.slots.unwrap_or(0)
    }

    /// Whether its runner takes no jobs.
    pub(super) fn is_paused(&self, round: &Round<'_>) -> bool {
        let by_us = |runner| round.ledger.paused_hosts.contains_key(&runner);
        round.gitlab(&self.host.paused) == Some(&true) || self.host.runner.is_some_and(by_us)
    }

    /// Whether it is up and takes jobs.
    pub(super) fn takes_jobs(&self, round: &Round<'_>, now: Time) -> bool {
        !self.is_paused(round) && !self.memory.is_dead(now) && !self.memory.overload.on
    }
}

impl Member<'_> {
    /// The slots of a joined server: what its host says that it has, else what it should have.
    fn slots(&self, round: &Round<'_>) -> u32 {
        let told = self.host.and_then(|host| round.metric(&host.slots));
        told.filter(|slots| *slots > 0).unwrap_or(self.server.slots)
    }
}
