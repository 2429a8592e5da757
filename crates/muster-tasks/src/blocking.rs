//! Work that blocks, on named threads of its own.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cause::Cancelled;
use crate::clock;
use crate::entry::{Entry, Waiter};
use crate::error::{Closed, Refusal};
use crate::group::Group;
use crate::handle::{Slot, TaskHandle};
use crate::panic::guard;
use crate::shared::EntryRef;
use crate::signal::{BLOCKING, HAS_CTX};
use crate::task::{Ended, conclude};
use crate::{Cause, Name};

/// Blocking threads of a root, if nothing else is said.
pub(crate) const DEFAULT_BLOCKING_LIMIT: usize = 64;

/// A bound on live blocking threads, inside the bounds of the groups above.
pub(crate) struct Bound {
    limit: usize,
    live: AtomicUsize,
    outer: Option<Arc<Self>>,
}

impl Bound {
    pub(crate) fn new(limit: usize, outer: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            live: AtomicUsize::new(0),
            outer,
        })
    }

    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.live.load(Ordering::Acquire), self.limit)
    }

    /// Takes a place in this bound and all outer ones, or says which limit is reached.
    fn take(self: &Arc<Self>) -> Result<BoundPlace, usize> {
        let mut taken = BoundPlace(Vec::new());
        let mut at = Some(self);
        while let Some(bound) = at {
            let free = |live| (live < bound.limit).then_some(live + 1);
            if bound
                .live
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, free)
                .is_err()
            {
                return Err(bound.limit);
            }
            taken.0.push(Arc::clone(bound));
            at = bound.outer.as_ref();
        }
        Ok(taken)
    }
}

/// A place in a bound and its outer ones; given back when dropped.
struct BoundPlace(Vec<Arc<Bound>>);

impl Drop for BoundPlace {
    fn drop(&mut self) {
        for bound in &self.0 {
            bound.live.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Options of [`Group::spawn_blocking_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockingOptions {
    /// How long the work should take at most: after this [`BlockingCtx::is_cancelled`] is true, and
    /// work that goes on is listed by [`Group::stuck`]. Real time.
    pub timeout: Option<Duration>,
}

/// What blocking work gets to know of its own life. Cheap to clone.
///
/// A thread cannot be ended from outside; look at [`is_cancelled`](Self::is_cancelled) between
/// steps, and wait with [`sleep`](Self::sleep).
///
/// ```
/// use std::time::Duration;
/// use muster_tasks::Group;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let scan = root.spawn_blocking("scan", |cx| {
///     let mut files = 0;
///     while cx.sleep(Duration::from_millis(1)).is_ok() {
///         files += 1; // one slow system call each
///     }
///     files
/// })?;
/// assert!(root.stop().await.is_clean());
/// assert!(scan.join().await.is_done());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BlockingCtx {
    entry: EntryRef,
    until: Option<(Instant, Duration)>,
}

impl BlockingCtx {
    /// Whether the work should end: it was cancelled, or its time is up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.entry.is_cancelled() || self.is_late()
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|(at, _)| at <= Instant::now())
    }

    /// Why the work should end; `None` while it need not.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.entry.cause().or_else(|| match self.until {
            Some((_, after)) if self.is_late() => Some(Cause::Timeout(after)),
            _ => None,
        })
    }

    /// Goes on if the work need not end; made for `cx.check()?` between steps.
    ///
    /// # Errors
    /// [`Cancelled`] with the cause.
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.cause() {
            Some(cause) => Err(Cancelled { cause }),
            None => Ok(()),
        }
    }

    /// Sleeps this long in real time, or until the work should end.
    ///
    /// # Errors
    /// [`Cancelled`] with the cause.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        let mut wake_at = Instant::now() + time;
        if let Some((at, _)) = self.until {
            wake_at = wake_at.min(at);
        }
        if let Ok(key) = self
            .entry
            .add_waiter(Waiter::Thread(std::thread::current()))
        {
            loop {
                let left = wake_at.saturating_duration_since(Instant::now());
                if left.is_zero() || self.entry.is_cancelled() {
                    break;
                }
                std::thread::park_timeout(left);
            }
            self.entry.remove_waiter(key);
        }
        self.check()
    }

    /// Says what the work is doing, for snapshots.
    pub fn at(&self, label: &'static str) -> &Self {
        self.entry.extras().rare.lock().label = label;
        self
    }

    /// The group of the work.
    #[must_use]
    pub fn group(&self) -> Group {
        Group::from_inner(&self.entry.group)
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.entry.name
    }
}

impl fmt::Debug for BlockingCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingCtx")
            .field("name", &self.entry.name)
            .field("cause", &self.cause())
            .finish()
    }
}

pub(crate) fn spawn<C, T>(
    group: &Group,
    name: Name,
    location: &'static Location<'static>,
    options: &BlockingOptions,
    work: C,
) -> Result<TaskHandle<T>, Closed>
where
    C: FnOnce(BlockingCtx) -> T + Send + 'static,
    T: Send + 'static,
{
    let inner = &group.inner;
    let place = match inner.bound.take() {
        Ok(place) => place,
        Err(limit) => return Err(inner.refuse(&name, Refusal::BlockingLimit(limit))),
    };
    let (live, [entry]) = inner.register(name, location, BLOCKING | HAS_CTX)?;
    let until = options.timeout.map(|after| (Instant::now() + after, after));
    if options.timeout.is_some() {
        entry.extras().rare.lock().time_limit = options.timeout;
    }
    let slot = Arc::new(Slot::new());
    let result = Arc::clone(&slot);
    let body = move || {
        let cx = BlockingCtx {
            entry: live.share(),
            until,
        };
        let ended = match guard(move || work(cx)) {
            Ok(value) => Ended::Done(value),
            Err(info) => Ended::Panicked(info),
        };
        // The thread's place is free before anybody can learn that the work has ended.
        drop(place);
        result.deliver(conclude(&live, ended));
    };
    let thread = std::thread::Builder::new().name(thread_name(&entry.name));
    match thread.spawn(body) {
        // The thread is known by its entry; joining it would only wait for less.
        Ok(_thread) => Ok(TaskHandle::of_thread(entry, slot)),
        Err(error) => Err(inner.refuse(&entry.name, Refusal::NoThread(error.to_string().into()))),
    }
}

/// A thread's name: no NUL, and of the length that the system shows.
fn thread_name(task: &Name) -> String {
    task.chars().filter(|c| *c != '\0').take(15).collect()
}

/// Whether a blocking task has run past its time limit, or was cancelled and goes on for longer than
/// `longer_than`.
pub(crate) fn is_late(entry: &Entry, longer_than: Duration) -> bool {
    let age = clock::since_ms(entry.started);
    let limit = entry
        .extras_if_any()
        .and_then(|extras| extras.rare.lock().time_limit);
    limit.is_some_and(|limit| age > limit) || (entry.is_cancelled() && age > longer_than)
}
