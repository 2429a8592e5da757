//! Supervisors: children that are started again when they end, by rules.

mod backoff;
mod child;
mod driver;
mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

pub use self::backoff::{Backoff, Intensity};
pub use self::child::{ChildResult, ChildSpec, Exit, Restart, Shutdown};
use self::state::{Live, Shared};
use crate::ctx::Ctx;
use crate::error::Closed;
use crate::group::{Group, Policy, StopOptions, StopReport};
use crate::keyed::Stopped;
use crate::snapshot::TaskInfo;
use crate::{Cause, Name};

/// Whom the end of a child concerns. Children have an order: that in which they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child: it is started again.
    #[default]
    OneForOne,
    /// All: they are ended, the latest first, and started again, the first first.
    OneForAll,
    /// The child and those after it, in the same way.
    RestForOne,
}

/// When a supervisor ends because children have ended for good. Only significant children count
/// (see [`ChildSpec::significant`]), and not if they were stopped on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// Never.
    #[default]
    Never,
    /// When one has.
    AnySignificant,
    /// When none is left.
    AllSignificant,
}

/// A group of children that are started again when they end.
///
/// Made by [`Group::supervisor`]. Each child is a task of the supervisor's own group, made by calling the closure of
/// its [`ChildSpec`]; what it spawns through its [`Ctx`] ends with it.
///
/// - When a child ends, its [`Restart`] rule says whether it is started again, the [`Strategy`] whom else that
///   concerns, and [`Backoff`] after which pause.
/// - More restarts than the [`Intensity`] allows end the supervisor: it ends its children, its group is
///   cancelled, and its parent group has a failure (as with [`Policy::Escalate`]); [`join`](Self::join) says why.
/// - A child that was stopped never comes back, also when it was just waiting for its restart. At most one
///   generation of a child lives.
/// - A child that has ended for good is forgotten.
///
/// `Supervisor` is a handle; clones name the same one. When the last one is dropped, it ends like a [`Group`]:
/// children are aborted.
///
/// ```
/// use muster_tasks::{ChildSpec, Group, Restart};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let sup = root.supervisor("feeds").start()?;
/// let feed = sup.start_child(ChildSpec::new("feed", |cx| async move {
///     cx.cancelled().await;
/// }))?;
/// let once = ChildSpec::new("once", |_cx| async { Err("no luck") }).restart(Restart::Temporary);
/// sup.start_child(once)?;
/// sup.stop_child(feed).await;
/// assert!(sup.stop().await.is_clean());
/// # Ok(()) }
/// ```
///
/// # Cost
/// A child takes a task with its scope, about 300 bytes in the supervisor, and no timer unless it waits for a restart.
#[derive(Clone)]
pub struct Supervisor {
    group: Group,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, Default)]
struct Settings {
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    auto_shutdown: AutoShutdown,
}

/// Names a child of one supervisor; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId(u64);

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildState {
    /// It runs.
    Running,
    /// It was told to end and has not yet.
    Ending,
    /// It has ended and waits for its restart.
    Pausing,
}

/// A child at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Which.
    pub id: ChildId,
    /// Its name.
    pub name: Name,
    /// What it is doing.
    pub state: ChildState,
    /// Counts the starts of this supervisor; tells generations apart.
    pub generation: u64,
    /// How often it was started again because it had ended.
    pub restarts: u64,
    /// Its task, if it has one now.
    pub task: Option<TaskInfo>,
}

/// What happened to a child.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildEvent {
    /// It was started, for the first time or again.
    Started {
        /// Which.
        id: ChildId,
        /// Its name.
        name: Name,
    },
    /// It has ended by itself.
    Ended {
        /// Which.
        id: ChildId,
        /// Its name.
        name: Name,
        /// How.
        exit: Exit,
        /// The pause before it is started again; `None` if it is not.
        restart_in: Option<Duration>,
    },
    /// It was stopped on request.
    Stopped {
        /// Which.
        id: ChildId,
        /// Its name.
        name: Name,
    },
    /// It has ended once too often; the supervisor ends.
    GaveUp {
        /// Which.
        id: ChildId,
        /// Its name.
        name: Name,
        /// How.
        exit: Exit,
    },
    /// So many events were lost, because they were not taken in time.
    Lost(u64),
}

/// Why a supervisor has ended by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// Children ended too often.
    #[error(
        "supervisor `{supervisor}` gave up: child `{child}` {exit}, after {} restarts within {:?}",
        .intensity.max, .intensity.within
    )]
    TooManyRestarts {
        /// The path of the supervisor's group.
        supervisor: Arc<str>,
        /// The last child that ended.
        child: Name,
        /// How it ended.
        exit: Exit,
        /// What was allowed.
        intensity: Intensity,
    },
    /// It could not be started ([`SupervisorBuilder::serve`] only).
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Builds a supervisor; made by [`Group::supervisor`].
#[must_use = "call start() to make the supervisor"]
pub struct SupervisorBuilder {
    parent: Group,
    name: Name,
    settings: Settings,
    children: Vec<ChildSpec>,
}

impl Group {
    /// A builder for a [`Supervisor`] that lives in a child group of this name.
    pub fn supervisor(&self, name: impl Into<Name>) -> SupervisorBuilder {
        SupervisorBuilder {
            parent: self.clone(),
            name: name.into(),
            settings: Settings::default(),
            children: Vec::new(),
        }
    }
}

impl SupervisorBuilder {
    /// Whom the end of a child concerns. Default: only itself.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.settings.strategy = strategy;
        self
    }

    /// How many restarts are too many.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.settings.intensity = intensity;
        self
    }

    /// The pauses before restarts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Whether the end of significant children ends the supervisor. Default: never.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.settings.auto_shutdown = auto_shutdown;
        self
    }

    /// A child to start with. Children are started in the order in which they are given.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.children.push(spec);
        self
    }

    /// Starts the supervisor and its children.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn start(self) -> Result<Supervisor, Closed> {
        let builder = self.parent.builder(self.name);
        let group = builder.on_error(Policy::Escalate).build();
        let shared = Arc::new(Shared::new(self.settings));
        let of_driver = Arc::clone(&shared);
        group.go_result("supervisor", move |cx| driver::drive(of_driver, cx))?;
        let supervisor = Supervisor { group, shared };
        for spec in self.children {
            supervisor.start_child(spec)?;
        }
        Ok(supervisor)
    }

    /// Runs the supervisor as the work of a task, most often of a child of another supervisor: until it ends by itself
    /// or the task is cancelled. Give such a child [`Shutdown::Infinite`], because its children have their own
    /// times.
    ///
    /// ```
    /// use muster_tasks::{ChildSpec, Group, Shutdown};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = Group::root("app");
    /// let inner = ChildSpec::new("inner", |cx| {
    ///     let worker = ChildSpec::new("worker", |cx| async move { cx.cancelled().await; });
    ///     cx.group().supervisor("workers").child(worker).serve(cx)
    /// });
    /// let outer = root.supervisor("outer").child(inner.shutdown(Shutdown::Infinite)).start()?;
    /// assert!(outer.stop().await.is_clean());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SupervisorError`] if there were too many restarts or it could not be started.
    pub async fn serve(self, cx: Ctx) -> Result<(), SupervisorError> {
        let supervisor = self.start()?;
        tokio::select! {
            biased;
            result = supervisor.join() => return result,
            _ = cx.cancelled() => {}
        }
        let report = supervisor.stop().await;
        if !report.is_clean() {
            let group = supervisor.group.path();
            tracing::warn!(%group, %report, "children outlive their supervisor");
        }
        Ok(())
    }
}

impl Supervisor {
    /// Starts another child; it comes last in the order.
    ///
    /// # Errors
    /// [`Closed`] if the supervisor is ending.
    pub fn start_child(&self, spec: ChildSpec) -> Result<ChildId, Closed> {
        self.shared.add(&self.group, spec)
    }

    /// Ends a child for good, as its [`Shutdown`] says, and waits until it is gone. One that waits for its
    /// restart is not started again ([`Stopped::NotRunning`]). It does not count as significant.
    ///
    /// # Cancel safety
    /// Giving up the await leaves the child told to end; it will not come back, but is not aborted.
    pub async fn stop_child(&self, id: ChildId) -> Stopped {
        driver::end(&self.shared, id.0, None).await
    }

    /// Aborts a child for good, without waiting. Returns whether it ran.
    pub fn kill_child(&self, id: ChildId) -> bool {
        let running = self.shared.begin_end(id.0, None);
        running.is_some_and(|(entry, _)| {
            entry.abort();
            true
        })
    }

    /// The children, in their order.
    #[must_use]
    pub fn children(&self) -> Vec<ChildInfo> {
        self.shared.infos()
    }

    /// How many children there are, those that wait for a restart included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happens to children from now on. Up to 256 events are kept for each listener; whoever is
    /// slower gets [`ChildEvent::Lost`] with how many are missing. Listeners hold up nobody.
    #[must_use]
    pub fn events(&self) -> ChildEvents {
        let sender = self.shared.events.get_or_init(|| broadcast::channel(256).0);
        ChildEvents(sender.subscribe())
    }

    /// The supervisor's own group, in which its children live.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Waits until the supervisor has ended.
    ///
    /// # Errors
    /// [`SupervisorError`] if there were too many restarts. A stop, a cancel and an automatic shutdown are no
    /// errors.
    ///
    /// # Cancel safety
    /// Cancel safe; nothing is changed by waiting.
    pub async fn join(&self) -> Result<(), SupervisorError> {
        loop {
            let notified = self.shared.over.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(result) = self.shared.result() {
                return result;
            }
            notified.await;
        }
    }

    /// Ends the supervisor and its children, each as its [`Shutdown`] says: with [`Strategy::OneForOne`] all at
    /// once, otherwise one after another, the latest first. Returns when all are gone, or a second after the last was
    /// aborted.
    ///
    /// A stop or cancel of a group above asks all at once, and gives them its own grace period.
    ///
    /// # Cancel safety
    /// Dropping the future early leaves the supervisor without restarts, and those children told to end whose turn it
    /// was.
    pub async fn stop(&self) -> StopReport {
        let (begin, asked) = (Instant::now(), self.group.count());
        let children = self.shared.begin_stop();
        match self.shared.settings.strategy {
            Strategy::OneForOne => self.end_at_once(&children, begin).await,
            Strategy::OneForAll | Strategy::RestForOne => {
                for child in children.iter().rev() {
                    let _ = driver::end(&self.shared, child.id, None).await;
                }
            }
        }
        // What is left was aborted, and the supervisor's own task ends when it is asked.
        self.group.cancel(Cause::Stop);
        let options = StopOptions {
            grace: Duration::ZERO,
            ..StopOptions::default()
        };
        let mut report = self.group.stop_with(options).await;
        self.shared.finish(Ok(()));
        report.finished_in_grace += asked.saturating_sub(report.asked);
        report.asked = report.asked.max(asked);
        report.elapsed = begin.elapsed();
        report
    }

    /// Asks all children at once, and aborts each kind when its time is up.
    async fn end_at_once(&self, children: &[Live], begin: Instant) {
        let abort = |kind: Shutdown| {
            let of_kind = children.iter().filter(|child| child.shutdown == kind);
            of_kind.for_each(|child| child.entry.abort());
        };
        let kinds = children.iter().map(|child| child.shutdown);
        let times: BTreeSet<Duration> = kinds
            .clone()
            .filter_map(|kind| match kind {
                Shutdown::Timeout(time) => Some(time),
                Shutdown::Brutal | Shutdown::Infinite => None,
            })
            .collect();
        abort(Shutdown::Brutal);
        self.group.cancel(Cause::Stop);
        for time in times {
            if timeout_at(begin + time, self.group.wait()).await.is_ok() {
                return;
            }
            abort(Shutdown::Timeout(time));
        }
        if kinds.clone().any(|kind| kind == Shutdown::Infinite) {
            self.group.wait().await;
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("path", &self.group.path())
            .field("children", &self.len())
            .finish_non_exhaustive()
    }
}

/// Events of a supervisor's children; see [`Supervisor::events`].
#[derive(Debug)]
pub struct ChildEvents(broadcast::Receiver<ChildEvent>);

impl ChildEvents {
    /// The next event; `None` when the supervisor is gone.
    ///
    /// # Cancel safety
    /// Cancel safe: giving up the await loses nothing.
    pub async fn next(&mut self) -> Option<ChildEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(ChildEvent::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
