//! Typed errors of groups.

use std::fmt;
use std::sync::Arc;

use crate::panic::{CodeLocation, PanicInfo};
use crate::{Cause, Name};

/// A group refused to take a task. [`why`](Self::why) says for which reason.
///
/// The future or closure that was offered has been dropped without being run.
#[derive(Clone, Debug, thiserror::Error)]
#[error("group `{group}` does not take task `{task}`: {why}")]
pub struct Closed {
    pub(crate) group: Arc<str>,
    pub(crate) task: Name,
    pub(crate) why: Refusal,
}

impl Closed {
    /// The path of the group that refused.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The reason.
    #[must_use]
    pub fn why(&self) -> &Refusal {
        &self.why
    }

    /// Whether a bound was reached, so that trying again later makes sense.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.why, Refusal::Limit(_) | Refusal::BlockingLimit(_))
    }
}

/// The reason for which a group refuses a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The group was closed.
    Closed,
    /// The group was cancelled.
    Cancelled(Cause),
    /// As many tasks run as [`limit`](crate::GroupBuilder::limit) allows (`try_spawn` only).
    Limit(usize),
    /// As many blocking threads live as
    /// [`blocking_limit`](crate::GroupBuilder::blocking_limit) allows.
    BlockingLimit(usize),
    /// The operating system refused a thread; the text is its error.
    NoThread(Arc<str>),
    /// The group was made outside a tokio runtime, and so was this call.
    NoRuntime,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("it is closed"),
            Self::Cancelled(cause) => write!(f, "it is cancelled ({cause})"),
            Self::Limit(n) => write!(f, "its limit of {n} running tasks is reached"),
            Self::BlockingLimit(n) => write!(f, "the limit of {n} blocking threads is reached"),
            Self::NoThread(error) => write!(f, "no thread could be started ({error})"),
            Self::NoRuntime => f.write_str("there is no tokio runtime here"),
        }
    }
}

/// How the tasks of a group have ended so far, those of ended child groups included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Summary {
    /// Tasks that were ever taken.
    pub spawned: u64,
    /// Ran to their end (those that reported an error included).
    pub done: u64,
    /// Of `done`: reported an error through `go_result`.
    pub failed: u64,
    /// Ended by a panic.
    pub panicked: u64,
    /// Dropped because they were cancelled.
    pub cancelled: u64,
    /// Dropped by force.
    pub aborted: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.spawned += other.spawned;
        self.done += other.done;
        self.failed += other.failed;
        self.panicked += other.panicked;
        self.cancelled += other.cancelled;
        self.aborted += other.aborted;
    }
}

/// The first task of a group that failed or panicked.
#[derive(Clone, Debug)]
pub struct TaskFailure {
    /// The task's name.
    pub task: Name,
    /// The path of the task's own group.
    pub group: Arc<str>,
    /// Where it was spawned.
    pub spawned_at: CodeLocation,
    /// What happened.
    pub kind: FailureKind,
}

/// What made a task fail.
#[derive(Clone, Debug)]
pub enum FailureKind {
    /// It returned an error, with this text.
    Error(Arc<str>),
    /// It panicked.
    Panic(PanicInfo),
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task,
            group,
            spawned_at,
            kind,
        } = self;
        match kind {
            FailureKind::Error(text) => write!(f, "task `{task}` of `{group}` failed: {text}")?,
            FailureKind::Panic(info) => write!(f, "task `{task}` of `{group}` {info}")?,
        }
        write!(f, " (spawned at {spawned_at})")
    }
}

/// At least one task of a group failed or panicked; returned by
/// [`Group::join`](crate::Group::join).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failure}")]
pub struct GroupError {
    /// The first failure.
    pub failure: Box<TaskFailure>,
    /// The counts of all tasks.
    pub summary: Summary,
}
