//! A component's health as a state machine. Pure: the clock is handed in.

use std::time::Duration;

use muster_metric::Timestamp;
use serde::Serialize;

/// After so many failures in a row that cost the plugin's instance (a panic, a run that ended), a
/// component is quarantined.
const FAILURES_TO_QUARANTINE: u32 = 5;

/// The first wait before a component is made anew; doubles with each failure in a row.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// The wait of a quarantined component before it is tried again.
const QUARANTINE: Duration = Duration::from_secs(300);

/// What a component does, as far as can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not yet through its first gather or write.
    Starting,
    /// The last gather or write went well.
    Running,
    /// The last gather or write failed; it is tried again at its usual time.
    Failing,
    /// The plugin was lost (a panic, a run that ended) and is made anew after a wait.
    BackingOff,
    /// The plugin was lost again and again; it is tried again after a long wait, or when told to.
    Quarantined,
    /// Told to rest.
    Paused,
    /// Being stopped.
    Stopping,
    /// Gone.
    Stopped,
}

impl State {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Failing => "failing",
            Self::BackingOff => "backing-off",
            Self::Quarantined => "quarantined",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// The state with its history as far as it matters.
#[derive(Clone, Debug)]
pub struct Health {
    state: State,
    since: Timestamp,
    why: Option<String>,
    losses_in_a_row: u32,
}

impl Health {
    /// A component that starts at `now`.
    pub fn new(state: State, now: Timestamp) -> Self {
        Self {
            state,
            since: now,
            why: None,
            losses_in_a_row: 0,
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when it is in this state.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Why, if something is wrong.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// A gather or write went well. Returns whether that is news.
    pub fn succeeded(&mut self, now: Timestamp) -> bool {
        if self.is_told() {
            return false;
        }
        self.losses_in_a_row = 0;
        self.why = None;
        self.enter(State::Running, now)
    }

    /// A gather or write failed, and the plugin can go on. Returns whether that is news.
    pub fn failed(&mut self, why: impl Into<String>, now: Timestamp) -> bool {
        if self.is_told() {
            return false;
        }
        self.why = Some(why.into());
        self.enter(State::Failing, now)
    }

    /// The plugin was lost. Returns how long to wait before it is made anew; `random` is uniform
    /// in `0..=u32::MAX` and spreads the waits by a tenth.
    pub fn lost(&mut self, why: impl Into<String>, now: Timestamp, random: u32) -> Duration {
        self.why = Some(why.into());
        self.losses_in_a_row = self.losses_in_a_row.saturating_add(1);
        let spread = 1.0 + 0.1 * (f64::from(random) / f64::from(u32::MAX));
        if self.losses_in_a_row >= FAILURES_TO_QUARANTINE {
            self.enter(State::Quarantined, now);
            QUARANTINE.mul_f64(spread)
        } else {
            self.enter(State::BackingOff, now);
            (FIRST_BACKOFF * (1 << (self.losses_in_a_row - 1))).mul_f64(spread)
        }
    }

    /// The plugin was lost and is not tried again before it is told to.
    pub fn quarantine(&mut self, why: impl Into<String>, now: Timestamp) {
        self.why = Some(why.into());
        self.enter(State::Quarantined, now);
    }

    /// The component was told to rest, to stop, or has stopped.
    pub fn set(&mut self, state: State, now: Timestamp) {
        self.why = None;
        if state == State::Starting {
            self.losses_in_a_row = 0;
        }
        self.enter(state, now);
    }

    /// Whether somebody told it what it is: then what its last work came to changes nothing.
    fn is_told(&self) -> bool {
        matches!(self.state, State::Paused | State::Stopping | State::Stopped)
    }

    fn enter(&mut self, state: State, now: Timestamp) -> bool {
        let news = self.state != state;
        if news {
            self.state = state;
            self.since = now;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn losses_back_off_and_end_in_quarantine() {
        let mut health = Health::new(State::Starting, at(0));
        let waits: Vec<u64> = (1..=6)
            .map(|n| health.lost("boom", at(n), 0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 300, 300]);
        assert_eq!(
            (health.state(), health.since()),
            (State::Quarantined, at(5))
        );
        assert_eq!(health.why(), Some("boom"));
        assert!(health.succeeded(at(9)));
        assert_eq!(health.lost("boom", at(10), u32::MAX).as_millis(), 1100);
    }

    #[test]
    fn since_is_when_the_state_began() {
        let mut health = Health::new(State::Starting, at(0));
        assert!(health.failed("no route", at(1)));
        assert!(!health.failed("refused", at(2)));
        assert_eq!((health.since(), health.why()), (at(1), Some("refused")));
        assert!(health.succeeded(at(3)));
        assert_eq!(health.why(), None);
    }
}
