//! A list of live tasks under one lock.
#![expect(
    unsafe_code,
    reason = "the list points to tasks without counting as their owner"
)]

use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::task::Waker;

use crate::entry::{End, Entry};
use crate::error::Summary;
use crate::group::SLICE;
use crate::places::Places;
use crate::shared::{EntryRef, Live};
use crate::signal::{ABORT, BLOCKING, CANCEL, WAITERS};
use crate::sync::Mutex;

/// Live tasks, and the counts of those that have ended.
#[repr(align(64))]
pub(crate) struct List(Mutex<Tasks>);

struct Tasks {
    closed: bool,
    live: Places<Listed>,
    ended: [u64; 5],
}

/// A live task. Its [`Live`] holds a reference and takes it off the list under the lock before it
/// lets go of that, so under the lock the pointer is good.
struct Listed(NonNull<Entry>);

// SAFETY: it points to an entry, which may be used and dropped by any thread.
unsafe impl Send for Listed {}

impl Listed {
    /// The task. The borrow lasts no longer than the lock is held, since it is the lock's.
    fn entry(&self) -> &Entry {
        // SAFETY: see above: a task on the list has not been let go of.
        unsafe { self.0.as_ref() }
    }

    fn share(&self) -> EntryRef {
        // SAFETY: the task's `Live` has a counted reference, and cannot let go of it while the list
        // is locked, as it is while there is a `&Listed`.
        unsafe { EntryRef::from_pointer(self.0) }
    }

    /// Raises a request and wakes the task. Returns whether somebody else waits for it too.
    fn request(&self, bits: u16) -> bool {
        let before = self.entry().signal.raise(bits);
        if bits & !before & (CANCEL | ABORT) == 0 {
            return false;
        }
        // A tokio waker only puts the task into a queue, so it can be called under the lock.
        self.entry().waker.wake();
        before & WAITERS != 0
    }
}

impl List {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Tasks {
            closed: false,
            live: Places::new(),
            ended: [0; 5],
        }))
    }

    /// Lists a task and returns its owner and how many are live; refused when closed.
    #[inline]
    pub(crate) fn add(&self, entry: EntryRef) -> Result<(Live, usize), EntryRef> {
        let mut tasks = self.0.lock();
        if tasks.closed {
            drop(tasks);
            return Err(entry);
        }
        let place = tasks.live.next_place();
        entry.slot.store(place, Ordering::Relaxed);
        tasks.live.insert(Listed(entry.pointer()));
        let live = tasks.live.len();
        drop(tasks);
        Ok((Live::new(entry), live))
    }

    /// Leaves the waker of a task that is pending for the first time. Returns the task's bits.
    pub(crate) fn leave_waker(&self, entry: &Entry, waker: &Waker) -> u16 {
        let _tasks = self.0.lock();
        entry.waker.keep(waker);
        entry.signal.bits()
    }

    /// Raises a request for one task and wakes it. Returns whether somebody else waits for it.
    pub(crate) fn request(&self, entry: &Entry, bits: u16) -> bool {
        let tasks = self.0.lock();
        if entry.has_ended() {
            return false;
        }
        let listed = tasks.live.get(entry.slot.load(Ordering::Relaxed));
        listed.is_some_and(|listed| listed.request(bits))
    }

    /// Raises a request for every task (blocking ones are only cancelled). Returns those for whose
    /// request somebody else waits.
    pub(crate) fn request_all(&self, bits: u16) -> Vec<EntryRef> {
        let mut told = Vec::new();
        let mut from = 0;
        loop {
            let tasks = self.0.lock();
            let Some(slice) = tasks.live.slice(from, SLICE) else {
                return told;
            };
            for listed in slice {
                let blocking = listed.entry().signal.bits() & BLOCKING != 0;
                let bits = if blocking { bits & !ABORT } else { bits };
                if listed.request(bits) {
                    told.push(listed.share());
                }
            }
            from += SLICE;
        }
    }

    /// Takes a task off the list. Returns its waker, and whether the list is empty now.
    #[inline]
    pub(crate) fn remove(&self, entry: &Entry, end: End) -> (Option<Waker>, bool) {
        let mut tasks = self.0.lock();
        entry.set_ended(end);
        tasks.ended[end as usize] += 1;
        tasks.live.remove(entry.slot.load(Ordering::Relaxed));
        (entry.waker.take(), tasks.live.len() == 0)
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
    pub(crate) fn slice(&self, from: usize, into: &mut Vec<EntryRef>) -> Option<usize> {
        let tasks = self.0.lock();
        into.extend(tasks.live.slice(from, SLICE)?.map(Listed::share));
        Some(from + SLICE)
    }
}
