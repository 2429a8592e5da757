//! Making the running tasks match a list of wanted ones.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::panic::Location;

use super::map::Reserved;
use super::{Keyed, Stopped, end_all};
use crate::Cause;
use crate::ctx::Ctx;
use crate::error::Closed;
use crate::snapshot::TaskInfo;

/// What [`Keyed::reconcile`] did. Each key is in exactly one of the lists.
#[derive(Clone, Debug)]
#[must_use]
pub struct Diff<K> {
    /// Keys that had no task and have one now.
    pub started: Vec<K>,
    /// Keys that were not wanted any more; their tasks are gone.
    pub stopped: Vec<K>,
    /// Keys whose hash had changed; the old task is gone and a new one runs.
    pub restarted: Vec<K>,
    /// Keys whose task was not touched.
    pub unchanged: Vec<K>,
    /// Keys whose old task could not be ended in time; it stays, and no new one was started.
    pub stuck: Vec<(K, TaskInfo)>,
    /// Keys that the group refused to start a task for.
    pub refused: Vec<(K, Closed)>,
}

impl<K> Default for Diff<K> {
    fn default() -> Self {
        Self {
            started: Vec::new(),
            stopped: Vec::new(),
            restarted: Vec::new(),
            unchanged: Vec::new(),
            stuck: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl<K> Diff<K> {
    /// Whether nothing had to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.started.is_empty()
            && self.stopped.is_empty()
            && self.restarted.is_empty()
            && self.stuck.is_empty()
            && self.refused.is_empty()
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Keyed<K> {
    /// Makes the running tasks match the wanted ones, each given by its key, a hash of its
    /// definition, and the work.
    ///
    /// A task whose key and hash are unchanged is not touched. All tasks that must go are ended in
    /// parallel, in the time of one [`stop`](Keyed::stop); new keys are started without waiting for
    /// that, changed ones as soon as all old ones are gone. A key that is given twice counts with its
    /// last mention. Several calls at once are done one after another.
    ///
    /// # Cancel safety
    /// Giving up the await leaves old tasks cancelled and some wanted ones not started; calling it
    /// again sets this right.
    #[track_caller]
    pub fn reconcile<C, F>(
        &self,
        wanted: impl IntoIterator<Item = (K, u64, C)>,
    ) -> impl Future<Output = Diff<K>>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        let mut wanted: HashMap<K, (u64, C)> = wanted
            .into_iter()
            .map(|(key, hash, work)| (key, (hash, work)))
            .collect();
        async move {
            let _one_at_a_time = self.map.reconciling().await;
            let mut diff = Diff::default();
            let present = self.map.hashes();
            let mut unwanted = HashSet::new();
            let mut due = Vec::new();
            for (key, hash) in present {
                match wanted.remove(&key) {
                    None => {
                        unwanted.insert(key);
                    }
                    Some((new, _)) if hash == Some(new) => diff.unchanged.push(key),
                    Some((new, work)) => due.push((key, new, work)),
                }
            }
            due.extend(
                wanted
                    .into_iter()
                    .map(|(key, (hash, work))| (key, hash, work)),
            );
            let dropped = self.map.entries(|key| unwanted.contains(key));
            for (_, entry) in &dropped {
                entry.cancel(Cause::Stop);
            }

            // A changed key stays reserved until its new task runs.
            let mut held = HashMap::new();
            for (key, hash, work) in due {
                let reserved = Reserved::take(&self.map, &key).await;
                if let Some(entry) = self.map.entry_of(&key) {
                    entry.cancel(Cause::Replaced);
                    held.insert(key, (reserved, hash, work));
                    continue;
                }
                match self.launch_reserved(key.clone(), &reserved, Some(hash), location, work) {
                    Ok(_) => diff.started.push(key),
                    Err(closed) => diff.refused.push((key, closed)),
                }
            }

            let mut tasks = self.map.entries(|key| held.contains_key(key));
            tasks.extend(dropped);
            for (key, stopped) in end_all(tasks, &Cause::Stop, self.options()).await {
                if let Stopped::Stuck(info) = stopped {
                    held.remove(&key);
                    unwanted.remove(&key);
                    diff.stuck.push((key, *info));
                }
            }
            diff.stopped.extend(unwanted);
            for (key, (reserved, hash, work)) in held {
                match self.launch_reserved(key.clone(), &reserved, Some(hash), location, work) {
                    Ok(_) => diff.restarted.push(key),
                    Err(closed) => diff.refused.push((key, closed)),
                }
            }
            diff
        }
    }
}
