//! Why something was cancelled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a group or a task was cancelled. Cheap to clone; [`Display`](fmt::Display) gives the text.
///
/// The first cause wins: cancelling again does not change it.
///
/// ```
/// use muster_tasks::Cause;
/// let cause = Cause::from("configuration changed");
/// assert_eq!(cause.to_string(), "configuration changed");
/// assert_eq!(Cause::Stop.to_string(), "stopped");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// [`Group::stop`](crate::Group::stop) was called, or a keyed task was stopped.
    Stop,
    /// The last handle of the group was dropped without a stop.
    Dropped,
    /// [`TaskHandle::cancel`](crate::TaskHandle::cancel) was called.
    Handle,
    /// A newer generation takes the place of this one.
    Replaced,
    /// The task that owned this scope has ended.
    OwnerEnded,
    /// The group's deadline has passed.
    Deadline,
    /// A time limit of this length has passed.
    Timeout(Duration),
    /// A task of the group failed, and the group's policy says to cancel; the text names the task.
    Failed(Arc<str>),
    /// A task of the group panicked, and the group's policy says to cancel; the text names the task.
    Panicked(Arc<str>),
    /// Anything else, in the caller's words.
    Other(Arc<str>),
}

impl Cause {
    /// Whether time ran out (a deadline or a timeout).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Deadline | Self::Timeout(_))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("stopped"),
            Self::Dropped => f.write_str("the last handle of the group was dropped"),
            Self::Handle => f.write_str("cancelled by its handle"),
            Self::Replaced => f.write_str("replaced by a newer generation"),
            Self::OwnerEnded => f.write_str("the task that owned it has ended"),
            Self::Deadline => f.write_str("the deadline of the group has passed"),
            Self::Timeout(after) => write!(f, "timed out after {after:?}"),
            Self::Failed(text) => write!(f, "a task failed: {text}"),
            Self::Panicked(text) => write!(f, "a task panicked: {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self::Other(text.into())
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::Other(text.into())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The error of work that was given up because its task was cancelled; it carries the cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled: {cause}")]
pub struct Cancelled {
    /// Why.
    pub cause: Cause,
}
