//! What a task gets to know of its own life.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::cause::Cancelled;
use crate::entry::{Entry, Waiter};
use crate::error::Closed;
use crate::group::Group;
use crate::handle::TaskHandle;
use crate::shared::EntryRef;
use crate::signal::SCOPED;
use crate::{Cause, Name};

/// The context of a task: how it hears of a cancel, how much time it has, and where its own
/// helpers belong. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use muster_tasks::{Cancelled, Group};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let reader = root.spawn_cx("reader", |cx| async move {
///     cx.at("waiting for a line");
///     let line = cx.run(std::future::pending::<String>()).await?; // gives up when cancelled
///     Ok::<_, Cancelled>(line)
/// })?;
/// tokio::task::yield_now().await;
/// root.cancel("no longer needed");
/// let outcome = reader.join().await.done();
/// assert_eq!(outcome.unwrap().unwrap_err().to_string(), "cancelled: no longer needed");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Ctx {
    pub(crate) entry: EntryRef,
    /// From `with_timeout`: when, and how long that was. Behind a pointer, because most contexts have
    /// none and are kept in futures.
    limit: Option<Arc<(Instant, Duration)>>,
}

impl Ctx {
    #[inline]
    pub(crate) fn new(entry: EntryRef) -> Self {
        Self { entry, limit: None }
    }

    /// Resolves when the task is cancelled or has ended (or the time of [`with_timeout`](Self::with_timeout) is
    /// up), with the cause. Resolves at once if that was before.
    ///
    /// # Cancel safety
    /// Cancel safe; made for `select!`. Costs nothing while it waits in the task itself.
    pub fn cancelled(&self) -> CancelledFuture<'_> {
        CancelledFuture {
            cx: self,
            waiter: NO_WAITER,
            sleep: None,
        }
    }

    /// Whether the task was cancelled (or its time is up). One atomic load.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.entry.is_cancelled()
            || self
                .limit
                .as_ref()
                .is_some_and(|limit| limit.0 <= Instant::now())
    }

    /// Why it was cancelled; `None` while it was not.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.entry.cause().or_else(|| match self.limit.as_deref() {
            Some((at, after)) if *at <= Instant::now() => Some(Cause::Timeout(*after)),
            _ => None,
        })
    }

    /// When the time is up: the nearest of the groups' deadlines and
    /// [`with_timeout`](Self::with_timeout).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let group = self.entry.group.deadline();
        match (group, self.limit.as_deref()) {
            (Some(a), Some((b, _))) => Some(a.min(*b)),
            (a, b) => a.or(b.map(|(at, _)| *at)),
        }
    }

    /// How much time is left; zero when it is up, `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline()
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Runs a future until it is done or the task is cancelled, whichever is first. When cancelled
    /// the future is dropped.
    ///
    /// # Errors
    /// [`Cancelled`] with the cause; the future is not started if the cancel came before.
    pub async fn run<F: Future>(&self, fut: F) -> Result<F::Output, Cancelled> {
        Run {
            fut,
            cancelled: self.cancelled(),
            is_cancelled: false,
        }
        .await
    }

    /// A context with less time: it counts as cancelled after this long, with
    /// [`Cause::Timeout`]. The task itself is not cancelled by it.
    #[must_use]
    pub fn with_timeout(&self, after: Duration) -> Self {
        let at = Instant::now() + after;
        let limit = match &self.limit {
            Some(limit) if limit.0 <= at => Arc::clone(limit),
            _ => Arc::new((at, after)),
        };
        Self {
            entry: self.entry.clone(),
            limit: Some(limit),
        }
    }

    /// Runs a future that must not be given up half way: while it runs, no
    /// [`run`](Self::run) of this task gives up, so it can finish within the grace period. After the
    /// grace period the task is aborted nevertheless.
    pub async fn shield<F: Future>(&self, fut: F) -> F::Output {
        struct Shielding<'a>(&'a Entry);
        impl Drop for Shielding<'_> {
            fn drop(&mut self) {
                self.0.extras().shields.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.entry.extras().shields.fetch_add(1, Ordering::Relaxed);
        let _shielding = Shielding(&self.entry);
        fut.await
    }

    /// Says what the task is doing, for snapshots; an empty text takes it back. Returns the
    /// context, so that `cx.at("reading").run(..)` reads well.
    pub fn at(&self, label: &'static str) -> &Self {
        self.entry.extras().rare.lock().label = label;
        self
    }

    /// Spawns a helper into [`group`](Self::group).
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn spawn<F>(&self, name: impl Into<Name>, fut: F) -> Result<TaskHandle<F::Output>, Closed>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.group().spawn(name, fut)
    }

    /// Spawns a helper into [`group`](Self::group) whose result nobody wants.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn go<F>(&self, name: impl Into<Name>, fut: F) -> Result<(), Closed>
    where
        F: Future + Send + 'static,
    {
        self.group().go(name, fut)
    }

    /// Spawns a helper with a context of its own into [`group`](Self::group).
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn go_cx<C, F>(&self, name: impl Into<Name>, work: C) -> Result<(), Closed>
    where
        C: FnOnce(Self) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        self.group().go_cx(name, work)
    }

    /// The group into which the task's helpers belong: the task's own scope for keyed tasks, runs
    /// of resident jobs and [`spawn_scoped`](Group::spawn_scoped); otherwise the task's group.
    #[must_use]
    pub fn group(&self) -> Group {
        if self.entry.signal.bits() & SCOPED != 0 {
            self.entry.scope_or_new()
        } else {
            Group::from_inner(&self.entry.group)
        }
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.entry.name
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Calls `f` when the task is cancelled, on the thread that cancels; at once if it was
    /// cancelled before. A timeout of [`with_timeout`](Self::with_timeout) does not count. A panic in
    /// `f` is caught and logged. Dropping the returned guard takes the call back; a task that ends
    /// without having been cancelled drops `f` uncalled.
    pub fn after_cancel(&self, f: impl FnOnce() + Send + 'static) -> AfterCancel {
        match self.entry.add_waiter(Waiter::Call(Box::new(f))) {
            Ok(key) => AfterCancel {
                registered: Some((self.entry.clone(), key)),
            },
            Err(waiter) => {
                if let Waiter::Call(call) = waiter {
                    let _ = crate::catch_panic_sync(call);
                }
                AfterCancel { registered: None }
            }
        }
    }

    /// A token of `tokio_util` that is cancelled when the task is cancelled or has ended. One per task, made on first use;
    /// cancelling the token does not cancel the task.
    #[cfg(feature = "tokio-util")]
    #[must_use]
    pub fn token(&self) -> tokio_util::sync::CancellationToken {
        if let Some(token) = &self.entry.extras().rare.lock().token {
            return token.clone();
        }
        let token = tokio_util::sync::CancellationToken::new();
        let cancelled = token.clone();
        self.after_cancel(move || cancelled.cancel()).keep();
        self.entry
            .extras()
            .rare
            .lock()
            .token
            .get_or_insert(token)
            .clone()
    }

    fn is_shielded(&self) -> bool {
        self.entry
            .extras_if_any()
            .is_some_and(|extras| extras.shields.load(Ordering::Relaxed) > 0)
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("id", &self.entry.id)
            .field("name", &self.entry.name)
            .field("cause", &self.cause())
            .finish()
    }
}

/// Takes a call registered by [`Ctx::after_cancel`] back when dropped.
#[must_use = "dropping it takes the call back; use keep() to leave it"]
pub struct AfterCancel {
    registered: Option<(EntryRef, usize)>,
}

impl AfterCancel {
    /// Leaves the call in place until the task is cancelled or gone.
    pub fn keep(mut self) {
        self.registered = None;
    }
}

impl Drop for AfterCancel {
    fn drop(&mut self) {
        if let Some((entry, key)) = self.registered.take() {
            entry.remove_waiter(key);
        }
    }
}

impl fmt::Debug for AfterCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterCancel")
            .field("waits", &self.registered.is_some())
            .finish()
    }
}

/// No registration; a slab never gives this key.
const NO_WAITER: usize = usize::MAX;

/// The future of [`Ctx::cancelled`].
#[must_use = "futures do nothing unless awaited"]
pub struct CancelledFuture<'a> {
    cx: &'a Ctx,
    /// A registration for a waker that is not the task's own.
    waiter: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for CancelledFuture<'_> {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        let this = &mut *self;
        let entry = &this.cx.entry;
        if let Some(cause) = this.cx.cause() {
            return Poll::Ready(cause);
        }
        if let Some((at, after)) = this.cx.limit.as_deref().copied() {
            let sleep = this
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Cause::Timeout(after));
            }
        }
        // The cancel wakes the task itself, so nothing is registered when the task polls us with
        // its own waker. Inside other executors (FuturesUnordered and the like) we register.
        if this.waiter == NO_WAITER && entry.is_own_waker(cx.waker()) {
            return Poll::Pending;
        }
        let registered = match this.waiter {
            NO_WAITER => match entry.add_waiter(Waiter::Waker(cx.waker().clone())) {
                Ok(key) => {
                    this.waiter = key;
                    true
                }
                Err(_) => false,
            },
            key => entry.update_waiter(key, cx.waker()),
        };
        if registered {
            return Poll::Pending;
        }
        this.waiter = NO_WAITER;
        Poll::Ready(this.cx.cause().unwrap_or(Cause::Handle))
    }
}

impl Drop for CancelledFuture<'_> {
    fn drop(&mut self) {
        if self.waiter != NO_WAITER {
            self.cx.entry.remove_waiter(self.waiter);
        }
    }
}

pin_project! {
    struct Run<'a, F> {
        #[pin]
        fut: F,
        cancelled: CancelledFuture<'a>,
        is_cancelled: bool,
    }
}

impl<F: Future> Future for Run<'_, F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let task = this.cancelled.cx;
        let give_up = || {
            let cause = task.cause().unwrap_or(Cause::Handle);
            Poll::Ready(Err(Cancelled { cause }))
        };
        if !*this.is_cancelled {
            *this.is_cancelled = Pin::new(this.cancelled).poll(cx).is_ready();
        }
        if *this.is_cancelled && !task.is_shielded() {
            return give_up();
        }
        if let Poll::Ready(value) = this.fut.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        // A shield may have ended in this very poll.
        if *this.is_cancelled && !task.is_shielded() {
            return give_up();
        }
        Poll::Pending
    }
}
