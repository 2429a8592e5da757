//! A worker: takes jobs one after another and sees each to its end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::queue::{How, Next, Queued, Reply, Shared};
use crate::Cause;
use crate::ctx::Ctx;
use crate::group::StopOptions;
use crate::handle::Outcome;
use crate::panic::{CatchPanic, PanicInfo, guard};
use crate::task::WithCx;

/// What all workers of a pool do.
pub(super) struct Work<C, T> {
    pub(super) call: C,
    pub(super) is_failed: fn(&T) -> bool,
    /// Longest time of a job.
    pub(super) limit: Option<Duration>,
    /// How long a job gets to end by itself after that.
    pub(super) grace: Duration,
}

/// Dropped last of all that a worker is.
pub(super) struct Place<J, T> {
    pub(super) shared: Arc<Shared<J, T>>,
    pub(super) key: usize,
    pub(super) group: std::sync::Weak<crate::group::GroupInner>,
}

impl<J, T> Drop for Place<J, T> {
    fn drop(&mut self) {
        let cause = self.group.upgrade().and_then(|group| group.cause());
        self.shared.dismiss(self.key, cause);
    }
}

/// The task of a worker.
pub(super) async fn run<J, T, C, F>(
    shared: Arc<Shared<J, T>>,
    key: usize,
    work: Arc<Work<C, T>>,
    cx: Ctx,
) where
    C: Fn(J, Ctx) -> F,
    F: Future<Output = T>,
{
    while let Some((queued, start)) = next(&shared, key, &cx).await {
        run_job(&shared, key, &work, &cx, queued, start).await;
    }
}

/// Waits for a job; `None` when the worker shall leave.
async fn next<J, T>(
    shared: &Shared<J, T>,
    key: usize,
    cx: &Ctx,
) -> Option<(Queued<J, T>, Instant)> {
    let mut cancelled = pin!(cx.cancelled());
    let mut labelled = false;
    let next = poll_fn(|context| {
        // A worker that only leaves hears of it too, but goes by what the pool says.
        let cancelled = cancelled.as_mut().poll(context).is_ready();
        let next = shared.poll_next(key, cancelled, context);
        if next.is_pending() && !labelled {
            labelled = true;
            cx.at("idle");
        }
        next
    })
    .await;
    if labelled {
        cx.at("");
    }
    match next {
        Next::Run(queued, start) => Some((queued, start)),
        Next::Leave => None,
    }
}

/// Books a job that was dropped with its worker.
struct Running<'a, J, T> {
    shared: &'a Shared<J, T>,
    key: usize,
    start: Instant,
    reply: Option<Reply<T>>,
}

impl<J, T> Running<'_, J, T> {
    fn end(&mut self, how: How, outcome: Outcome<T>) {
        if let Some(reply) = self.reply.take() {
            self.shared.finish(self.key, how, self.start.elapsed());
            reply.give(outcome);
        }
    }
}

impl<J, T> Drop for Running<'_, J, T> {
    fn drop(&mut self) {
        self.end(How::Aborted, Outcome::Aborted);
    }
}

async fn run_job<J, T, C, F>(
    shared: &Shared<J, T>,
    key: usize,
    work: &Work<C, T>,
    cx: &Ctx,
    queued: Queued<J, T>,
    start: Instant,
) where
    C: Fn(J, Ctx) -> F,
    F: Future<Output = T>,
{
    let Queued { job, reply, .. } = queued;
    // Declared before the job's future, so that it is dropped after it.
    let mut running = Running {
        shared,
        key,
        start,
        reply: Some(reply),
    };
    let job_cx = match work.limit {
        Some(limit) => cx.with_timeout(limit),
        None => cx.clone(),
    };
    let call = |cx| (work.call)(job, cx);
    let fut = CatchPanic {
        fut: WithCx::new(call, job_cx),
    };
    let mut fut = pin!(Some(fut));
    let mut ended = match fut.as_mut().as_pin_mut() {
        Some(fut) => within(fut, work.limit, work.grace).await,
        None => None,
    };
    // The future's destructor may panic, which must not cost the worker.
    if let Err(info) = guard(|| fut.set(None)) {
        ended = Some(Err(info));
    }
    let late = work.limit.is_some_and(|limit| start.elapsed() >= limit);
    end_helpers(cx).await;
    match ended {
        Some(Err(info)) => {
            log_panic(cx, &info);
            running.end(How::Panicked, Outcome::Panicked(info));
        }
        Some(Ok(value)) if !late => {
            // A panic in here is one of the job.
            match guard(|| (work.is_failed)(&value)) {
                Ok(failed) => running.end(How::Done { failed }, Outcome::Done(value)),
                Err(info) => running.end(How::Panicked, Outcome::Panicked(info)),
            }
        }
        value => {
            running.end(How::TimedOut, Outcome::TimedOut);
            let _ = guard(|| drop(value));
        }
    }
}

/// The output of a job, if there is one within the limit and the grace period after it.
async fn within<F: Future>(
    mut fut: Pin<&mut F>,
    limit: Option<Duration>,
    grace: Duration,
) -> Option<F::Output> {
    let Some(limit) = limit else {
        return Some(fut.await);
    };
    match timeout(limit, fut.as_mut()).await {
        Ok(output) => Some(output),
        // Its context says so, too: it may end by itself.
        Err(_) => timeout(grace, fut).await.ok(),
    }
}

fn log_panic(cx: &Ctx, info: &PanicInfo) {
    let place = info.location.as_ref().map(ToString::to_string);
    let (group, at) = (cx.entry.group.path(), place.unwrap_or_default());
    tracing::error!(%group, panic = %info.message, at, "a job panicked");
}

/// What a job has spawned through its context ends with it.
async fn end_helpers(cx: &Ctx) {
    let Some(scope) = cx.entry.scope() else {
        return;
    };
    scope.cancel(Cause::OwnerEnded);
    let report = scope
        .stop_with(StopOptions::grace(scope.inner.settings.grace))
        .await;
    if !report.is_clean() {
        let group = cx.entry.group.path();
        tracing::warn!(%group, %report, "helpers outlive the job that started them");
    }
    cx.entry.drop_scope();
}

/// Ends the pool when its group is cancelled, and workers that are told to leave and do not.
pub(super) async fn keep<J, T>(shared: Arc<Shared<J, T>>, cx: Ctx) {
    let mut told = false;
    loop {
        let notified = shared.changed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let next = shared.evict();
        if shared.is_over() {
            return;
        }
        let eviction = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            cause = cx.cancelled(), if !told => {
                told = true;
                shared.wind_down(&cause);
            }
            () = notified => {}
            () = eviction => {}
        }
    }
}

/// Gives up what is queued when the keeper is aborted.
pub(super) struct Keeper<J, T> {
    pub(super) shared: Arc<Shared<J, T>>,
    pub(super) group: std::sync::Weak<crate::group::GroupInner>,
}

impl<J, T> Drop for Keeper<J, T> {
    fn drop(&mut self) {
        let cause = self.group.upgrade().and_then(|group| group.cause());
        if let Some(cause) = cause {
            self.shared.close();
            self.shared.discard(&cause);
        }
    }
}

/// Resolves when nobody is leaving any more.
pub(super) async fn all_left<J, T>(shared: &Shared<J, T>) {
    until_changed(shared, || !shared.is_anybody_leaving()).await;
}

/// Resolves when no worker is left: then nothing more of the queue is run.
pub(super) async fn nobody_works<J, T>(shared: &Shared<J, T>) {
    until_changed(shared, || !shared.has_workers()).await;
}

async fn until_changed<J, T>(shared: &Shared<J, T>, is_so: impl Fn() -> bool) {
    loop {
        let notified = shared.changed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if is_so() {
            return;
        }
        notified.await;
    }
}

/// One submission that waits for room.
pub(super) struct Submitting<'a, J, T> {
    shared: &'a Shared<J, T>,
    queued: Option<Queued<J, T>>,
    ticket: Option<u64>,
}

impl<'a, J, T> Submitting<'a, J, T> {
    pub(super) fn new(shared: &'a Shared<J, T>, queued: Queued<J, T>) -> Self {
        Self {
            shared,
            queued: Some(queued),
            ticket: None,
        }
    }

    /// Takes the job back; `None` if it was taken into the queue.
    pub(super) fn withdraw(mut self) -> Option<J> {
        match self.ticket.take() {
            Some(ticket) => self.shared.withdraw(ticket),
            None => None,
        }
    }
}

// Nothing in it is pinned.
impl<J, T> Unpin for Submitting<'_, J, T> {}

impl<J, T> Future for Submitting<'_, J, T> {
    type Output = Result<(), super::SubmitError<J>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(queued) = this.queued.take() {
            return match this.shared.push_or_wait(queued, cx.waker()) {
                Ok(None) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error)),
                Ok(ticket) => {
                    this.ticket = ticket;
                    Poll::Pending
                }
            };
        }
        let Some(ticket) = this.ticket else {
            return Poll::Ready(Ok(()));
        };
        let polled = this.shared.poll_waiting(ticket, cx.waker());
        if polled.is_ready() {
            this.ticket = None;
        }
        polled
    }
}

impl<J, T> Drop for Submitting<'_, J, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            drop(self.shared.withdraw(ticket));
        }
    }
}
