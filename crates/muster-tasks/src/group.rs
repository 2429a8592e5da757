//! Groups: the named tree that owns every task.

mod builder;
mod inner;
mod limit;
mod spawn;
mod stop;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use builder::{GroupBuilder, Policy};
pub(crate) use inner::{GroupInner, ORPHANED, SLICE};
pub use stop::{StopOptions, StopOrder, StopReport};

use crate::error::{GroupError, Summary};
use crate::snapshot::{GroupCount, Snapshot, SnapshotOptions, TaskInfo};
use crate::{Cause, Name};

/// A named group of tasks: a node of the tree in which every task has its place.
///
/// `Group` is a handle; clones name the same group. Tasks are spawned into a group and stay listed
/// there from the call until their future has been dropped. Groups have child groups; cancelling,
/// closing and stopping a group does the same to everything below it.
///
/// When the **last handle** of a group is dropped while tasks run, the group cancels and aborts
/// them; what is left stays visible under its parent (as `orphans`) and the parent's
/// [`stop`](Self::stop) waits for it. For a root this is logged with the tasks' names and places,
/// because nobody is left to wait. The handle of a child group counts as a handle of its parent. A
/// group that tasks of its own hold a handle of never sees its
/// last handle dropped: let tasks use [`Ctx::group`](crate::Ctx::group) instead.
///
/// ```
/// use muster_tasks::Group;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root = Group::root("app");
/// let conns = root.group("conns");
/// let sum = conns.spawn("adder", async { 1 + 2 })?.join().await;
/// assert_eq!(sum.done(), Some(3));
///
/// conns.go_cx("peer-1", |cx| async move {
///     cx.cancelled().await; // says good-bye here
/// })?;
/// let report = root.stop().await;
/// assert!(report.is_clean(), "{report}");
/// # Ok(()) }
/// ```
pub struct Group {
    pub(crate) inner: Arc<GroupInner>,
}

impl Group {
    /// Makes a root: the top of a tree of its own.
    ///
    /// The root remembers the tokio runtime it is made in, so that tasks can be spawned from any
    /// thread. Made outside a runtime, it uses the runtime of each spawning thread.
    #[must_use]
    pub fn root(name: impl Into<Name>) -> Self {
        Self::root_builder(name).build()
    }

    /// A builder for a root with settings of its own.
    pub fn root_builder(name: impl Into<Name>) -> GroupBuilder {
        GroupBuilder::new(name.into(), None)
    }

    /// Makes a child group. Names need not be unique.
    ///
    /// If this group is closed or cancelled, the child is born closed and cancelled.
    #[must_use]
    pub fn group(&self, name: impl Into<Name>) -> Self {
        self.builder(name).build()
    }

    /// A builder for a child group with settings of its own.
    pub fn builder(&self, name: impl Into<Name>) -> GroupBuilder {
        GroupBuilder::new(name.into(), Some(Arc::clone(&self.inner)))
    }

    pub(crate) fn from_inner(inner: &Arc<GroupInner>) -> Self {
        inner.handles.fetch_add(1, Ordering::AcqRel);
        Self {
            inner: Arc::clone(inner),
        }
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// The names from the root to this group, joined by slashes.
    #[must_use]
    pub fn path(&self) -> Arc<str> {
        self.inner.path()
    }

    /// Waits for an instant at which no task is live in this group and below. Does not close.
    ///
    /// # Cancel safety
    /// Cancel safe; nothing is changed by waiting.
    pub async fn wait(&self) {
        self.inner.drained().await;
    }

    /// Takes no more tasks and no more child groups, here and below. What runs goes on.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether the group takes no more tasks (closed or cancelled).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is(inner::CLOSED)
    }

    /// Closes the group and waits until every task here and below has ended.
    ///
    /// # Errors
    /// [`GroupError`] with the first task that failed or panicked in this group, or in a child
    /// group with [`Policy::Escalate`].
    pub async fn join(&self) -> Result<Summary, GroupError> {
        self.close();
        self.wait().await;
        let summary = self.summary();
        match self.inner.first_failure() {
            Some(failure) => Err(GroupError { failure, summary }),
            None => Ok(summary),
        }
    }

    /// Asks every task here and below to end, and closes the group. Does not wait.
    ///
    /// A task with a [`Ctx`](crate::Ctx) hears of it and ends itself. A task without one cannot
    /// hear, so it is dropped at its next suspension point; so is a task that was never polled.
    /// The first cause stays. Costs about 0.1 us per task, no lock is held for more than a thousand.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        self.inner.cancel(cause.into());
    }

    /// Whether the group was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.is(inner::CANCELLED)
    }

    /// Why the group was cancelled; `None` while it was not.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.inner.cause()
    }

    /// When the group's time is up, its ancestors' deadlines included.
    #[must_use]
    pub fn deadline(&self) -> Option<tokio::time::Instant> {
        self.inner.deadline()
    }

    /// How many tasks have ended in which way, here and below, since the group was made.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.inner.summary()
    }

    /// Number of live tasks here and below. One short lock per group.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.live()
    }

    /// Changes the bound set by [`GroupBuilder::limit`]: at once when it grows, as tasks end when
    /// it shrinks. Returns `false` if the group was built without one.
    pub fn set_limit(&self, limit: usize) -> bool {
        self.inner.settings.limit.as_ref().is_some_and(|bound| {
            bound.resize(limit);
            true
        })
    }

    /// Number of blocking threads that live under this group's bound, and the bound itself.
    #[must_use]
    pub fn blocking_threads(&self) -> (usize, usize) {
        self.inner.bound.usage()
    }

    /// Everything that lives here and below, as a tree.
    ///
    /// Walks in slices, so that no lock is held for more than about a thousand entries.
    #[must_use]
    pub fn snapshot(&self, options: SnapshotOptions) -> Snapshot {
        Snapshot::of(&self.inner, &options)
    }

    /// Live tasks counted by group path, name and spawn location, most first.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupCount> {
        crate::snapshot::count_by_place(&self.inner)
    }

    /// The tree as text, as a debug page would show it.
    #[must_use]
    pub fn render_tree(&self) -> String {
        self.snapshot(SnapshotOptions::default()).render_tree()
    }

    /// Tasks that have been inside one poll for longer than `longer_than` (they block a worker
    /// thread), blocking tasks past their time limit, and blocking tasks that were cancelled and
    /// have run longer than this nevertheless.
    #[must_use]
    pub fn stuck(&self, longer_than: Duration) -> Vec<TaskInfo> {
        crate::snapshot::stuck(&self.inner, longer_than)
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        Self::from_inner(&self.inner)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.inner.drop_handle();
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("path", &self.path())
            .field("live", &self.count())
            .field("closed", &self.is_closed())
            .field("cause", &self.cause())
            .finish()
    }
}
