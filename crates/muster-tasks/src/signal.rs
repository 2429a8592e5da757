//! The word through which a task is told to end.
//!
//! The protocol, checked by the loom models in `loom_tests.rs`:
//!
//! - Requests raise their bit while they hold the lock of the task's list, and wake the task if
//!   the list has its waker.
//! - A task that is pending for the first time leaves its waker in the list, under the same lock,
//!   and looks at the bits again.
//!
//! So a request is either seen by the task or followed by a wake. The waker of a tokio task never
//! changes: later polls leave nothing. A task that is done in its first poll never leaves a waker.

use crate::sync::{AtomicU16, Ordering};

/// The task was asked to end.
pub(crate) const CANCEL: u16 = 1 << 0;
/// The task is to be dropped at its next suspension point.
pub(crate) const ABORT: u16 = 1 << 1;
/// The task took a context, so it can end by itself when it is cancelled.
pub(crate) const HAS_CTX: u16 = 1 << 2;
/// The task owns a scope; its work handles being dropped itself.
pub(crate) const SCOPED: u16 = 1 << 3;
/// The task runs on a thread of its own.
pub(crate) const BLOCKING: u16 = 1 << 4;
/// Somebody waits in the entry's extras for the cancel.
pub(crate) const WAITERS: u16 = 1 << 5;
/// The task waits for a place under the group's limit.
pub(crate) const QUEUED: u16 = 1 << 6;
/// The task has ended; its contexts count as cancelled.
pub(crate) const ENDED: u16 = 1 << 7;

/// The flags of a task.
pub(crate) struct Signal(AtomicU16);

impl Signal {
    pub(crate) fn new(bits: u16) -> Self {
        Self(AtomicU16::new(bits))
    }

    /// The present bits.
    #[inline]
    pub(crate) fn bits(&self) -> u16 {
        self.0.load(Ordering::Acquire)
    }

    /// Raises bits. Returns the bits as they were.
    #[inline]
    pub(crate) fn raise(&self, bits: u16) -> u16 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }

    /// Clears bits. Returns the bits as they were.
    pub(crate) fn clear(&self, bits: u16) -> u16 {
        self.0.fetch_and(!bits, Ordering::AcqRel)
    }
}
