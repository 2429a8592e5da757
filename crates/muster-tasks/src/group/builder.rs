//! Settings of a group.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::inner::{GroupInner, Settings};
use super::limit::Limit;
use super::{Group, StopOptions};
use crate::blocking::{Bound, DEFAULT_BLOCKING_LIMIT};
use crate::{Cause, Name};

/// What a group does when one of its tasks fails or panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Log and count it; the others go on.
    #[default]
    Continue,
    /// Cancel the whole group.
    CancelGroup,
    /// Cancel the whole group and treat it as a failure of the parent group.
    Escalate,
}

/// Builds a group; made by [`Group::builder`] and [`Group::root_builder`].
///
/// ```
/// use std::time::Duration;
/// use muster_tasks::{Group, Policy};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let root = Group::root("app");
/// let jobs = root.builder("jobs")
///     .grace(Duration::from_secs(2))
///     .limit(4)
///     .on_panic(Policy::CancelGroup)
///     .build();
/// # jobs.stop().await;
/// # }
/// ```
#[must_use = "call build() to make the group"]
pub struct GroupBuilder {
    name: Name,
    parent: Option<Arc<GroupInner>>,
    settings: Settings,
    blocking_limit: Option<usize>,
    shards: usize,
}

impl GroupBuilder {
    pub(crate) fn new(name: Name, parent: Option<Arc<GroupInner>>) -> Self {
        let grace = parent
            .as_ref()
            .map_or(StopOptions::default().grace, |parent| parent.settings.grace);
        let settings = Settings {
            grace,
            deadline: None,
            max_live: usize::MAX,
            resident: false,
            on_error: Policy::Continue,
            on_panic: Policy::Continue,
            limit: None,
        };
        Self {
            name,
            parent,
            settings,
            blocking_limit: None,
            shards: 1,
        }
    }

    /// How long tasks get to end by themselves when the group is stopped or its time is up.
    /// Inherited by child groups; 5 s if nothing is set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// When the group's time is up: it is cancelled then with [`Cause::Deadline`], and after the
    /// grace period aborted. Needs a runtime with a timer; one timer per group.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.settings.deadline = Some(at);
        self
    }

    /// Like [`deadline`](Self::deadline), counted from now.
    pub fn timeout(self, after: Duration) -> Self {
        let at = Instant::now() + after;
        self.deadline(at)
    }

    /// At most `limit` tasks of this group alone run at a time. More can be spawned; they are
    /// listed at once and wait for their turn, in order. [`Group::try_spawn`] refuses instead, and
    /// [`Group::spawn_wait`] waits before it spawns.
    pub fn limit(mut self, limit: usize) -> Self {
        self.settings.limit = Some(Arc::new(Limit::new(limit)));
        self
    }

    /// A soft alarm: when more than `max` tasks of this group alone are live, it is logged once
    /// (until the group has been empty again) and shown in snapshots.
    pub fn max_live(mut self, max: usize) -> Self {
        self.settings.max_live = max;
        self
    }

    /// The tasks of this group alone are meant to stay, however many they become: a
    /// [`LeakMonitor`](crate::LeakMonitor) does not judge them by their growth.
    pub fn expect_resident(mut self) -> Self {
        self.settings.resident = true;
        self
    }

    /// How many blocking threads may live in this group and below at a time. A child's bound lies
    /// within its parents' bounds, so that one part of a program can be kept from using up the
    /// threads of the others. A root has 64 if nothing is set.
    pub fn blocking_limit(mut self, limit: usize) -> Self {
        self.blocking_limit = Some(limit);
        self
    }

    /// What to do when a task reports an error through [`Group::go_result`].
    pub fn on_error(mut self, policy: Policy) -> Self {
        self.settings.on_error = policy;
        self
    }

    /// What to do when a task panics.
    pub fn on_panic(mut self, policy: Policy) -> Self {
        self.settings.on_panic = policy;
        self
    }

    /// Spreads the list of tasks over several locks, for groups into which many threads spawn
    /// hundreds of thousands of tasks per second. Takes about 1 KiB more.
    pub fn wide(mut self) -> Self {
        self.shards = 8;
        self
    }

    /// Makes the group.
    #[must_use]
    pub fn build(self) -> Group {
        self.build_as(false)
    }

    /// Makes the group as the scope of a task.
    pub(crate) fn build_scope(self) -> Group {
        self.build_as(true)
    }

    fn build_as(self, is_scope: bool) -> Group {
        let outer = self.parent.as_ref().map(|parent| Arc::clone(&parent.bound));
        let bound = match (outer, self.blocking_limit) {
            (Some(outer), None) => outer,
            (outer, limit) => Bound::new(limit.unwrap_or(DEFAULT_BLOCKING_LIMIT), outer),
        };
        let deadline = self.settings.deadline;
        let inner = GroupInner::new(
            self.name,
            self.parent,
            self.settings,
            bound,
            self.shards,
            is_scope,
        );
        if let Some(deadline) = deadline {
            watch_deadline(&inner, deadline);
        }
        Group { inner }
    }
}

/// Cancels the group when its time is up, and aborts it after the grace period.
fn watch_deadline(inner: &Arc<GroupInner>, deadline: Instant) {
    let Some(runtime) = inner.runtime.clone().or_else(|| Handle::try_current().ok()) else {
        tracing::warn!(group = %inner.path(), "no tokio runtime here: the deadline is not watched");
        return;
    };
    let group = Arc::downgrade(inner);
    let watch = async move {
        tokio::time::sleep_until(deadline).await;
        let Some(inner) = group.upgrade() else { return };
        inner.cancel(Cause::Deadline);
        let grace = inner.settings.grace;
        drop(inner);
        tokio::time::sleep(grace).await;
        if let Some(inner) = group.upgrade() {
            inner.abort_all();
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the timer of a group, ended with the group"
    )]
    let handle = runtime.spawn(watch);
    inner.set_watch(handle.abort_handle());
}
