//! Sets of tasks whose results are taken together, by a policy.

mod policy;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

pub use self::policy::{AllOkError, Collected, Fault, FirstOkError};
use crate::Name;
use crate::ctx::Ctx;
use crate::error::Closed;
use crate::group::{Group, GroupBuilder};
use crate::handle::Outcome;
use crate::signal::HAS_CTX;
use crate::task::{Sink, WithCx};

/// Tasks that belong together, and a policy that says what is wanted of them:
///
/// | policy | waits for | gives |
/// |---|---|---|
/// | [`all_ok`](Self::all_ok) | all, or the first that fails | all values, in the order of spawning |
/// | [`first_ok`](Self::first_ok) | the first that succeeds | its value |
/// | [`first_done`](Self::first_done) | the first that ends, however | how it ended |
/// | [`collect`](Self::collect) | all | how each ended |
/// | [`until`](Self::until) | the first for which a closure says yes | how each ended |
///
/// As soon as the policy is content, or the time is up, the **rest is cancelled and awaited**: when a policy
/// returns, no task of the set is left (one that is stuck in a poll is named in the report). What is known then is
/// returned also after a [`timeout`](Self::timeout).
///
/// The tasks live in a group of the set's own. Dropping the set, or giving up the await of its
/// policy, cancels and aborts them.
///
/// ```
/// use muster_tasks::{Group, TaskSet};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let mut squares: TaskSet<Result<u64, String>> = root.task_set("squares");
/// for n in 1..=3_u64 {
///     squares.spawn("square", async move { Ok(n * n) })?;
/// }
/// assert_eq!(squares.all_ok().await?, [1, 4, 9]);
///
/// let mut mirrors = root.task_set("mirrors");
/// mirrors.spawn("slow", std::future::pending::<Result<&str, &str>>())?;
/// mirrors.spawn("broken", async { Err("no route") })?;
/// mirrors.spawn("good", async { Ok("here it is") })?;
/// assert_eq!(mirrors.first_ok().await?, "here it is");
/// # Ok(()) }
/// ```
#[must_use = "dropping it aborts its tasks; call one of its policies"]
pub struct TaskSet<T> {
    group: Group,
    ended: Arc<Ended<T>>,
    names: Vec<Name>,
    timeout: Option<Duration>,
}

/// Outcomes in the order in which the tasks ended.
struct Ended<T>(Mutex<Queue<T>>);

struct Queue<T> {
    outcomes: VecDeque<(usize, Outcome<T>)>,
    waker: Option<Waker>,
}

/// Puts the outcome of one task into the queue of its set.
struct Slot<T> {
    index: usize,
    ended: Arc<Ended<T>>,
}

impl<T: Send + 'static> Sink<T> for Slot<T> {
    type Output = ();

    fn take(&self, outcome: Outcome<T>) {
        let waker = {
            let mut queue = self.ended.0.lock();
            queue.outcomes.push_back((self.index, outcome));
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Ended<T> {
    fn poll_next(&self, waker: &Waker) -> Poll<(usize, Outcome<T>)> {
        let mut queue = self.0.lock();
        match queue.outcomes.pop_front() {
            Some(ended) => Poll::Ready(ended),
            None => {
                let old = queue.waker.replace(waker.clone());
                drop(queue);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Group {
    /// An empty set whose tasks live in a child group of this name.
    pub fn task_set<T: Send + 'static>(&self, name: impl Into<Name>) -> TaskSet<T> {
        self.builder(name).task_set()
    }
}

impl GroupBuilder {
    /// An empty set whose tasks live in a group with these settings: its
    /// [`limit`](Self::limit) bounds how many run at once, its [`grace`](Self::grace) is what the rest gets.
    pub fn task_set<T: Send + 'static>(self) -> TaskSet<T> {
        TaskSet {
            group: self.build(),
            ended: Arc::new(Ended(Mutex::new(Queue {
                outcomes: VecDeque::new(),
                waker: None,
            }))),
            names: Vec::new(),
            timeout: None,
        }
    }
}

impl<T: Send + 'static> TaskSet<T> {
    /// How long the policy waits at most, counted from its call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Spawns a future into the set. Its result has the index that is returned: they count from 0.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the future is dropped without being run.
    #[track_caller]
    pub fn spawn<F>(&mut self, name: impl Into<Name>, fut: F) -> Result<usize, Closed>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (name, index) = (name.into(), self.names.len());
        let (live, []) = self.group.enter(name.clone(), Location::caller(), 0)?;
        let slot = self.slot();
        self.names.push(name);
        drop(self.group.start(live, fut, slot));
        Ok(index)
    }

    /// Spawns work that gets a [`Ctx`], through which it hears of a cancel. See [`spawn`](Self::spawn).
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the closure is dropped without being called.
    #[track_caller]
    pub fn spawn_cx<C, F>(&mut self, name: impl Into<Name>, work: C) -> Result<usize, Closed>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (name, index) = (name.into(), self.names.len());
        let (live, [own]) = self
            .group
            .enter(name.clone(), Location::caller(), HAS_CTX)?;
        let slot = self.slot();
        self.names.push(name);
        let work = WithCx::new(work, Ctx::new(own));
        drop(self.group.start(live, work, slot));
        Ok(index)
    }

    fn slot(&self) -> Slot<T> {
        Slot {
            index: self.names.len(),
            ended: Arc::clone(&self.ended),
        }
    }

    /// How many tasks were spawned into the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The set's own group, in which its tasks live.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }
}

impl<T> fmt::Debug for TaskSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSet")
            .field("path", &self.group.path())
            .field("tasks", &self.names.len())
            .finish_non_exhaustive()
    }
}
