//! Counts who could still wake a task (feature `lost-waker`).
//!
//! A task that waits and of which nobody holds a waker, and that nobody has woken, can never go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

/// What the wakers of a task share: there are as many of them as references to this, but for one.
pub(crate) struct Shared {
    task: Waker,
    /// Woken since its last poll began.
    woken: AtomicBool,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// The wakers of one task.
#[derive(Default)]
pub(crate) struct CountedWaker(OnceLock<Arc<Shared>>);

impl CountedWaker {
    /// The waker for a poll that begins, in place of the runtime's.
    pub(crate) fn begin_poll(&self, task: &Waker) -> Waker {
        let shared = self.0.get_or_init(|| {
            Arc::new(Shared {
                task: task.clone(),
                woken: AtomicBool::new(false),
            })
        });
        shared.woken.store(false, Ordering::Release);
        Waker::from(Arc::clone(shared))
    }

    /// Whether nobody can wake the task, if it is not being polled at this moment.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.get().is_some_and(|shared| {
            Arc::strong_count(shared) == 1 && !shared.woken.load(Ordering::Acquire)
        })
    }
}
