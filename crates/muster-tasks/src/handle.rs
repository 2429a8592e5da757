//! The handle of one task, and how it ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::entry::Entry;
use crate::panic::guard;
use crate::shared::EntryRef;
use crate::snapshot::TaskInfo;
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
    entry: EntryRef,
    result: Source<T>,
}

/// Where the handle gets the result from.
enum Source<T> {
    /// From tokio, which keeps it in the memory of the task.
    Task(JoinHandle<Kept<T>>),
    /// From a thread.
    Thread(Arc<Slot<T>>),
    /// It was taken.
    Taken,
}

/// An outcome on its way to the handle, in as little room as can be: it lies where the task's future
/// was. If nobody takes it, a panic of its destructor is nobody's.
pub(crate) struct Kept<T>(Option<Result<T, Box<Outcome<T>>>>);

impl<T> Kept<T> {
    #[inline]
    pub(crate) fn new(outcome: Outcome<T>) -> Self {
        Self(Some(match outcome {
            Outcome::Done(value) => Ok(value),
            other => Err(Box::new(other)),
        }))
    }

    #[inline]
    fn take(mut self) -> Outcome<T> {
        match self.0.take() {
            Some(Ok(value)) => Outcome::Done(value),
            Some(Err(other)) => *other,
            None => Outcome::Aborted,
        }
    }
}

impl<T> Drop for Kept<T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            let _ = guard(|| self.0 = None);
        }
    }
}

/// Where the result of blocking work waits for the handle.
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

    /// Hands the outcome over.
    pub(crate) fn deliver(&self, outcome: Outcome<T>) {
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
    pub(crate) fn new(entry: EntryRef, task: JoinHandle<Kept<T>>) -> Self {
        Self {
            entry,
            result: Source::Task(task),
        }
    }

    pub(crate) fn of_thread(entry: EntryRef, slot: Arc<Slot<T>>) -> Self {
        Self {
            entry,
            result: Source::Thread(slot),
        }
    }

    /// Waits until the task has ended and its future was dropped, and says how it ended.
    pub async fn join(self) -> Outcome<T> {
        self.await
    }

    /// Whether the task has ended and its future was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.entry.has_ended()
    }

    /// The task's number; no other task of this process ever has it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.entry.name
    }

    /// What is known of the task at this moment.
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        TaskInfo::of(&self.entry)
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
        &self.entry
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let outcome = match &mut self.result {
            // Tokio has no result if the runtime ended before the task.
            Source::Task(task) => {
                ready!(Pin::new(task).poll(cx)).map_or(Outcome::Aborted, Kept::take)
            }
            Source::Thread(slot) => ready!(slot.poll(cx.waker())),
            // Polled again after it was ready; a future may do anything but be unsound then.
            Source::Taken => Outcome::Aborted,
        };
        self.result = Source::Taken;
        Poll::Ready(outcome)
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        if let Source::Thread(slot) = &self.result {
            slot.close();
        }
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.entry.id)
            .field("name", &self.entry.name)
            .field("finished", &self.is_finished())
            .finish()
    }
}
