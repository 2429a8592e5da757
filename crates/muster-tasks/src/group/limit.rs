//! A resizable bound on running tasks.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Limit {
    places: Arc<Semaphore>,
    size: Mutex<Size>,
}

struct Size {
    now: usize,
    /// Places that are in use and are to vanish when they come back.
    owed: usize,
}

/// A place under a limit; given back when dropped.
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    limit: Arc<Limit>,
}

impl Limit {
    pub(crate) fn new(size: usize) -> Self {
        let now = size.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(now)),
            size: Mutex::new(Size { now, owed: 0 }),
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.size.lock().now
    }

    pub(crate) fn resize(&self, to: usize) {
        let to = to.min(Semaphore::MAX_PERMITS);
        let mut size = self.size.lock();
        if to >= size.now {
            let grow = to - size.now;
            let paid = grow.min(size.owed);
            size.owed -= paid;
            self.places.add_permits(grow - paid);
        } else {
            let shrink = size.now - to;
            size.owed += shrink - self.places.forget_permits(shrink);
        }
        size.now = to;
    }

    /// Waits for a place, first come, first served.
    pub(crate) async fn place(self: Arc<Self>) -> Place {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        Place {
            permit,
            limit: self,
        }
    }

    /// Takes a place if one is free.
    pub(crate) fn try_place(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place {
            permit: Some(permit),
            limit: Arc::clone(self),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut size = self.limit.size.lock();
        if size.owed > 0
            && let Some(permit) = self.permit.take()
        {
            size.owed -= 1;
            permit.forget();
        }
    }
}
