//! Atomics and locks, replaced by loom's in the loom models.

#[cfg(not(all(loom, test)))]
mod real {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};
}

#[cfg(all(loom, test))]
mod real {
    pub(crate) use loom::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

    /// loom's mutex with the interface of `parking_lot`.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            match self.0.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }
}

pub(crate) use real::*;
