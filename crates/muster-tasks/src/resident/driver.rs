//! The task behind a periodic job: keeps the ticks, and sees every run to its end.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::{Overlap, ResidentOptions, Shared};
use crate::Cause;
use crate::ctx::Ctx;
use crate::group::{Group, StopOptions};
use crate::handle::{Outcome, TaskHandle};
use crate::panic::guard;
use crate::task::{Ended, conclude};

pub(super) struct Driver<C> {
    period: Duration,
    options: ResidentOptions,
    grace: Duration,
    location: &'static Location<'static>,
    shared: Arc<Shared>,
    job: C,
    live: Vec<Run>,
    /// A run waits for room.
    queued: bool,
    started: u64,
}

/// A live run and what happens to it next.
struct Run {
    handle: TaskHandle<()>,
    since: Instant,
    stage: Stage,
    /// When the stage is over.
    until: Option<Instant>,
    timed_out: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Cancelled,
    Aborted,
    Stuck,
}

enum Event {
    Tick,
    Trigger,
    RunEnded(usize, Outcome<()>),
    StageOver,
}

impl<C, F> Driver<C>
where
    C: FnMut(Ctx) -> F + Send + 'static,
    F: Future + Send + 'static,
{
    pub(super) fn new(
        period: Duration,
        mut options: ResidentOptions,
        grace: Duration,
        location: &'static Location<'static>,
        shared: Arc<Shared>,
        job: C,
    ) -> Self {
        options.max_concurrent = options.max_concurrent.max(1);
        // A period of nothing would be a busy loop.
        let period = period.max(Duration::from_millis(1));
        let live = Vec::new();
        Self {
            period,
            options,
            grace,
            location,
            shared,
            job,
            live,
            queued: false,
            started: 0,
        }
    }

    pub(super) async fn drive(mut self, cx: Ctx) {
        // Runs live in the driver's scope, so they end with the driver whatever happens to it.
        let group = cx.group();
        let random = RandomState::new();
        let mut tick = Instant::now();
        if !self.options.immediate {
            tick += self.period;
        }
        let mut due = tick + self.jitter(&random);
        while !self.is_over() {
            let (stage_over, exhausted) = (self.next_stage(), self.is_exhausted());
            let event = tokio::select! {
                biased;
                _ = cx.cancelled() => break,
                event = next_end(&mut self.live) => event,
                () = until(stage_over) => Event::StageOver,
                () = self.shared.trigger.notified() => Event::Trigger,
                () = tokio::time::sleep_until(due), if !exhausted => Event::Tick,
            };
            match event {
                Event::RunEnded(index, outcome) => self.run_ended(index, &outcome),
                Event::StageOver => self.advance(),
                Event::Trigger => self.due(),
                Event::Tick => {
                    self.due();
                    tick = self.tick_after(tick);
                    due = tick + self.jitter(&random);
                }
            }
            self.start_queued(&group);
        }
        // The scope ends what still runs; its grace period is the group's.
        for run in &self.live {
            run.handle
                .entry()
                .cancel(cx.cause().unwrap_or(Cause::OwnerEnded));
        }
    }

    fn jitter(&self, random: &RandomState) -> Duration {
        let most = self.options.jitter.as_nanos();
        if most == 0 {
            return Duration::ZERO;
        }
        let share = u128::from(random.hash_one((self.started, Instant::now())));
        // Below `most`, which came from a duration of this size.
        let nanos = (most * (share >> 32)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The next tick of the raster that lies in the future; what was missed is left out.
    fn tick_after(&self, tick: Instant) -> Instant {
        let next = tick + self.period;
        let late = Instant::now().saturating_duration_since(next);
        if late.is_zero() {
            return next;
        }
        let missed = late.as_nanos() / self.period.as_nanos() + 1;
        self.shared.stats.lock().skipped += u64::try_from(missed).unwrap_or(u64::MAX);
        next + self
            .period
            .saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
    }

    fn is_exhausted(&self) -> bool {
        let runs = self.started + u64::from(self.queued);
        self.options.max_runs.is_some_and(|max| runs >= max)
    }

    fn is_over(&self) -> bool {
        self.is_exhausted() && !self.queued && self.live.is_empty()
    }

    /// A run is due.
    fn due(&mut self) {
        if self.is_exhausted() {
            return;
        }
        if self.live.len() < self.options.max_concurrent {
            self.queued = true;
            return;
        }
        match self.options.overlap {
            Overlap::Skip => self.shared.stats.lock().skipped += 1,
            Overlap::Queue if self.queued => self.shared.stats.lock().skipped += 1,
            Overlap::Queue => self.queued = true,
            Overlap::Replace => {
                self.queued = true;
                if let Some(oldest) = self.live.iter_mut().find(|run| run.stage == Stage::Running) {
                    oldest.cancel(Cause::Replaced, self.grace);
                    self.shared.stats.lock().replaced += 1;
                }
            }
        }
    }

    fn start_queued(&mut self, group: &Group) {
        if !self.queued || self.live.len() >= self.options.max_concurrent {
            return;
        }
        self.queued = false;
        self.started += 1;
        let group_name = &group.inner.name;
        let work = &mut self.job;
        let Ok(live) = group.enter_scoped(group_name.clone(), self.location) else {
            return;
        };
        let cx = Ctx::new(live.share());
        let fut = match guard(|| work(cx)) {
            Ok(fut) => fut,
            Err(info) => {
                let _ = conclude::<()>(&live, Ended::Panicked(info));
                let mut stats = self.shared.stats.lock();
                stats.runs += 1;
                stats.panicked += 1;
                return;
            }
        };
        let handle = group.launch_scoped(live, (), |_cx| async move {
            fut.await;
        });
        let since = Instant::now();
        let until = self.options.timeout.map(|timeout| since + timeout);
        self.live.push(Run {
            handle,
            since,
            stage: Stage::Running,
            until,
            timed_out: false,
        });
        let mut stats = self.shared.stats.lock();
        stats.runs += 1;
        stats.live = self.live.len();
    }

    fn run_ended(&mut self, index: usize, outcome: &Outcome<()>) {
        let run = self.live.swap_remove(index);
        let mut stats = self.shared.stats.lock();
        stats.live = self.live.len();
        stats.stuck = self
            .live
            .iter()
            .filter(|run| run.stage == Stage::Stuck)
            .count();
        stats.last_duration = Some(run.since.elapsed());
        match outcome {
            Outcome::Panicked(_) => stats.panicked += 1,
            _ if run.timed_out => {}
            Outcome::Done(()) => stats.done += 1,
            _ => {}
        }
    }

    fn next_stage(&self) -> Option<Instant> {
        self.live.iter().filter_map(|run| run.until).min()
    }

    /// Moves every run whose time is up to its next stage.
    fn advance(&mut self) {
        let now = Instant::now();
        let mut stats = self.shared.stats.lock();
        for run in &mut self.live {
            if run.until.is_none_or(|until| until > now) {
                continue;
            }
            match run.stage {
                Stage::Running => {
                    stats.timed_out += 1;
                    run.timed_out = true;
                    let after = self.options.timeout.unwrap_or_default();
                    run.cancel(Cause::Timeout(after), self.grace);
                }
                Stage::Cancelled => {
                    run.handle.abort();
                    run.stage = Stage::Aborted;
                    run.until = Some(now + StopOptions::default().abort_after);
                }
                Stage::Aborted => {
                    run.stage = Stage::Stuck;
                    run.until = None;
                    stats.stuck += 1;
                    let task = run.handle.info();
                    tracing::error!(%task, "a run cannot be ended; it keeps its place");
                }
                Stage::Stuck => run.until = None,
            }
        }
    }
}

impl Run {
    fn cancel(&mut self, cause: Cause, grace: Duration) {
        self.handle.entry().cancel(cause);
        self.stage = Stage::Cancelled;
        self.until = Some(Instant::now() + grace);
    }
}

/// Resolves when one of the runs has ended.
async fn next_end(live: &mut [Run]) -> Event {
    poll_fn(|cx| {
        for (index, run) in live.iter_mut().enumerate() {
            if let Poll::Ready(outcome) = Pin::new(&mut run.handle).poll(cx) {
                return Poll::Ready(Event::RunEnded(index, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
