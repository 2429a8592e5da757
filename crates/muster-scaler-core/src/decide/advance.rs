//! What has become of our servers since the last look.

use std::time::Duration;

use super::round::{Look, PoolRound, Round};
use super::{DEAD_AFTER, GIVE_UP};
use crate::decision::Action;
use crate::explanation::Verdict;
use crate::memory::in_last_minute;
use crate::provider::Phase;
use crate::{ABSENCES, Happening, Reading, ServerState, Time};

/// What is added to a provider's timeout before its answer counts as lost.
const ANSWER_LATE: Duration = Duration::from_secs(60);

impl<'a> PoolRound<'a> {
    /// Brings every server's state up to date.
    pub(super) fn advance(&mut self, round: &mut Round<'a>) {
        let began = self
            .memory
            .map_or(0, |m| in_last_minute(&m.deletes, round.now));
        self.deletes_left = self.config.rate.delete_per_minute.saturating_sub(began);
        for at in 0..self.members.len() {
            self.look_at_listing(round, at);
            self.note_runner(round, at);
            self.note_down(round, at);
            match self.members[at].server.state {
                ServerState::Planned => self.planned(round, at),
                ServerState::Requested => self.requested(round, at),
                ServerState::Unknown => self.unknown(round, at),
                ServerState::Booting => self.booting(round, at),
                ServerState::Joined => self.joined(round, at),
                ServerState::Quarantined => self.quarantined(round, at),
                ServerState::Draining => self.draining(round, at),
                ServerState::Removing | ServerState::Stuck => self.removing(round, at),
            }
        }
    }

    fn look_at_listing(&mut self, round: &mut Round<'a>, at: usize) {
        let server = &self.members[at].server;
        let state = server.state;
        if let Some(listed) = self.members[at].listed {
            let is_new = server.provider_id.is_none() || server.absences > 0;
            let moved = listed.address.is_some() && listed.address != server.address;
            if is_new && state != ServerState::Planned {
                self.fact(round, at, Happening::Exists(listed.id.clone()));
            }
            if let Some(address) = listed.address.as_ref().filter(|_| moved) {
                self.fact(round, at, Happening::Address(address.clone()));
            }
            return;
        }
        let listable = !matches!(state, ServerState::Planned | ServerState::Requested);
        if listable && !state.is_going() && server.absences < ABSENCES {
            let after = match (server.last_absence, state) {
                (Some(last), _) => last + round.config.list_every.get(),
                (None, ServerState::Unknown | ServerState::Booting) => server.since,
                (None, _) => server.planned,
            };
            if let Some(began) = self.complete_listing_after(round, at, after) {
                self.fact(round, at, Happening::Absent(began));
            }
        }
    }

    /// When the listing of the server's provider began, if it is complete and began after that.
    fn complete_listing_after(&self, round: &Round<'a>, at: usize, after: Time) -> Option<Time> {
        let id = &self.members[at].server.provider;
        let listing = round
            .observation
            .listings
            .get(id)
            .and_then(Reading::value)?;
        (listing.complete && listing.began > after).then_some(listing.began)
    }

    /// Which runner object an adopted server uses is not known to the ledger; without it, the server could not
    /// be paused. What GitLab shows is a guess until the runner has joined: then it is the one. Twins
    /// share one, which is the first's while that is there.
    fn note_runner(&mut self, round: &mut Round<'a>, at: usize) {
        let server = &self.members[at].server;
        let Look::View(view) = self.members[at].view else {
            return;
        };
        let name = server.runner_name();
        let is_its_own = server.name.0 == name || !round.ledger.servers.contains_key(name);
        let has_joined = || round.gitlab(&view.joined) == Some(&true);
        let is_news = match server.runner {
            None => server.state != ServerState::Planned,
            Some(known) => server.was_adopted() && known != view.runner && has_joined(),
        };
        if is_news && is_its_own {
            self.fact(round, at, Happening::RunnerMade(view.runner));
        }
    }

    fn note_down(&mut self, round: &mut Round<'a>, at: usize) {
        let member = &self.members[at];
        let server = &member.server;
        let joined = matches!(
            server.state,
            ServerState::Joined | ServerState::Quarantined | ServerState::Draining
        );
        match (member.is_up(round), server.down_since) {
            (Some(false), None) if joined => {
                self.fact(round, at, Happening::Down(Some(round.now)));
            }
            (Some(true), Some(_)) if joined => {
                self.fact(round, at, Happening::Down(None));
            }
            _ => {}
        }
    }

    fn planned(&mut self, round: &mut Round<'a>, at: usize) {
        let server = &self.members[at].server;
        let shut = self
            .shut(round, server.provider.at)
            .is_some_and(|shut| !matches!(shut, crate::explanation::Shut::Trying));
        if round.now.since(server.planned) >= GIVE_UP || shut {
            self.remove(round, at, "it could not be asked for");
        } else if round.now >= server.next_try {
            let action = Action::Create(server.name.clone(), server.provider.clone());
            round.wanted.push(action);
        }
    }

    fn requested(&mut self, round: &mut Round<'a>, at: usize) {
        let server = &self.members[at].server;
        let timeout = self.provider_of(server).map(|p| p.timeout.get());
        let late = timeout.unwrap_or_default() + ANSWER_LATE;
        // Some providers need many calls, or copy a volume first: that may take all of the boot's time.
        let is_late = round.now >= server.boot_deadline && round.now.since(server.since) > late;
        if !self.join(round, at) && is_late {
            let why = "no answer was noted".to_owned();
            self.fact(round, at, Happening::AnswerLost(why));
        }
    }

    fn unknown(&mut self, round: &mut Round<'a>, at: usize) {
        if !self.join(round, at) && self.is_gone(round, at) {
            self.fail(round, at, "it never appeared at its provider".to_owned());
        }
    }

    fn booting(&mut self, round: &mut Round<'a>, at: usize) {
        if self.join(round, at) {
            return;
        }
        let member = &self.members[at];
        let late = round.now >= member.server.boot_deadline;
        let hosts_known = self.hosts_known(round);
        match member.listed.map(|listed| &listed.phase) {
            Some(Phase::Error(why)) => {
                let why = format!("its provider says: {why}");
                self.fail(round, at, why);
            }
            _ if self.is_gone(round, at) => {
                self.fail(round, at, "its provider has it no more".to_owned());
            }
            _ if late && member.has_joined(round, hosts_known) == Some(false) => {
                self.fail(round, at, "it did not join in time".to_owned());
            }
            _ if late => {
                let text = format!(
                    "the server {} should have joined, and nobody can tell whether it has",
                    member.server.name
                );
                round.alarm("boot_unseen", Some(&self.config.name), text);
            }
            _ => {}
        }
    }

    /// Whether its provider has it no more and it has certainly not joined: a listing may leave out what
    /// runs jobs.
    fn is_gone(&self, round: &Round<'a>, at: usize) -> bool {
        let member = &self.members[at];
        let joined = member.has_joined(round, self.hosts_known(round));
        member.server.is_absent() && joined == Some(false)
    }

    pub(super) fn hosts_known(&self, round: &Round<'a>) -> bool {
        self.seen
            .is_some_and(|seen| round.fresh(&seen.hosts).is_some())
    }

    fn join(&mut self, round: &mut Round<'a>, at: usize) -> bool {
        let known = self.hosts_known(round);
        if self.members[at].has_joined(round, known) != Some(true) {
            return false;
        }
        self.fact(round, at, Happening::Joined);
        true
    }

    fn joined(&mut self, round: &mut Round<'a>, at: usize) {
        let member = &self.members[at];
        let server = &member.server;
        if let Look::View(view) = member.view
            && round.gitlab(&view.paused) == Some(&true)
            && let Reading::Known { at: seen, .. } = &view.paused
            && *seen > server.since
        {
            round.wanted.push(Action::Unpause(server.name.clone()));
        }
        let down = server.down_since.map(|since| round.now.since(since));
        if down.is_some_and(|down| down >= DEAD_AFTER) {
            let why = "its host does not answer".to_owned();
            self.fact(round, at, Happening::Quarantined(why));
            self.members[at].verdict = Verdict::Quarantined;
            return;
        }
        self.note_idle(round, at);
    }

    fn note_idle(&mut self, round: &mut Round<'a>, at: usize) {
        let member = &self.members[at];
        match (member.running, member.server.idle_since) {
            (Some(0), None) => {
                self.fact(round, at, Happening::Idle(Some(round.now)));
            }
            (Some(running), Some(_)) if running > 0 => {
                self.fact(round, at, Happening::Idle(None));
            }
            _ => {}
        }
    }

    fn quarantined(&mut self, round: &mut Round<'a>, at: usize) {
        self.members[at].verdict = Verdict::Quarantined;
        if self.members[at].server.down_since.is_none() {
            self.fact(round, at, Happening::Recovered);
        } else {
            self.note_idle(round, at);
        }
    }

    fn removing(&mut self, round: &mut Round<'a>, at: usize) {
        self.members[at].verdict = Verdict::Deleted;
        let server = &self.members[at].server;
        if round.now >= server.next_try {
            round.wanted.push(Action::Delete(server.name.clone()));
        }
        if server.state == ServerState::Stuck {
            let text = format!(
                "the server {} could not be deleted {} times in a row and goes on costing: {}",
                server.name,
                server.failures,
                server.last_error.as_deref().unwrap_or("no reason given")
            );
            round.alarm("delete_stuck", Some(&self.config.name), text);
        }
    }

    /// It did not come up, and goes. Where its runner could come up late and take jobs, it is drained first.
    fn fail(&mut self, round: &mut Round<'a>, at: usize, why: String) {
        let member = &self.members[at];
        if member.server.state == ServerState::Booting
            && matches!(member.view, Look::View(_) | Look::Silent)
        {
            if self.begin_drain(round, at, "it did not come up", false) {
                self.intent(round, at, Happening::BootFailed(why));
                self.draining(round, at);
            }
        } else if self.may_delete(at) {
            self.delete(round, at, Happening::BootFailed(why));
        }
    }

    /// It is deleted, unless too many were in the last minute.
    pub(super) fn remove(&mut self, round: &mut Round<'a>, at: usize, why: &str) {
        if self.may_delete(at) {
            self.delete(round, at, Happening::Removing(why.to_owned()));
        }
    }

    fn may_delete(&mut self, at: usize) -> bool {
        if self.members[at].server.provider_id.is_none() {
            return true;
        }
        self.deletes_asked += 1;
        if self.deletes_left == 0 {
            self.members[at].verdict = Verdict::WaitsForRate;
            return false;
        }
        self.deletes_left -= 1;
        true
    }

    fn delete(&mut self, round: &mut Round<'a>, at: usize, what: Happening) {
        if self.intent(round, at, what) {
            self.members[at].verdict = Verdict::Deleted;
            let name = self.members[at].server.name.clone();
            round.wanted.push(Action::Delete(name));
        }
    }
}
