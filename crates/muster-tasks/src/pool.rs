//! Pools: jobs on a number of workers that can be changed while they work.

mod builder;
mod queue;
mod stats;
mod waiters;
mod worker;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

pub use self::builder::{OnStop, PoolBuilder};
use self::queue::{Queued, Reply, Shared};
pub use self::stats::{PoolCounts, PoolStats};
use self::worker::Submitting;
use crate::Cause;
use crate::error::Closed;
use crate::group::{Group, StopOptions, StopReport};
use crate::handle::{Outcome, Slot};

/// Jobs of type `J` on a number of workers that can be changed at any time.
///
/// Made by [`Group::pool`]. The workers are tasks of a group of the pool's own; each takes one job after another
/// from a bounded queue and runs it with the pool's closure, which gives a `T`.
///
/// - A job that panics is counted and costs no worker.
/// - A job's result waits in a slot of its own for whoever holds the [`JobHandle`]. A result that nobody
///   takes blocks nobody.
/// - What a job spawns through its [`Ctx`](crate::Ctx) ends with the job. The context is that of the worker
///   (with the job's time limit), so it should not outlive the job otherwise.
/// - [`resize`](Self::resize) works in any state; zero workers is a pause.
/// - No job is lost silently: see [`PoolStats`] for how the counts add up.
///
/// `Pool` is a handle; clones share the pool. When the last one is dropped the pool is dropped like a
/// [`Group`]: running jobs are aborted and queued ones given up. Jobs that submit to their own pool
/// must not keep a handle in the worker's closure for that reason, and should use
/// [`try_submit`](Self::try_submit), because a full queue that only they could empty stays full.
///
/// ```
/// use muster_tasks::Group;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let pool = root.pool("squares").size(2).worker(|n: u64, _cx| async move { n * n })?;
/// let job = pool.submit(7).await?;
/// assert_eq!(job.await.done(), Some(49));
///
/// pool.resize(0)?; // a pause
/// pool.resize(8)?;
/// pool.go(8).await?; // nobody wants the result
/// let report = pool.stop().await;
/// assert!(report.is_clean() && report.not_started == 0);
/// assert_eq!(pool.stats().done, 2);
/// # Ok(()) }
/// ```
///
/// # Cost
/// Submitting and running a job takes two short lock holds and the reading of three clocks more than the work; an idle
/// worker is woken once. A handle costs one allocation. A worker is a task. The two histograms take 5.4 KB.
pub struct Pool<J, T = ()> {
    inner: Arc<Inner<J, T>>,
}

struct Inner<J, T> {
    group: Group,
    shared: Arc<Shared<J, T>>,
    /// One resize at a time.
    size: Mutex<Hire>,
    grace: Duration,
}

/// Starts one worker.
type Hire = Box<dyn Fn(&Group) -> Result<(), Closed> + Send + Sync>;

/// What becomes of the jobs of workers that are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShrinkMode {
    /// They are run to their end.
    #[default]
    Drain,
    /// They are cancelled, and aborted after the pool's grace period. Those that were started last are
    /// chosen.
    Cancel,
}

/// What a resize has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resized {
    /// The number of workers that was wanted before.
    pub from: usize,
    /// The number that is wanted now.
    pub to: usize,
    /// Workers that were started.
    pub started: usize,
    /// Workers that leave as soon as their job is done (or ended).
    pub leaving: usize,
}

/// A job was not taken; it is handed back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError<J> {
    /// The queue is full.
    #[error("the queue of the pool is full")]
    Full(J),
    /// The pool takes no more jobs.
    #[error("the pool is closed")]
    Closed(J),
    /// There was no room in time.
    #[error("the queue of the pool was full for {after:?}")]
    TimedOut {
        /// The job.
        job: J,
        /// The time that was allowed.
        after: Duration,
    },
}

impl<J> SubmitError<J> {
    /// The job.
    #[must_use]
    pub fn into_job(self) -> J {
        match self {
            Self::Full(job) | Self::Closed(job) | Self::TimedOut { job, .. } => job,
        }
    }

    /// Whether the pool takes no more jobs, so that trying again makes no sense.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

// Jobs need not be printable.
impl<J> fmt::Debug for SubmitError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
            Self::TimedOut { .. } => "TimedOut",
        })
    }
}

/// What the stop of a pool found and did.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use]
#[non_exhaustive]
pub struct PoolReport {
    /// Jobs that were given up before they had started, since the pool was made.
    pub not_started: u64,
    /// How the stop of the workers went.
    pub workers: StopReport,
}

impl PoolReport {
    /// Whether nothing is left running.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.workers.is_clean()
    }
}

impl fmt::Display for PoolReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs not started; {}", self.not_started, self.workers)
    }
}

/// The handle of a job. Await it for the job's [`Outcome`]:
///
/// - [`Done`](Outcome::Done) with what the closure returned,
/// - [`Panicked`](Outcome::Panicked), [`TimedOut`](Outcome::TimedOut),
/// - [`Aborted`](Outcome::Aborted) if it was dropped by force while it ran,
/// - [`Cancelled`](Outcome::Cancelled) if it was never started because the pool was stopped.
///
/// The outcome is there only after the job's future has been dropped and what it has spawned has ended. Dropping the handle gives up the result,
/// nothing else.
///
/// # Cancel safety
/// Awaiting `&mut handle` is cancel safe: giving up the await loses nothing.
#[must_use = "dropping it gives up the job's result; use `go` if nobody wants it"]
pub struct JobHandle<T> {
    slot: Arc<Slot<T>>,
    taken: bool,
}

impl<T> Future for JobHandle<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let polled = self.slot.poll(cx.waker());
        self.taken = polled.is_ready();
        polled
    }
}

impl<T> Drop for JobHandle<T> {
    fn drop(&mut self) {
        if !self.taken {
            self.slot.close();
        }
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").finish_non_exhaustive()
    }
}

impl<J: Send + 'static, T: Send + 'static> Pool<J, T> {
    /// Submits a job; waits while the queue is full. Callers get room in the order in which they came.
    ///
    /// # Errors
    /// [`SubmitError::Closed`] if the pool takes no more jobs.
    ///
    /// # Cancel safety
    /// Giving up the await before it is over drops the job, which was not submitted then.
    pub async fn submit(&self, job: J) -> Result<JobHandle<T>, SubmitError<J>> {
        let (queued, handle) = with_handle(job);
        Submitting::new(&self.inner.shared, queued).await?;
        Ok(handle)
    }

    /// Submits a job whose result nobody wants; otherwise like [`submit`](Self::submit).
    ///
    /// # Errors
    /// [`SubmitError::Closed`] if the pool takes no more jobs.
    ///
    /// # Cancel safety
    /// Giving up the await before it is over drops the job, which was not submitted then.
    pub async fn go(&self, job: J) -> Result<(), SubmitError<J>> {
        Submitting::new(&self.inner.shared, without_handle(job)).await
    }

    /// Submits a job if there is room: a worker that is idle, or a place in the queue.
    ///
    /// # Errors
    /// [`SubmitError::Full`] if there is none (others that wait for room come first), [`SubmitError::Closed`] if the
    /// pool takes no more jobs.
    pub fn try_submit(&self, job: J) -> Result<JobHandle<T>, SubmitError<J>> {
        let (queued, handle) = with_handle(job);
        self.inner.shared.try_push(queued)?;
        Ok(handle)
    }

    /// Submits a job whose result nobody wants if there is room; otherwise like
    /// [`try_submit`](Self::try_submit).
    ///
    /// # Errors
    /// As [`try_submit`](Self::try_submit).
    pub fn try_go(&self, job: J) -> Result<(), SubmitError<J>> {
        self.inner.shared.try_push(without_handle(job))
    }

    /// Submits a job; waits at most this long for room.
    ///
    /// # Errors
    /// [`SubmitError::TimedOut`] with the job, or [`SubmitError::Closed`].
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit).
    pub async fn submit_timeout(
        &self,
        job: J,
        after: Duration,
    ) -> Result<JobHandle<T>, SubmitError<J>> {
        let (queued, handle) = with_handle(job);
        let mut submitting = Submitting::new(&self.inner.shared, queued);
        if let Ok(submitted) = tokio::time::timeout(after, &mut submitting).await {
            return submitted.map(|()| handle);
        }
        match submitting.withdraw() {
            Some(job) => Err(SubmitError::TimedOut { job, after }),
            None => Ok(handle),
        }
    }

    /// Changes the number of workers: more are started at once; when there are to be fewer, idle ones
    /// leave at once and busy ones after their job. With zero the pool takes jobs and runs none. Does not wait.
    ///
    /// # Errors
    /// [`Closed`] if workers had to be started and the group takes no more tasks; the change holds
    /// otherwise.
    pub fn resize(&self, size: usize) -> Result<Resized, Closed> {
        self.resize_with(size, ShrinkMode::Drain)
    }

    /// Like [`resize`](Self::resize), with what shall become of jobs of workers that are too many (also of
    /// those that an earlier resize has told to leave).
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn resize_with(&self, size: usize, mode: ShrinkMode) -> Result<Resized, Closed> {
        self.inner.resize(size, mode)
    }

    /// Like [`resize_with`](Self::resize_with), and waits until nobody who shall leave is left. With
    /// [`ShrinkMode::Cancel`] this takes about the grace period at most, unless a job is stuck in a poll.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    ///
    /// # Cancel safety
    /// Giving up the await changes nothing.
    pub async fn resize_and_wait(&self, size: usize, mode: ShrinkMode) -> Result<Resized, Closed> {
        let resized = self.resize_with(size, mode)?;
        worker::all_left(&self.inner.shared).await;
        Ok(resized)
    }

    /// Counts, histograms, and what there is at this moment. One short lock and a copy of about 5 KB.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner.shared.stats()
    }

    /// Waits for an instant at which no job is queued, run or waiting for room.
    ///
    /// # Cancel safety
    /// Cancel safe; nothing is changed by waiting.
    pub async fn wait(&self) {
        self.inner.shared.rest().await;
    }

    /// Takes no more jobs: callers that wait for room get theirs back. What is queued is run; then the
    /// workers leave. Does not wait.
    pub fn close(&self) {
        self.inner.shared.close();
    }

    /// Whether the pool takes no more jobs.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.shared.is_closed()
    }

    /// The pool's own group, in which its workers live.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.inner.group
    }

    /// Stops the pool with its grace period (see [`stop_with`](Self::stop_with)).
    pub async fn stop(&self) -> PoolReport {
        self.stop_with(StopOptions::grace(self.inner.grace)).await
    }

    /// Ends the pool in bounded time: takes no more jobs, runs what is queued for up to `grace`,
    /// then gives up the rest of the queue and cancels the jobs that still run; after `abort_after` it
    /// aborts them, and waits as long again for their end. `order` has no meaning here.
    ///
    /// A stop of a group above does the same with one difference: jobs are told at once to end, so those that
    /// listen to their context do not use the grace period (see [`OnStop`]).
    ///
    /// # Cancel safety
    /// Dropping the future early leaves the pool closed (and cancelled if it had come to that).
    pub async fn stop_with(&self, options: StopOptions) -> PoolReport {
        let begin = Instant::now();
        let asked = self.inner.group.count();
        let shared = &self.inner.shared;
        shared.close();
        let _ = timeout_at(begin + options.grace, worker::nobody_works(shared)).await;
        shared.discard(&Cause::Stop);
        let last = StopOptions {
            grace: options.abort_after,
            ..options
        };
        let mut workers = self.inner.group.stop_with(last).await;
        workers.finished_in_grace += asked.saturating_sub(workers.asked);
        workers.asked = workers.asked.max(asked);
        workers.elapsed = begin.elapsed();
        PoolReport {
            not_started: self.stats().not_started,
            workers,
        }
    }
}

fn with_handle<J, T>(job: J) -> (Queued<J, T>, JobHandle<T>) {
    let slot = Arc::new(Slot::new());
    let handle = JobHandle {
        slot: Arc::clone(&slot),
        taken: false,
    };
    (queued(job, Some(slot)), handle)
}

fn without_handle<J, T>(job: J) -> Queued<J, T> {
    queued(job, None)
}

fn queued<J, T>(job: J, slot: Option<Arc<Slot<T>>>) -> Queued<J, T> {
    Queued {
        job,
        reply: Reply::to(slot),
        since: Instant::now(),
    }
}

impl<J, T> Inner<J, T> {
    fn resize(&self, size: usize, mode: ShrinkMode) -> Result<Resized, Closed> {
        let hire = self.size.lock();
        let resizing = self.shared.resize(size, mode, self.grace);
        let resized = Resized {
            from: resizing.from,
            to: size,
            started: resizing.to_start,
            leaving: resizing.leaving,
        };
        resizing.carry_out();
        for _ in 0..resized.started {
            hire(&self.group)?;
        }
        Ok(resized)
    }
}

impl<J, T> Drop for Inner<J, T> {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.discard(&Cause::Dropped);
    }
}

impl<J, T> Clone for Pool<J, T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<J, T> fmt::Debug for Pool<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.inner.shared.stats();
        f.debug_struct("Pool")
            .field("path", &self.inner.group.path())
            .field("live", &stats.live)
            .field("busy", &stats.busy)
            .field("queued", &stats.queued)
            .finish()
    }
}
