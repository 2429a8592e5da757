//! The word through which a task is told to end, and the waker that makes it look.
//!
//! The protocol, checked by the loom models in `loom_tests.rs`:
//!
//! - The task's first poll stores its waker and then raises `WAKER`; the bits that it gets back
//!   tell it about every request that came before.
//! - A request raises `CANCEL` or `ABORT`; when the word already had `WAKER`, it wakes the task.
//!
//! Both sides use one read-modify-write on the same word, so one of them sees the other: a request
//! is either seen by the first poll or followed by a wake. The waker of a tokio task never changes,
//! so storing it once is enough, and no poll after the first touches it.
#![allow(unsafe_code)] // a write-once cell guarded by a bit; one allocation per task would cost more

use std::mem::MaybeUninit;
use std::task::Waker;

use crate::sync::{AtomicU32, Ordering, UnsafeCell};

/// The task was asked to end.
pub(crate) const CANCEL: u32 = 1 << 0;
/// The task is to be dropped at its next suspension point.
pub(crate) const ABORT: u32 = 1 << 1;
/// Somebody has claimed the right to write the waker.
const CLAIM: u32 = 1 << 2;
/// The waker is written and will not change.
const WAKER: u32 = 1 << 3;
/// The task took a context, so it can end by itself when it is cancelled.
pub(crate) const HAS_CTX: u32 = 1 << 4;
/// The task owns a scope; its work handles being dropped itself.
pub(crate) const SCOPED: u32 = 1 << 5;
/// The task runs on a thread of its own.
pub(crate) const BLOCKING: u32 = 1 << 6;
/// Somebody waits in the entry's extras for the cancel.
pub(crate) const WAITERS: u32 = 1 << 7;
/// The task waits for a place under the group's limit.
pub(crate) const QUEUED: u32 = 1 << 8;

/// Flags and the write-once waker of a task.
pub(crate) struct Signal {
    bits: AtomicU32,
    waker: UnsafeCell<MaybeUninit<Waker>>,
}

// SAFETY: `Waker` is Send and Sync. The cell is written by at most one thread (the one whose
// `fetch_or` raised `CLAIM` first) before `WAKER` is raised with release ordering, and is read only
// after `WAKER` was observed with acquire ordering; it is never written again.
unsafe impl Sync for Signal {}
// SAFETY: see above; all parts can move between threads.
unsafe impl Send for Signal {}

impl Signal {
    pub(crate) fn new(bits: u32) -> Self {
        Self {
            bits: AtomicU32::new(bits),
            waker: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The current bits.
    #[inline]
    pub(crate) fn bits(&self) -> u32 {
        self.bits.load(Ordering::Acquire)
    }

    /// Stores the waker on the first call; later calls change nothing. Returns the bits.
    #[inline]
    pub(crate) fn publish(&self, waker: &Waker) -> u32 {
        let seen = self.bits.load(Ordering::Acquire);
        if seen & WAKER != 0 {
            return seen;
        }
        self.publish_first(waker)
    }

    fn publish_first(&self, waker: &Waker) -> u32 {
        let seen = self.bits.fetch_or(CLAIM, Ordering::AcqRel);
        if seen & CLAIM != 0 {
            return seen;
        }
        self.waker.with_mut(|slot| {
            // SAFETY: this call raised `CLAIM`, so no other call writes; readers wait for `WAKER`.
            unsafe { (*slot).write(waker.clone()) };
        });
        self.bits.fetch_or(WAKER, Ordering::AcqRel) | WAKER
    }

    /// Whether `waker` wakes the task itself (so that waking the task is enough).
    pub(crate) fn is_own(&self, waker: &Waker) -> bool {
        self.with_waker(|own| own.will_wake(waker)).unwrap_or(false)
    }

    /// Raises a bit and wakes the task if the bit is new. Returns the bits as they were.
    #[inline]
    pub(crate) fn raise(&self, bit: u32) -> u32 {
        let before = self.bits.fetch_or(bit, Ordering::AcqRel);
        if before & bit == 0 && before & WAKER != 0 {
            self.with_waker(Waker::wake_by_ref);
        }
        before
    }

    /// Sets a bit without waking. Returns the bits as they were.
    pub(crate) fn set(&self, bit: u32) -> u32 {
        self.bits.fetch_or(bit, Ordering::AcqRel)
    }

    /// Clears a bit. Returns the bits as they were.
    pub(crate) fn clear(&self, bit: u32) -> u32 {
        self.bits.fetch_and(!bit, Ordering::AcqRel)
    }

    /// Wakes the task, if it was polled before.
    pub(crate) fn wake(&self) {
        self.with_waker(Waker::wake_by_ref);
    }

    fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> Option<R> {
        if self.bits.load(Ordering::Acquire) & WAKER == 0 {
            return None;
        }
        Some(self.waker.with(|slot| {
            // SAFETY: `WAKER` was observed with acquire ordering, so the value is written and is
            // never written again while `self` lives.
            f(unsafe { (*slot).assume_init_ref() })
        }))
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        if self.bits.load(Ordering::Acquire) & WAKER != 0 {
            self.waker.with_mut(|slot| {
                // SAFETY: the value was written (`WAKER`), and `&mut self` means that nobody reads.
                unsafe { (*slot).assume_init_drop() };
            });
        }
    }
}
