//! Who shares a task's entry: a counted pointer of one word, and the one owner that ends the task.
//!
//! Why not `Arc`: a task that is short is little more than its counting. Here all references that a
//! task starts with are counted by one plain store, the list counts none (see [`Live`]), and there is no
//! weak count to keep.
#![expect(
    unsafe_code,
    reason = "a reference count, and a list that points without counting"
)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::entry::{End, Entry};
use crate::sync::{AtomicU32, Ordering, fence};

/// How many references there are.
pub(crate) struct Count(AtomicU32);

/// A counted reference to an entry.
pub(crate) struct EntryRef(NonNull<Entry>);

// SAFETY: an `EntryRef` gives shared access to the entry from any thread, and drops it on any
// thread; an entry is `Send` and `Sync`, as the assertion below makes the compiler check.
unsafe impl Send for EntryRef {}
// SAFETY: as above.
unsafe impl Sync for EntryRef {}

const _: () = {
    const fn is_shareable<T: Send + Sync>() {}
    is_shareable::<Entry>();
};

impl EntryRef {
    /// Makes an entry with `N + 1` references: one for the owner, and the others.
    #[inline]
    pub(crate) fn several<const N: usize>(make: impl FnOnce(Count) -> Entry) -> (Self, [Self; N]) {
        let count = Count(AtomicU32::new(N as u32 + 1));
        let entry = NonNull::from(Box::leak(Box::new(make(count))));
        (Self(entry), [(); N].map(|()| Self(entry)))
    }

    /// The entry itself, not counted.
    #[inline]
    pub(crate) fn pointer(&self) -> NonNull<Entry> {
        self.0
    }

    /// One more reference.
    ///
    /// # Safety
    /// There is a counted reference to the entry, and it stays for as long as this call lasts.
    pub(crate) unsafe fn from_pointer(entry: NonNull<Entry>) -> Self {
        // SAFETY: the caller sees to it that the count is not zero, so dropping the borrowed
        // reference is the only thing that must not happen.
        let borrowed = ManuallyDrop::new(Self(entry));
        Self::clone(&borrowed)
    }
}

impl Clone for EntryRef {
    #[inline]
    fn clone(&self) -> Self {
        // A new reference is made from one that is there, so nothing has to be ordered.
        let before = self.count.0.fetch_add(1, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // Two billion contexts were leaked; one more round would free what is in use.
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Deref for EntryRef {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        // SAFETY: the entry is freed when the last counted reference is dropped, and this is one.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for EntryRef {
    #[inline]
    fn drop(&mut self) {
        // A sole reference cannot be joined by another: only references make references, and the
        // list has let go of an entry before its owner drops it. So there is nothing to count down.
        if self.count.0.load(Ordering::Acquire) != 1 {
            if self.count.0.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            // What others did with the entry comes before its end.
            fence(Ordering::Acquire);
        }
        // SAFETY: the count went to zero here, so this was the last reference; the pointer came from
        // `Box::leak`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The one owner of a listed entry: it takes the task off the list, at the latest when it is
/// dropped. So the list may point to the entry without counting.
pub(crate) struct Live(EntryRef);

impl Live {
    /// The owner of an entry that was just listed.
    #[inline]
    pub(crate) fn new(entry: EntryRef) -> Self {
        Self(entry)
    }

    /// One more reference to the entry.
    pub(crate) fn share(&self) -> EntryRef {
        self.0.clone()
    }

    /// Takes the task off its group's list, after its future was dropped. Once is enough.
    #[inline]
    pub(crate) fn finish(&self, end: End) {
        if !self.0.has_ended() {
            self.0.finish(end);
        }
    }
}

impl Deref for Live {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl Drop for Live {
    #[inline]
    fn drop(&mut self) {
        // Only what a runtime drops while it shuts down has not ended here.
        self.finish(End::Aborted);
    }
}
