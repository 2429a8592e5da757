//! The handle of one task, and how it ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::entry::Entry;
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
    entry: Arc<Entry>,
    result: Pending<T>,
}

enum Pending<T> {
    Task(JoinHandle<Outcome<T>>),
    Thread(oneshot::Receiver<Outcome<T>>),
}

impl<T> TaskHandle<T> {
    pub(crate) fn of_task(entry: Arc<Entry>, handle: JoinHandle<Outcome<T>>) -> Self {
        Self {
            entry,
            result: Pending::Task(handle),
        }
    }

    pub(crate) fn of_thread(entry: Arc<Entry>, result: oneshot::Receiver<Outcome<T>>) -> Self {
        Self {
            entry,
            result: Pending::Thread(result),
        }
    }

    /// Waits until the task has ended and its future was dropped, and says how it ended.
    pub async fn join(self) -> Outcome<T> {
        self.await
    }

    /// Asks this one task to end, with [`Cause::Handle`]. Does not wait.
    ///
    /// A task with a [`Ctx`](crate::Ctx) hears of it and ends itself; any other is dropped at its
    /// next suspension point.
    pub fn cancel(&self) {
        self.entry.cancel(Cause::Handle);
    }

    /// Like [`cancel`](Self::cancel), with a cause of your own.
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        self.entry.cancel(cause.into());
    }

    /// Has the task dropped at its next suspension point. Does not wait.
    ///
    /// A task that is busy inside one poll goes on until that poll returns; a blocking task cannot
    /// be aborted and is only cancelled.
    pub fn abort(&self) {
        self.entry.abort();
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

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        Poll::Ready(match &mut self.result {
            // An error means that the runtime shut down before the task ended.
            Pending::Task(handle) => ready!(Pin::new(handle).poll(cx)).unwrap_or(Outcome::Aborted),
            Pending::Thread(result) => {
                ready!(Pin::new(result).poll(cx)).unwrap_or(Outcome::Aborted)
            }
        })
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
