//! The handle of one task, and how it ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::entry::{Entry, Record};
use crate::panic::guard;
use crate::snapshot::TaskInfo;
use crate::task::Sink;
use crate::{Cause, Name, PanicInfo};

/// How a task ended.
#[derive(Clone, Debug)]
#[must_use]
pub enum Outcome<T> {
    /// It ran to its end and returned this.
    Done(T),
    /// It panicked.
    Panicked(PanicInfo),
    /// It was cancelled and dropped before its end, without force: it took no
    /// [`Ctx`](crate::Ctx), or it had not been polled yet.
    Cancelled(Cause),
    /// It was dropped by force: [`TaskHandle::abort`], the end of a grace period, or the end of
    /// the runtime.
    Aborted,
    /// It was dropped because its time or its group's time had run out.
    TimedOut,
}

impl<T> Outcome<T> {
    /// The value, if the task ran to its end.
    #[must_use]
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the task ran to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// Changes the value of a task that ran to its end.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(f(value)),
            Self::Panicked(info) => Outcome::Panicked(info),
            Self::Cancelled(cause) => Outcome::Cancelled(cause),
            Self::Aborted => Outcome::Aborted,
            Self::TimedOut => Outcome::TimedOut,
        }
    }

    /// The value, or how else the task ended.
    ///
    /// # Errors
    /// [`NotDone`] with the way in which the task ended.
    pub fn into_result(self) -> Result<T, NotDone> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Panicked(info) => Err(NotDone::Panicked(info)),
            Self::Cancelled(cause) => Err(NotDone::Cancelled(cause)),
            Self::Aborted => Err(NotDone::Aborted),
            Self::TimedOut => Err(NotDone::TimedOut),
        }
    }
}

/// A task ended without a value; the error form of [`Outcome`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotDone {
    /// It panicked.
    #[error("the task {0}")]
    Panicked(PanicInfo),
    /// It was cancelled.
    #[error("the task was cancelled: {0}")]
    Cancelled(Cause),
    /// It was dropped by force.
    #[error("the task was aborted")]
    Aborted,
    /// Its time had run out.
    #[error("the task timed out")]
    TimedOut,
}

/// The handle of a task. Await it, or call [`join`](Self::join), to get the task's [`Outcome`].
///
/// Dropping the handle gives up the result, nothing else: the group still owns the task. A result
/// that nobody takes is dropped where it was made and blocks nobody.
///
/// The outcome is there only after the task's future has been dropped, so what the future held
/// (connections, locks, files) is free again when `join` returns.
///
/// # Cancel safety
/// Awaiting `&mut handle` is cancel safe: giving up the await loses nothing.
pub struct TaskHandle<T> {
    record: Arc<Record<Slot<T>>>,
    taken: bool,
}

/// Where a result waits for the handle: in the task's own record, so tokio's memory of the task is
/// free as soon as the task has ended.
pub(crate) struct Slot<T>(Mutex<State<T>>);

enum State<T> {
    /// The task goes on.
    Open,
    /// The task goes on, and somebody waits for it.
    Awaited(Waker),
    Ready(Outcome<T>),
    /// The result was taken, or nobody wants it.
    Closed,
}

impl<T> Slot<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::Open))
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Outcome<T>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Awaited(waiting) if waiting.will_wake(waker) => Poll::Pending,
            State::Open | State::Awaited(_) => {
                let old = std::mem::replace(&mut *state, State::Awaited(waker.clone()));
                drop(state);
                drop(old);
                Poll::Pending
            }
            State::Ready(_) => match std::mem::replace(&mut *state, State::Closed) {
                State::Ready(outcome) => Poll::Ready(outcome),
                _ => Poll::Pending,
            },
            // Polled again after it was ready; a future may do anything but be unsound then.
            State::Closed => Poll::Ready(Outcome::Aborted),
        }
    }

    /// Nobody will take the result.
    pub(crate) fn close(&self) {
        let old = std::mem::replace(&mut *self.0.lock(), State::Closed);
        if matches!(old, State::Ready(_)) {
            // As if it were dropped in the task: its panic is not the handle's holder's.
            let _ = guard(|| drop(old));
        }
    }
}

impl<T> Sink<T> for Slot<T> {
    #[inline]
    fn deliver(&self, outcome: Outcome<T>) {
        let mut state = self.0.lock();
        match &*state {
            State::Closed => {
                drop(state);
                let _ = guard(|| drop(outcome));
            }
            _ => {
                let old = std::mem::replace(&mut *state, State::Ready(outcome));
                drop(state);
                if let State::Awaited(waker) = old {
                    waker.wake();
                }
            }
        }
    }
}

impl<T> TaskHandle<T> {
    #[inline]
    pub(crate) fn new(record: Arc<Record<Slot<T>>>) -> Self {
        Self {
            record,
            taken: false,
        }
    }

    /// Waits until the task has ended and its future was dropped, and says how it ended.
    pub async fn join(self) -> Outcome<T> {
        self.await
    }

    /// Whether the task has ended and its future was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.record.has_ended()
    }

    /// The task's number; no other task of this process ever has it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.record.id
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.record.name
    }

    /// What is known of the task at this moment.
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        TaskInfo::of(&*self.record)
    }
}

impl<T: Send + 'static> TaskHandle<T> {
    /// Asks this one task to end, with [`Cause::Handle`]. Does not wait.
    ///
    /// A task with a [`Ctx`](crate::Ctx) hears of it and ends itself; any other is dropped at its
    /// next suspension point.
    pub fn cancel(&self) {
        self.entry().cancel(Cause::Handle);
    }

    /// Like [`cancel`](Self::cancel), with a cause of your own.
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        self.entry().cancel(cause.into());
    }

    /// Has the task dropped at its next suspension point. Does not wait.
    ///
    /// A task that is busy inside one poll goes on until that poll returns; a blocking task cannot
    /// be aborted and is only cancelled.
    pub fn abort(&self) {
        self.entry().abort();
    }

    pub(crate) fn entry(&self) -> &Entry {
        &*self.record
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let polled = self.record.slot_for_result.poll(cx.waker());
        self.taken = polled.is_ready();
        polled
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        if !self.taken {
            self.record.slot_for_result.close();
        }
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.record.id)
            .field("name", &self.record.name)
            .field("finished", &self.is_finished())
            .finish()
    }
}
