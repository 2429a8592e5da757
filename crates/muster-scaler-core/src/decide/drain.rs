//! Draining servers: paused, seen empty twice, deleted.

use super::DEAD_AFTER;
use super::round::{Look, PoolRound, Round};
use crate::decision::Action;
use crate::explanation::Verdict;
use crate::{Drain, Happening, Reading, Time};

impl<'a> PoolRound<'a> {
    /// Has a server drained from now on; `false` if it cannot be in its state.
    pub(super) fn begin_drain(
        &mut self,
        round: &mut Round<'a>,
        at: usize,
        why: &str,
        may_return: bool,
    ) -> bool {
        let deadline = round.now + self.config.drain_deadline.get();
        let hold = round.config.long_polling.get();
        let drain = Drain::new(deadline, why, may_return, hold);
        self.intent(round, at, Happening::Draining(drain))
    }

    pub(super) fn draining(&mut self, round: &mut Round<'a>, at: usize) {
        self.members[at].verdict = Verdict::Draining;
        if round.is_reduced() && self.is_lost(round, at) {
            self.remove(round, at, "its provider has it no more");
            return;
        }
        self.look_at_pause(round, at);
        self.look_for_jobs(round, at);
        self.end_drain(round, at);
    }

    /// Whether neither its provider nor the metrics have it any more: nobody else can tell of its jobs.
    fn is_lost(&self, round: &Round<'a>, at: usize) -> bool {
        let server = &self.members[at].server;
        let down = server.down_since.map(|since| round.now.since(since));
        server.is_absent() && down.is_some_and(|down| down >= DEAD_AFTER)
    }

    /// Whether the runner is paused; if it is not, it is paused again.
    fn look_at_pause(&mut self, round: &mut Round<'a>, at: usize) {
        let member = &self.members[at];
        let name = member.server.name.clone();
        let Some(drain) = &member.server.drain else {
            return;
        };
        let paused = match member.view {
            Look::Reduced | Look::Silent => None,
            Look::Missing => Some(true),
            Look::View(view) => round.gitlab(&view.paused).copied(),
        };
        let was_empty = drain.first_empty.is_some();
        match (paused, drain.paused) {
            (Some(true), None) => {
                self.fact(round, at, Happening::DrainPaused);
            }
            (Some(true), Some(_)) | (None, Some(_)) => {}
            (Some(false), since) => {
                let seen = self.seen_at(round, at);
                if since.is_none_or(|since| seen.is_some_and(|seen| seen > since)) {
                    round.wanted.push(Action::Pause(name));
                    if since.is_some() && was_empty {
                        self.fact(round, at, Happening::DrainLooked(false));
                    }
                }
            }
            (None, None) => round.wanted.push(Action::Pause(name)),
        }
    }

    /// When what is known of its jobs was true.
    fn seen_at(&self, round: &Round<'a>, at: usize) -> Option<Time> {
        let member = &self.members[at];
        match member.view {
            Look::Reduced => time_of(&member.host?.running),
            Look::Silent => None,
            Look::Missing => time_of(&round.observation.runners),
            Look::View(view) => time_of(&view.running),
        }
    }

    /// A look counts when it is of a time after the pause, and the pause still holds.
    fn look_for_jobs(&mut self, round: &mut Round<'a>, at: usize) {
        let member = &self.members[at];
        let Some(drain) = &member.server.drain else {
            return;
        };
        let (Some(paused), Some(seen)) = (drain.paused, self.seen_at(round, at)) else {
            return;
        };
        let holds = match member.view {
            Look::View(view) => round.gitlab(&view.paused) == Some(&true),
            Look::Reduced | Look::Missing => true,
            Look::Silent => false,
        };
        if !holds || seen <= paused {
            return;
        }
        match (member.running, drain.first_empty) {
            (Some(0), None) => {
                self.fact(round, at, Happening::DrainLooked(true));
            }
            (Some(0), Some(first))
                if !drain.is_empty() && seen.since(first) > drain.looks_apart() =>
            {
                self.fact(round, at, Happening::DrainLooked(true));
            }
            (Some(running), Some(_)) if running > 0 => {
                self.fact(round, at, Happening::DrainLooked(false));
            }
            _ => {}
        }
    }

    fn end_drain(&mut self, round: &mut Round<'a>, at: usize) {
        let server = &self.members[at].server;
        let Some(drain) = &server.drain else { return };
        let (empty, overdue) = (drain.is_empty(), round.now >= drain.deadline);
        if overdue && !empty {
            let text = format!(
                "the server {} has been drained for longer than {}: look at its jobs",
                server.name, self.config.drain_deadline
            );
            round.alarm("drain_overdue", Some(&self.config.name), text);
        }
        if !self.health.may_shrink {
            return;
        }
        if empty && self.members[at].running == Some(0) {
            self.remove(round, at, "it is drained");
        } else if overdue && self.config.kill_after_drain_deadline {
            self.remove(round, at, "its drain is past its deadline");
        }
    }
}

const fn time_of<T>(reading: &Reading<T>) -> Option<Time> {
    match reading {
        Reading::Known { at, .. } => Some(*at),
        Reading::Unknown { .. } => None,
    }
}
