//! A list of live tasks under one lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use slab::Slab;

use crate::entry::{End, Entry};
use crate::error::Summary;
use crate::group::SLICE;
use crate::sync::Mutex;

/// Live tasks, and the counts of those that have ended.
#[repr(align(64))]
pub(crate) struct List(Mutex<Tasks>);

struct Tasks {
    closed: bool,
    live: Slab<Arc<Entry>>,
    ended: [u64; 5],
}

impl List {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Tasks {
            closed: false,
            live: Slab::new(),
            ended: [0; 5],
        }))
    }

    /// Lists a task and returns how many are live; refused when closed.
    #[inline]
    pub(crate) fn add(&self, entry: &Arc<Entry>) -> Result<usize, ()> {
        let listed = Arc::clone(entry);
        let mut tasks = self.0.lock();
        if tasks.closed {
            return Err(());
        }
        let slot = tasks.live.insert(listed);
        // A list of 4 G tasks does not fit into memory.
        entry.slot.store(slot as u32, Ordering::Relaxed);
        Ok(tasks.live.len())
    }

    /// Takes a task off the list. Returns what the list held, and whether the list is empty now.
    #[inline]
    pub(crate) fn remove(&self, entry: &Entry, end: End) -> (Option<Arc<Entry>>, bool) {
        let mut tasks = self.0.lock();
        entry.set_ended(end);
        tasks.ended[end as usize] += 1;
        let listed = tasks
            .live
            .try_remove(entry.slot.load(Ordering::Relaxed) as usize);
        let empty = tasks.live.is_empty();
        if empty && tasks.live.capacity() > 4 * SLICE {
            tasks.live = Slab::new();
        }
        (listed, empty)
    }

    pub(crate) fn is_ended(&self, entry: &Entry) -> bool {
        let _tasks = self.0.lock();
        entry.has_ended()
    }

    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().live.len()
    }

    pub(crate) fn summary(&self) -> Summary {
        let tasks = self.0.lock();
        let ended = |end: End| tasks.ended[end as usize];
        Summary {
            spawned: tasks.ended.iter().sum::<u64>() + tasks.live.len() as u64,
            done: ended(End::Done),
            failed: 0,
            panicked: ended(End::Panicked),
            cancelled: ended(End::Cancelled),
            aborted: ended(End::Aborted),
        }
    }

    /// Copies the tasks of the next slice of places, from `from` on, into `into`. Returns where to
    /// go on, or `None` when there are no more places.
    pub(crate) fn slice(&self, from: usize, into: &mut Vec<Arc<Entry>>) -> Option<usize> {
        let tasks = self.0.lock();
        // Places are dense from 0, so at most the first `capacity` of them are in use.
        let end = tasks.live.capacity();
        if from >= end {
            return None;
        }
        let to = (from + SLICE).min(end);
        into.extend(
            (from..to)
                .filter_map(|place| tasks.live.get(place))
                .cloned(),
        );
        Some(to)
    }
}
