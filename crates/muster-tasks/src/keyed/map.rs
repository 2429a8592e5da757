//! Which key has which task.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turns, MutexGuard, OwnedMutexGuard};

use super::{Exists, KeyInfo, StartError};
use crate::Name;
use crate::error::Closed;
use crate::shared::{EntryRef, Live as LiveEntry};
use crate::snapshot::TaskInfo;

/// The keys and their tasks. Tasks hold it, so it holds no handle of their group.
pub(super) struct Map<K> {
    state: Mutex<State<K>>,
    /// Whose turn it is to reconcile.
    reconciling: Turns<()>,
}

struct State<K> {
    slots: HashMap<K, Slot>,
    live: usize,
    generations: u64,
}

/// A key that has a task, or for which somebody has reserved the right to start one.
struct Slot {
    task: Option<Live>,
    /// Callers that hold or wait for the reservation.
    reserved: usize,
    /// Whose turn it is among them.
    turns: Arc<Turns<()>>,
}

struct Live {
    entry: EntryRef,
    generation: u64,
    hash: Option<u64>,
}

/// A key's new generation, listed but not yet launched.
pub(super) struct Occupied {
    pub(super) live: LiveEntry,
    pub(super) generation: u64,
}

impl<K: Hash + Eq + Clone> Map<K> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                slots: HashMap::new(),
                live: 0,
                generations: 0,
            }),
            reconciling: Turns::new(()),
        }
    }

    /// Gives a free key to a new task. With `reserved`, the caller holds the key's reservation.
    pub(super) fn occupy(
        &self,
        key: &K,
        name: &Name,
        reserved: bool,
        hash: Option<u64>,
        enter: impl FnOnce(Name) -> Result<LiveEntry, Closed>,
    ) -> Result<Occupied, StartError> {
        let mut state = self.state.lock();
        let taken = match state.slots.get(key) {
            Some(slot) => slot.task.is_some() || (slot.reserved > 0 && !reserved),
            None => false,
        };
        if taken {
            return Err(Exists { key: name.clone() }.into());
        }
        let task = enter(name.clone())?;
        state.generations += 1;
        state.live += 1;
        let generation = state.generations;
        let live = Live {
            entry: task.share(),
            generation,
            hash,
        };
        state
            .slots
            .entry(key.clone())
            .or_insert_with(Slot::new)
            .task = Some(live);
        Ok(Occupied {
            live: task,
            generation,
        })
    }

    /// Waits for the turn to reconcile.
    pub(super) async fn reconciling(&self) -> MutexGuard<'_, ()> {
        self.reconciling.lock().await
    }

    pub(super) fn entry_of(&self, key: &K) -> Option<EntryRef> {
        let state = self.state.lock();
        let task = state.slots.get(key)?.task.as_ref()?;
        Some(task.entry.clone())
    }

    pub(super) fn hash_of(&self, key: &K) -> Option<u64> {
        self.state.lock().slots.get(key)?.task.as_ref()?.hash
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().live
    }

    /// The tasks of the keys that match.
    pub(super) fn entries(&self, mut matches: impl FnMut(&K) -> bool) -> Vec<(K, EntryRef)> {
        let state = self.state.lock();
        let live = state
            .slots
            .iter()
            .filter_map(|(key, slot)| Some((key, slot.task.as_ref()?)));
        live.filter(|(key, _)| matches(key))
            .map(|(key, task)| (key.clone(), task.entry.clone()))
            .collect()
    }

    /// The hashes of all live keys.
    pub(super) fn hashes(&self) -> HashMap<K, Option<u64>> {
        let state = self.state.lock();
        let live = state
            .slots
            .iter()
            .filter_map(|(key, slot)| Some((key, slot.task.as_ref()?)));
        live.map(|(key, task)| (key.clone(), task.hash)).collect()
    }

    pub(super) fn infos(&self) -> Vec<KeyInfo<K>> {
        let tasks: Vec<_> = {
            let state = self.state.lock();
            let live = state
                .slots
                .iter()
                .filter_map(|(key, slot)| Some((key, slot.task.as_ref()?)));
            live.map(|(key, task)| (key.clone(), task.generation, task.hash, task.entry.clone()))
                .collect()
        };
        tasks
            .into_iter()
            .map(|(key, generation, spec_hash, entry)| KeyInfo {
                key,
                generation,
                spec_hash,
                task: TaskInfo::of(&entry),
            })
            .collect()
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            task: None,
            reserved: 0,
            turns: Arc::new(Turns::new(())),
        }
    }

    fn is_free(&self) -> bool {
        self.task.is_none() && self.reserved == 0
    }
}

/// Frees the key when the task's future and its scope are gone.
pub(super) struct KeyGuard<K: Hash + Eq> {
    map: Arc<Map<K>>,
    key: K,
    generation: u64,
}

impl<K: Hash + Eq> KeyGuard<K> {
    pub(super) fn new(map: Arc<Map<K>>, key: K, generation: u64) -> Self {
        Self {
            map,
            key,
            generation,
        }
    }
}

impl<K: Hash + Eq> Drop for KeyGuard<K> {
    fn drop(&mut self) {
        let mut state = self.map.state.lock();
        let Some(slot) = state.slots.get_mut(&self.key) else {
            return;
        };
        if slot
            .task
            .as_ref()
            .is_none_or(|task| task.generation != self.generation)
        {
            return;
        }
        let gone = slot.task.take();
        let removed = if slot.is_free() {
            state.slots.remove(&self.key)
        } else {
            None
        };
        state.live -= 1;
        drop(state);
        drop((gone, removed));
    }
}

/// The right to start the next task of a key; others get it one after another.
pub(super) struct Reserved<K: Hash + Eq + Clone> {
    // The turn is passed on before the slot may vanish.
    turn: Option<OwnedMutexGuard<()>>,
    map: Arc<Map<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Reserved<K> {
    pub(super) async fn take(map: &Arc<Map<K>>, key: &K) -> Self {
        let turns = {
            let mut state = map.state.lock();
            let slot = match state.slots.entry(key.clone()) {
                Place::Occupied(place) => place.into_mut(),
                Place::Vacant(place) => place.insert(Slot::new()),
            };
            slot.reserved += 1;
            Arc::clone(&slot.turns)
        };
        let mut reserved = Self {
            turn: None,
            map: Arc::clone(map),
            key: key.clone(),
        };
        reserved.turn = Some(turns.lock_owned().await);
        reserved
    }
}

impl<K: Hash + Eq + Clone> Drop for Reserved<K> {
    fn drop(&mut self) {
        self.turn = None;
        let mut state = self.map.state.lock();
        if let Some(slot) = state.slots.get_mut(&self.key) {
            slot.reserved -= 1;
            if slot.is_free() {
                state.slots.remove(&self.key);
            }
        }
    }
}
