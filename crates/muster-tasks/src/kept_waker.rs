//! The waker of a task, in two words of its entry.
#![expect(unsafe_code, reason = "a waker is kept as its two parts")]

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWakerVTable, Waker};

/// The waker that tokio polls a task with: first only noted, so that it can be told from other wakers;
/// kept once the task has been pending.
///
/// Everything but [`note`](Self::note) and [`is`](Self::is) is called under the lock of the
/// task's list, which orders the two words.
pub(crate) struct KeptWaker {
    data: AtomicPtr<()>,
    /// Null while no waker is kept.
    vtable: AtomicPtr<RawWakerVTable>,
}

impl KeptWaker {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            data: AtomicPtr::new(ptr::null_mut()),
            vtable: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Notes which waker the task has. Called in its first poll, before a waker is kept.
    #[inline]
    pub(crate) fn note(&self, waker: &Waker) {
        self.data.store(waker.data().cast_mut(), Ordering::Relaxed);
    }

    /// Whether this waker is the task's own.
    pub(crate) fn is(&self, waker: &Waker) -> bool {
        ptr::eq(self.data.load(Ordering::Relaxed), waker.data())
    }

    /// Keeps the waker. Called once.
    pub(crate) fn keep(&self, waker: &Waker) {
        let kept = ManuallyDrop::new(waker.clone());
        let vtable: *const RawWakerVTable = kept.vtable();
        self.data.store(kept.data().cast_mut(), Ordering::Relaxed);
        self.vtable.store(vtable.cast_mut(), Ordering::Relaxed);
    }

    /// Wakes the task, if a waker is kept.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.parts() {
            waker.wake_by_ref();
        }
    }

    /// Hands the kept waker out, so that it is dropped outside of the lock.
    #[inline]
    pub(crate) fn take(&self) -> Option<Waker> {
        let waker = self.parts()?;
        self.vtable.store(ptr::null_mut(), Ordering::Relaxed);
        Some(ManuallyDrop::into_inner(waker))
    }

    /// The kept waker; who asks must not drop it but in [`take`](Self::take).
    #[inline]
    fn parts(&self) -> Option<ManuallyDrop<Waker>> {
        let vtable = self.vtable.load(Ordering::Relaxed);
        // SAFETY: what is not null is the table of a waker, which lives for ever.
        let vtable: &'static RawWakerVTable = unsafe { vtable.as_ref() }?;
        let data = self.data.load(Ordering::Relaxed);
        // SAFETY: `keep` stored the two parts of one waker that it did not drop, the list's lock
        // orders this after it, and `take` forgets the parts when it hands them out.
        Some(ManuallyDrop::new(unsafe { Waker::new(data, vtable) }))
    }
}
