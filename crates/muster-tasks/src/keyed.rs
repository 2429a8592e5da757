//! Tasks by key: at most one live generation of each.

mod map;
mod reconcile;

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;

pub use reconcile::Diff;

use self::map::{KeyGuard, Map, Occupied, Reserved};
use crate::ctx::Ctx;
use crate::error::Closed;
use crate::group::{Group, StopOptions};
use crate::handle::TaskHandle;
use crate::shared::EntryRef;
use crate::snapshot::TaskInfo;
use crate::{Cause, Name};

/// Tasks that are found by a key: connections by peer, inputs by ID, jobs by name.
///
/// - At most one generation of a key lives at any time: a new one starts only when the future of the
///   old one, and all helpers that it spawned through its [`Ctx`], are gone.
/// - A key is free again as soon as its task has ended, however it ended.
/// - Starting, replacing and stopping the same key from several places is safe; different keys do
///   not wait for each other.
///
/// Each task has a scope of its own: what it spawns through its [`Ctx`] is stopped when it ends.
/// `Keyed` is a handle; clones share the keys. Dropping it stops nothing: the tasks belong to the
/// group, and end with it.
///
/// ```
/// use muster_tasks::{Group, Keyed, Stopped};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let peers: Keyed<String> = Keyed::new(&root.group("peers"));
/// let serve = |cx: muster_tasks::Ctx| async move { cx.cancelled().await; };
/// peers.start("a".to_owned(), serve)?;
/// assert!(peers.start("a".to_owned(), serve).is_err());
/// peers.replace("a".to_owned(), serve).await?; // the old one is gone before the new one starts
/// assert!(matches!(peers.stop(&"a".to_owned()).await, Stopped::Ended));
/// assert!(matches!(peers.stop(&"a".to_owned()).await, Stopped::NotRunning));
/// # Ok(()) }
/// ```
pub struct Keyed<K> {
    group: Group,
    map: Arc<Map<K>>,
    name_of: Arc<dyn Fn(&K) -> Name + Send + Sync>,
}

impl<K> Clone for Keyed<K> {
    fn clone(&self) -> Self {
        Self {
            group: self.group.clone(),
            map: Arc::clone(&self.map),
            name_of: Arc::clone(&self.name_of),
        }
    }
}

/// The key has a task already (or one is just being replaced).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is running already")]
pub struct Exists {
    /// The name of the key.
    pub key: Name,
}

/// A keyed task could not be started.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// The key has a task already.
    #[error(transparent)]
    Exists(#[from] Exists),
    /// The group takes no more tasks.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A keyed task could not be replaced.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The old task could not be ended in time; it stays (aborting), and nothing was started.
    #[error("the running task does not end: {0}")]
    Stuck(Box<TaskInfo>),
    /// The group takes no more tasks.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// How the stop of a keyed task went.
#[derive(Clone, Debug)]
#[must_use]
pub enum Stopped {
    /// There was no task.
    NotRunning,
    /// It ended within the grace period.
    Ended,
    /// It was dropped by force after the grace period.
    Aborted,
    /// It could not be dropped in time (busy in a poll). It is dropped as soon as it can be, stays
    /// listed until then, and keeps its key.
    Stuck(Box<TaskInfo>),
}

/// What [`Keyed::ensure`] did.
#[derive(Debug)]
#[must_use]
pub enum Ensured<T> {
    /// A task with this hash was running; it was not touched.
    Unchanged,
    /// There was none; it was started.
    Started(TaskHandle<T>),
    /// One with another hash was running; it was ended, and the new one started.
    Restarted(TaskHandle<T>),
}

/// A key and its live task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyInfo<K> {
    /// The key.
    pub key: K,
    /// Counts the tasks ever started in this map; tells generations apart.
    pub generation: u64,
    /// The hash given to [`Keyed::ensure`] or [`Keyed::reconcile`].
    pub spec_hash: Option<u64>,
    /// The task.
    pub task: TaskInfo,
}

impl<K: Hash + Eq + Clone + Send + Sync + fmt::Display + 'static> Keyed<K> {
    /// An empty set of keys whose tasks live in this group, named by the keys' `Display`.
    #[must_use]
    pub fn new(group: &Group) -> Self {
        Self::with_names(group, |key| key.to_string().into())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Keyed<K> {
    /// Like [`new`](Self::new), for keys without `Display` or with better names than that.
    #[must_use]
    pub fn with_names(group: &Group, name_of: impl Fn(&K) -> Name + Send + Sync + 'static) -> Self {
        Self {
            group: group.clone(),
            map: Arc::new(Map::new()),
            name_of: Arc::new(name_of),
        }
    }

    /// The group in which the tasks live.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Starts the task of a key that has none.
    ///
    /// # Errors
    /// [`StartError::Exists`] if the key has one; [`StartError::Closed`] if the group takes no more.
    #[track_caller]
    pub fn start<C, F>(&self, key: K, work: C) -> Result<TaskHandle<F::Output>, StartError>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.launch(key, None, None, Location::caller(), work)
    }

    /// Sees to it that the key runs what this hash stands for: leaves a task with the same hash
    /// alone, replaces one with another, starts one if there is none.
    ///
    /// # Errors
    /// [`ReplaceError`] if the old task does not end or the group takes no more tasks.
    #[track_caller]
    pub fn ensure<C, F>(
        &self,
        key: K,
        spec_hash: u64,
        work: C,
    ) -> impl Future<Output = Result<Ensured<F::Output>, ReplaceError>> + Send
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        async move {
            let reserved = Reserved::take(&self.map, &key).await;
            if self.map.hash_of(&key) == Some(spec_hash) {
                return Ok(Ensured::Unchanged);
            }
            let old = self.end_old(&key).await?;
            let handle = self.launch_reserved(key, &reserved, Some(spec_hash), location, work)?;
            Ok(if old {
                Ensured::Restarted(handle)
            } else {
                Ensured::Started(handle)
            })
        }
    }

    /// Ends the key's task, if it has one, and starts a new one when the old one is fully gone.
    /// Until then the key counts as taken.
    ///
    /// # Errors
    /// [`ReplaceError`] if the old task does not end or the group takes no more tasks.
    ///
    /// # Cancel safety
    /// Giving up the await leaves the old task cancelled and starts nothing.
    #[track_caller]
    pub fn replace<C, F>(
        &self,
        key: K,
        work: C,
    ) -> impl Future<Output = Result<TaskHandle<F::Output>, ReplaceError>> + Send
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        async move {
            let reserved = Reserved::take(&self.map, &key).await;
            self.end_old(&key).await?;
            Ok(self.launch_reserved(key, &reserved, None, location, work)?)
        }
    }

    /// Ends the key's task: asks it, aborts it after the group's grace period, and waits until it is
    /// gone. Takes at most the grace period and a second.
    pub async fn stop(&self, key: &K) -> Stopped {
        self.stop_with(key, self.options()).await
    }

    /// Like [`stop`](Self::stop), with options (`order` has no meaning here).
    pub async fn stop_with(&self, key: &K, options: StopOptions) -> Stopped {
        match self.map.entry_of(key) {
            None => Stopped::NotRunning,
            Some(entry) => end(&entry, &Cause::Stop, options).await,
        }
    }

    /// Aborts the key's task without waiting. Returns whether there was one. The key is free when
    /// the task's future was dropped.
    pub fn kill(&self, key: &K) -> bool {
        self.map.entry_of(key).is_some_and(|entry| {
            entry.abort();
            true
        })
    }

    /// Ends all tasks whose keys match, in parallel, in the time of one
    /// [`stop`](Self::stop).
    pub async fn stop_where(&self, mut matches: impl FnMut(&K) -> bool) -> Vec<(K, Stopped)> {
        let tasks = self.map.entries(|key| matches(key));
        end_all(tasks, &Cause::Stop, self.options()).await
    }

    /// What is known of the key's task.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<TaskInfo> {
        self.map.entry_of(key).map(|entry| TaskInfo::of(&entry))
    }

    /// Whether the key has a live task.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.map.entry_of(key).is_some()
    }

    /// Number of keys with a live task.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key has a live task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys with a live task, in no particular order.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        self.map
            .entries(|_| true)
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    }

    /// All live tasks with their keys, in no particular order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<KeyInfo<K>> {
        self.map.infos()
    }

    fn options(&self) -> StopOptions {
        StopOptions::grace(self.group.inner.settings.grace)
    }

    /// Ends the present task of a reserved key. Returns whether there was one.
    async fn end_old(&self, key: &K) -> Result<bool, ReplaceError> {
        let Some(entry) = self.map.entry_of(key) else {
            return Ok(false);
        };
        match end(&entry, &Cause::Replaced, self.options()).await {
            Stopped::Stuck(info) => Err(ReplaceError::Stuck(info)),
            _ => Ok(true),
        }
    }

    fn launch_reserved<C, F>(
        &self,
        key: K,
        reserved: &Reserved<K>,
        hash: Option<u64>,
        location: &'static Location<'static>,
        work: C,
    ) -> Result<TaskHandle<F::Output>, Closed>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.launch(key, Some(reserved), hash, location, work)
            .map_err(|error| match error {
                StartError::Closed(closed) => closed,
                // Nobody else starts a key that we have reserved.
                StartError::Exists(Exists { key }) => {
                    self.group.inner.refuse(&key, crate::Refusal::Closed)
                }
            })
    }

    fn launch<C, F>(
        &self,
        key: K,
        reserved: Option<&Reserved<K>>,
        hash: Option<u64>,
        location: &'static Location<'static>,
        work: C,
    ) -> Result<TaskHandle<F::Output>, StartError>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let name = (self.name_of)(&key);
        let enter = |name| self.group.enter_scoped(name, location);
        let occupied = self
            .map
            .occupy(&key, &name, reserved.is_some(), hash, enter)?;
        let Occupied { live, generation } = occupied;
        let guard = KeyGuard::new(Arc::clone(&self.map), key, generation);
        Ok(self.group.launch_scoped(live, guard, work))
    }
}

/// Ends one task in bounded time.
async fn end(entry: &EntryRef, cause: &Cause, options: StopOptions) -> Stopped {
    let tasks = vec![((), entry.clone())];
    let ended = end_all(tasks, cause, options).await.pop();
    ended.map_or(Stopped::NotRunning, |((), stopped)| stopped)
}

/// Ends tasks together, in the bounded time of one.
async fn end_all<K>(
    tasks: Vec<(K, EntryRef)>,
    cause: &Cause,
    options: StopOptions,
) -> Vec<(K, Stopped)> {
    for (_, entry) in &tasks {
        entry.cancel(cause.clone());
    }
    let ask_until = tokio::time::Instant::now() + options.grace;
    let mut ended = Vec::with_capacity(tasks.len());
    let mut left = Vec::new();
    for (key, entry) in tasks {
        match tokio::time::timeout_at(ask_until, entry.ended()).await {
            Ok(()) => ended.push((key, Stopped::Ended)),
            Err(_) => left.push((key, entry)),
        }
    }
    for (_, entry) in &left {
        entry.abort();
    }
    let abort_until = ask_until + options.abort_after;
    for (key, entry) in left {
        let stopped = match tokio::time::timeout_at(abort_until, entry.ended()).await {
            Ok(()) => Stopped::Aborted,
            Err(_) => Stopped::Stuck(Box::new(TaskInfo::of(&entry))),
        };
        ended.push((key, stopped));
    }
    ended
}

impl<K> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("group", &self.group.path())
            .finish_non_exhaustive()
    }
}
