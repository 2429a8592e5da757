//! Periodic jobs that keep their place whatever a run does.

mod driver;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Name;
use crate::ctx::Ctx;
use crate::error::Closed;
use crate::group::Group;
use crate::handle::{Outcome, TaskHandle};

/// How a periodic job runs; see [`Group::every`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidentOptions {
    /// Longest time of a run: after this it is cancelled (with [`Cause::Timeout`]), after the
    /// group's grace period aborted, and its end is waited for. `None` (default): no limit.
    ///
    /// [`Cause::Timeout`]: crate::Cause::Timeout
    pub timeout: Option<Duration>,
    /// What to do when a run is due and `max_concurrent` runs are still live.
    pub overlap: Overlap,
    /// Each run is delayed by a random time up to this, drawn anew for each tick. Default none.
    pub jitter: Duration,
    /// Ends the job after this many runs. Default: never.
    pub max_runs: Option<u64>,
    /// Whether the first run starts at once (default) or after one period.
    pub immediate: bool,
    /// How many runs may live at a time. Default 1; 0 counts as 1.
    pub max_concurrent: usize,
}

impl Default for ResidentOptions {
    fn default() -> Self {
        Self {
            timeout: None,
            overlap: Overlap::Skip,
            jitter: Duration::ZERO,
            max_runs: None,
            immediate: true,
            max_concurrent: 1,
        }
    }
}

/// What a periodic job does when a run is due while the earlier one still lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Leave this run out (and count it).
    #[default]
    Skip,
    /// Run once more as soon as there is room; at most one run waits.
    Queue,
    /// Cancel the oldest run, wait for its end, then run. A run that does not end keeps its place.
    Replace,
}

/// What a periodic job has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ResidentStats {
    /// Runs that were started.
    pub runs: u64,
    /// Runs that came to their own end.
    pub done: u64,
    /// Runs that panicked.
    pub panicked: u64,
    /// Runs whose time was up.
    pub timed_out: u64,
    /// Runs that were left out because an earlier one still lived.
    pub skipped: u64,
    /// Runs that were cancelled for a newer one.
    pub replaced: u64,
    /// Runs that live at this moment.
    pub live: usize,
    /// Of these, runs that could not be ended: they were aborted and still have not gone.
    pub stuck: usize,
    /// How long the last ended run took.
    pub last_duration: Option<Duration>,
}

/// The handle of a periodic job. Dropping it does not end the job.
pub struct ResidentHandle {
    task: TaskHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stats: Mutex<ResidentStats>,
    trigger: Notify,
}

impl ResidentHandle {
    /// What the job has done so far.
    #[must_use]
    pub fn stats(&self) -> ResidentStats {
        self.shared.stats.lock().clone()
    }

    /// Makes a run due now, besides the regular ones. Several calls before the job notices count
    /// once.
    pub fn trigger(&self) {
        self.shared.trigger.notify_one();
    }

    /// Asks the job and its present runs to end. Does not wait.
    pub fn cancel(&self) {
        self.task.cancel();
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until the job has ended: cancelled, or after its last run.
    pub async fn join(self) -> Outcome<()> {
        self.task.join().await
    }

    /// Ends the job and waits for its end, which takes at most about the group's grace period and
    /// two seconds.
    pub async fn stop(self) -> Outcome<()> {
        self.task.cancel();
        self.task.join().await
    }
}

impl fmt::Debug for ResidentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResidentHandle")
            .field("task", &self.task)
            .field("stats", &self.stats())
            .finish()
    }
}

impl Group {
    /// Runs a job every `period`, in ticks counted from the start (a late tick is left out, not
    /// made up for).
    ///
    /// Each run is a task of its own (`name`) with a scope of its own: helpers that it spawns through
    /// its [`Ctx`] end with it. A run that panics is counted and the job goes on. A run that takes
    /// longer than its timeout is cancelled, aborted after the group's grace period and waited for
    /// before its place is given to the next; one that cannot be ended keeps its place, is counted as
    /// stuck, and is logged.
    ///
    /// ```
    /// use std::time::Duration;
    /// use muster_tasks::{Group, ResidentOptions};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = Group::root("app");
    /// let options = ResidentOptions { max_runs: Some(3), ..ResidentOptions::default() };
    /// let job = root.every("beat", Duration::from_millis(1), options, |_cx| async { /* work */ })?;
    /// root.wait().await;
    /// assert_eq!(job.stats().done, 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn every<C, F>(
        &self,
        name: impl Into<Name>,
        period: Duration,
        options: ResidentOptions,
        job: C,
    ) -> Result<ResidentHandle, Closed>
    where
        C: FnMut(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        let name = name.into();
        let location = Location::caller();
        let shared = Arc::new(Shared::default());
        let grace = self.inner.settings.grace;
        let driver =
            driver::Driver::new(period, options, grace, location, Arc::clone(&shared), job);
        let entry = self.enter_scoped(name, location)?;
        let task = self.launch_scoped(entry, (), |cx| driver.drive(cx));
        Ok(ResidentHandle { task, shared })
    }
}
