//! From results of checks to a verdict: the state machine, with the clock passed in.
//!
//! ```text
//! unknown  --ok--> up        --fail x fall, nothing heard for down_after--> down
//! up       --fail--> suspect --ok--> up
//! suspect  --fail x fall, nothing heard for down_after--> down
//! down     --ok--> rising    --fail--> down      rising --ok x rise--> up
//! any      --degraded--> degraded                degraded --ok x rise--> up
//! any      --local fault x fall--> unknown
//! ```
//!
//! - A reason is told of at once, also when the state stays.
//! - A server that answers with an error lives: that is degraded, and never becomes down, unless
//!   `down_on` names the reason.
//! - A fault on our own side counts neither for nor against the instance. `fall` of them in a row
//!   mean that nothing is known any more.
//! - When our own loop was late by more than 2 s and three intervals, results say more about us than
//!   about the instance: nothing changes for twice `down_after` (tilt), and counting starts anew then.

mod flaps;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::status::{Answer, Class, Outcome, Reason, State, Status, Transition, Verdict};
use flaps::Flaps;

/// The least lateness of our own loop that is taken as a stand-still.
const TILT_LATENESS: Duration = Duration::from_secs(2);

/// When verdicts change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// How often the instance is checked.
    pub interval: Duration,
    /// So many good results in a row are needed to be up again; at least 1.
    pub rise: u32,
    /// So many failures in a row are needed to be down; at least 1.
    pub fall: u32,
    /// Nothing must have been heard of the instance for this long to be down.
    pub down_after: Duration,
    /// Reasons for which a living server counts as failed.
    pub down_on: Vec<Reason>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            down_after: Duration::from_secs(3),
            down_on: Vec::new(),
        }
    }
}

impl Thresholds {
    /// What a result with this reason says of the instance.
    pub fn class(&self, reason: Reason) -> Class {
        match reason.class() {
            Class::Degraded if self.down_on.contains(&reason) => Class::Fail,
            class => class,
        }
    }

    /// Our own loop is held to have stood still when it is later than this.
    pub fn tilt_lateness(&self) -> Duration {
        TILT_LATENESS.max(self.interval * 3)
    }
}

/// The state of one instance. About 300 bytes.
#[derive(Clone, Debug)]
pub struct Machine {
    thresholds: Arc<Thresholds>,
    status: Status,
    /// Local faults in a row.
    local: u32,
    /// When the instance was last heard of.
    heard: Option<Duration>,
    /// Whether it was down or degraded since it was last up.
    recovering: bool,
    /// Nothing changes before this.
    frozen: Option<Duration>,
    flaps: Flaps,
}

impl Machine {
    /// Nothing is known yet.
    pub fn new(thresholds: Arc<Thresholds>, at: Moment) -> Self {
        Self {
            status: Status::pending(at.wall, thresholds.interval),
            thresholds,
            local: 0,
            heard: None,
            recovering: false,
            frozen: None,
            flaps: Flaps::default(),
        }
    }

    /// Goes on with other thresholds; what is known stays.
    pub fn set_thresholds(&mut self, thresholds: Arc<Thresholds>) {
        self.status.interval = thresholds.interval;
        self.thresholds = thresholds;
    }

    /// What is known.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Takes the result of a check that ended at `at`. `late` is by how much our own loop was late:
    /// at starting the check, or at noticing its end. Returns what changed.
    pub fn observe(&mut self, at: Moment, answer: Answer, late: Duration) -> Option<Transition> {
        let before = (self.status.state, self.status.reason);
        let shown = self.shown();
        self.note(at, &answer);
        let stood_still = late > self.thresholds.tilt_lateness();
        if stood_still {
            self.frozen = Some(at.steady + self.thresholds.down_after * 2);
        }
        let was_tilted = self.status.tilt;
        self.status.tilt = self.is_frozen(at.steady);
        if self.status.tilt {
            return stood_still.then(|| Transition {
                at: at.wall,
                from: self.status.state,
                to: self.status.state,
                reason: Reason::Tilt,
                detail: Some(format!("our own loop was late by {late:.1?}").into()),
            });
        }
        if was_tilted {
            self.forget_streaks(at.steady);
        }
        self.judge(at.steady, answer.outcome);
        self.status.state = self.state(at.steady);
        self.status.flaps = self.flaps.last_hour(at.steady);
        if self.shown() != shown {
            self.status.since = at.wall;
        }
        let after = (self.status.state, self.status.reason);
        (after != before).then(|| Transition {
            at: at.wall,
            from: before.0,
            to: after.0,
            reason: after.1,
            detail: self.status.detail.clone(),
        })
    }

    /// Takes down what the check measured.
    fn note(&mut self, at: Moment, answer: &Answer) {
        let status = &mut self.status;
        status.checked = Some(at.wall);
        status.seq += 1;
        status.rtt = answer.rtt;
        if let Some(facts) = &answer.facts
            && *status.facts != *facts
        {
            status.facts = Arc::new(facts.clone());
            status.replication = None;
        }
        if answer.replication.is_some() {
            status.replication = answer.replication;
        }
        status.loading = answer.loading;
    }

    fn is_frozen(&mut self, now: Duration) -> bool {
        let frozen = self.frozen.is_some_and(|until| now < until);
        if !frozen {
            self.frozen = None;
        }
        frozen
    }

    /// What was counted before a stand-still does not count after it; nor does the silence.
    fn forget_streaks(&mut self, now: Duration) {
        (self.status.oks, self.status.fails, self.local) = (0, 0, 0);
        self.heard = self.heard.map(|_| now);
    }

    fn judge(&mut self, now: Duration, outcome: Outcome) {
        let class = self.thresholds.class(outcome.reason);
        match class {
            Class::Ok | Class::Degraded => {
                (self.status.fails, self.local) = (0, 0);
                self.heard = Some(now);
            }
            Class::Fail => {
                (self.status.oks, self.local) = (0, 0);
                self.status.fails = self.status.fails.saturating_add(1);
            }
            Class::Local => {
                self.status.oks = 0;
                self.local = self.local.saturating_add(1);
            }
        }
        match class {
            Class::Ok => {
                self.status.oks = self.status.oks.saturating_add(1);
                if !self.recovering || self.status.oks >= self.thresholds.rise {
                    self.conclude(Verdict::Up, now);
                }
                if self.status.verdict != Verdict::Up {
                    // It is rising: why it is not up yet is still the old reason.
                    return;
                }
            }
            Class::Degraded => {
                self.status.oks = 0;
                self.conclude(Verdict::Degraded, now);
            }
            Class::Fail => {
                let silent = self.heard.map(|heard| now.saturating_sub(heard));
                let long = silent.is_none_or(|silent| silent >= self.thresholds.down_after);
                if self.status.fails >= self.thresholds.fall && long {
                    self.conclude(Verdict::Down, now);
                }
            }
            Class::Local => {
                if self.local >= self.thresholds.fall {
                    self.conclude(Verdict::Unknown, now);
                }
            }
        }
        self.status.reason = outcome.reason;
        self.status.detail = outcome.detail;
    }

    fn conclude(&mut self, verdict: Verdict, now: Duration) {
        let old = std::mem::replace(&mut self.status.verdict, verdict);
        match verdict {
            Verdict::Up => self.recovering = false,
            Verdict::Degraded | Verdict::Down => self.recovering = true,
            Verdict::Unknown => {}
        }
        let went_down = verdict == Verdict::Down && old != Verdict::Unknown;
        let came_back = old == Verdict::Down && verdict != Verdict::Unknown;
        if old != verdict && (went_down || came_back) {
            self.flaps.count(now);
        }
    }

    fn state(&mut self, now: Duration) -> State {
        let failing = self.status.fails > 0;
        let rising = self.status.oks > 0;
        if self.flaps.suppresses(now) {
            return State::Flapping;
        }
        match self.status.verdict {
            Verdict::Unknown => State::Unknown,
            Verdict::Up | Verdict::Degraded if failing => State::Suspect,
            Verdict::Up => State::Up,
            Verdict::Degraded | Verdict::Down if rising => State::Rising,
            Verdict::Degraded => State::Degraded,
            Verdict::Down => State::Down,
        }
    }

    /// What `since` is about.
    fn shown(&self) -> (Verdict, bool) {
        let flapping = self.status.state == State::Flapping;
        (self.status.verdict, flapping)
    }
}
