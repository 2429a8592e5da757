//! The task of one instance: a check at each tick, forever.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use muster_tasks::{Ctx, catch_panic};
use tokio::time::timeout_at;

use crate::board::{Board, Slot};
use crate::clock::Moment;
use crate::health::Health;
use crate::probe::Probe;
use crate::schedule::Schedule;
use crate::status::{Answer, Class, Outcome, Reason, patience};

/// The pause after a panic doubles with each that follows at once, from this to the interval: a probe that always
/// panics is tried every other tick, and what is told of its instance is never older than that.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Makes the probe of an instance: at first, and after a panic.
pub type MakeProbe = Arc<dyn Fn() -> Box<dyn Probe> + Send + Sync>;

/// When an instance is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How often.
    pub interval: Duration,
    /// How long a check may take; at most the interval.
    pub timeout: Duration,
}

/// The check of one instance.
///
/// At most one probe of it lives at a time: a check that has not ended at its deadline is dropped,
/// with its connection, and counts as failed. Ticks that pass meanwhile are left out and counted. A
/// panic ends one check, not the task: it is counted, told with the instance's ID, and the next check
/// starts with a new probe.
#[derive(Clone)]
pub struct Checker {
    /// The board to which the slot belongs.
    pub board: Board,
    /// Where the result goes.
    pub slot: Arc<Slot>,
    /// When.
    pub timing: Timing,
    /// Counts what happens.
    pub health: Arc<Health>,
    /// Makes the probe.
    pub make: MakeProbe,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker")
            .field("id", self.slot.id())
            .finish_non_exhaustive()
    }
}

impl Checker {
    /// Checks until cancelled.
    pub async fn run(self, cx: Ctx) {
        let clock = self.board.clock();
        let schedule = Schedule::new(self.slot.id(), self.timing.interval);
        let mut probe: Option<Box<dyn Probe>> = None;
        let mut panics = 0;
        let mut due = schedule.first(clock.now().steady);
        loop {
            self.slot
                .expect_until(Some(due + patience(self.timing.interval)));
            let at = clock.instant(due);
            if cx.run(tokio::time::sleep_until(at)).await.is_err() {
                break;
            }
            // Boxed, so that a task takes little memory while it waits.
            let round = Box::pin(catch_panic(self.round(&mut probe, due)));
            let Ok(round) = cx.run(round).await else {
                break;
            };
            let mut from = clock.now().steady;
            match round {
                Ok(()) => panics = 0,
                Err(panic) => {
                    probe = None;
                    from += pause_after(panics, self.timing.interval);
                    panics += 1;
                    self.panicked(&panic);
                }
            }
            let passed = schedule.between(due, clock.now().steady);
            self.health.overruns.fetch_add(passed, Relaxed);
            due = schedule.next(from);
        }
        // Only here: of a task that ended in another way something is still expected.
        self.slot.expect_until(None);
    }

    /// One check.
    async fn round(&self, probe: &mut Option<Box<dyn Probe>>, due: Duration) {
        let clock = self.board.clock();
        let began = clock.now();
        let late = began.steady.saturating_sub(due);
        self.health.began(late);
        let deadline = clock.instant(began.steady + self.timing.timeout);
        let probe = probe.get_or_insert_with(|| (self.make)());
        let mut answer = match timeout_at(deadline, probe.check(deadline)).await {
            Ok(answer) => answer,
            Err(_) => probe.overdue().into(),
        };
        let ended = clock.now();
        let took = ended.steady.saturating_sub(began.steady);
        let overtime = took.saturating_sub(self.timing.timeout);
        if answer.outcome.reason.class() == Class::Fail
            && self.board.is_mostly_failing()
            && !self.health.self_test.passes(ended).await
        {
            let detail = "more than half of all checks fail, and so does a connection to ourselves";
            answer = Outcome::new(Reason::Local, detail).into();
        }
        self.conclude(ended, answer, late.max(overtime));
    }

    fn conclude(&self, at: Moment, answer: Answer, late: Duration) {
        if answer.outcome.reason.class() == Class::Local {
            self.health.local_faults.fetch_add(1, Relaxed);
        }
        let Some(change) = self.slot.observe(at, answer, late) else {
            return;
        };
        if change.reason == Reason::Tilt {
            self.health.tilts.fetch_add(1, Relaxed);
        }
        let detail = change.detail.as_deref().unwrap_or_default();
        let (from, to, reason) = (change.from, change.to, change.reason);
        tracing::info!(instance = %self.slot.id(), %from, %to, %reason, detail, "the state has changed");
    }

    fn panicked(&self, panic: &muster_tasks::PanicInfo) {
        self.health.panics.fetch_add(1, Relaxed);
        tracing::error!(instance = %self.slot.id(), "its check {panic}");
        let outcome = Outcome::new(Reason::Panic, panic.to_string());
        let now = self.board.clock().now();
        self.conclude(now, outcome.into(), Duration::ZERO);
    }
}

/// The pause after a panic that followed so many others at once.
fn pause_after(panics: u32, interval: Duration) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(1 << panics.min(16));
    doubled.min(interval)
}
