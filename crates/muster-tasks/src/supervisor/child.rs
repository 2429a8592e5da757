//! What a child of a supervisor is.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::state::Shared;
use crate::ctx::Ctx;
use crate::group::Group;
use crate::handle::Outcome;
use crate::scope::Scoped;
use crate::shared::Live;
use crate::task::{Sink, Task, WithCx};
use crate::{Cause, Name, PanicInfo};

/// Which ends of a child make its supervisor start it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// All.
    #[default]
    Permanent,
    /// Failures: an error, a panic, an abort.
    Transient,
    /// None.
    Temporary,
}

/// How a supervisor ends a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It is aborted at once.
    Brutal,
    /// It is cancelled, and aborted after this time.
    Timeout(Duration),
    /// It is cancelled, and gets all the time it wants. For children that are supervisors.
    Infinite,
}

impl Default for Shutdown {
    /// Five seconds.
    fn default() -> Self {
        Self::Timeout(Duration::from_secs(5))
    }
}

/// How a child ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Exit {
    /// It ran to its end.
    Done,
    /// It returned an error, with this text.
    Failed(Arc<str>),
    /// It panicked.
    Panicked(PanicInfo),
    /// It was dropped before its end because it was cancelled.
    Cancelled(Cause),
    /// It was dropped by force.
    Aborted,
}

impl Exit {
    /// Whether the child ran to its end without an error.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ended"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(info) => info.fmt(f),
            Self::Cancelled(cause) => write!(f, "was cancelled: {cause}"),
            Self::Aborted => f.write_str("was aborted"),
        }
    }
}

/// What a child may return: nothing, or an error that makes it count as failed.
pub trait ChildResult: Send + 'static {
    /// The error, as text.
    fn error(self) -> Option<Arc<str>>;
}

impl ChildResult for () {
    fn error(self) -> Option<Arc<str>> {
        None
    }
}

impl<E: fmt::Display + Send + 'static> ChildResult for Result<(), E> {
    fn error(self) -> Option<Arc<str>> {
        self.err().map(|error| error.to_string().into())
    }
}

/// What a supervisor knows of a child before it starts it: how to make it, and the rules for it.
///
/// ```
/// use std::time::Duration;
/// use muster_tasks::{ChildSpec, Restart, Shutdown};
/// let spec = ChildSpec::new("reader", |cx| async move {
///     cx.cancelled().await;
///     Ok::<_, std::io::Error>(())
/// })
/// .restart(Restart::Transient)
/// .shutdown(Shutdown::Timeout(Duration::from_secs(1)));
/// # drop(spec);
/// ```
#[derive(Clone)]
#[must_use = "give it to a supervisor"]
pub struct ChildSpec {
    pub(super) name: Name,
    pub(super) launch: Arc<dyn Launch>,
    pub(super) location: &'static Location<'static>,
    pub(super) rules: Rules,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) significant: bool,
}

impl ChildSpec {
    /// A child that is made by calling `work`: at its start, and again at each restart. The closure
    /// is called in the child's own task. What the child spawns through its [`Ctx`] ends with it.
    #[track_caller]
    pub fn new<C, F>(name: impl Into<Name>, work: C) -> Self
    where
        C: Fn(Ctx) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: ChildResult,
    {
        Self {
            name: name.into(),
            launch: Arc::new(work),
            location: Location::caller(),
            rules: Rules::default(),
        }
    }

    /// When it is started again. Default: always.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.rules.restart = restart;
        self
    }

    /// How it is ended. Default: five seconds, then by force.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.rules.shutdown = shutdown;
        self
    }

    /// Whether its end for good counts for
    /// [`auto_shutdown`](super::SupervisorBuilder::auto_shutdown). Default: no.
    pub fn significant(mut self, significant: bool) -> Self {
        self.rules.significant = significant;
        self
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("restart", &self.rules.restart)
            .field("shutdown", &self.rules.shutdown)
            .field("significant", &self.rules.significant)
            .finish()
    }
}

/// Tells the supervisor how one generation of a child ended.
pub(super) struct Report {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) generation: u64,
}

impl<T: ChildResult> Sink<T> for Report {
    type Output = ();

    fn take(&self, outcome: Outcome<T>) {
        let exit = match outcome {
            Outcome::Done(result) => match crate::panic::guard(|| result.error()) {
                Ok(None) => Exit::Done,
                Ok(Some(error)) => Exit::Failed(error),
                Err(info) => Exit::Panicked(info),
            },
            Outcome::Panicked(info) => Exit::Panicked(info),
            Outcome::Cancelled(cause) => Exit::Cancelled(cause),
            Outcome::TimedOut => Exit::Cancelled(Cause::Deadline),
            Outcome::Aborted => Exit::Aborted,
        };
        self.shared.exited(self.id, self.generation, exit);
    }
}

/// Starts a listed child.
pub(super) trait Launch: Send + Sync {
    fn launch(self: Arc<Self>, group: &Group, live: Live, report: Report);
}

impl<C, F> Launch for C
where
    C: Fn(Ctx) -> F + Send + Sync + 'static,
    F: Future + Send + 'static,
    F::Output: ChildResult,
{
    fn launch(self: Arc<Self>, group: &Group, live: Live, report: Report) {
        let cx = Ctx::new(live.share());
        let fut = WithCx::new(move |cx| self(cx), cx);
        let work = Scoped::new(fut, live.share(), ());
        drop(group.launch(Task::new(work, live, report)));
    }
}
