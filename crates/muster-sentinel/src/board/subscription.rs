//! Following the board without holding anything up.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a subscriber wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Changes that readers must know at once ([`Status::differs`](crate::Status::differs)), and
    /// instances that come and go.
    Changes,
    /// Every check too.
    EveryCheck,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) interest: Interest,
    dirty: Mutex<HashSet<Arc<str>>>,
    news: Notify,
}

impl Listener {
    pub(super) fn new(interest: Interest) -> Self {
        Self {
            interest,
            dirty: Mutex::default(),
            news: Notify::new(),
        }
    }

    pub(super) fn mark(&self, ids: impl IntoIterator<Item = Arc<str>>) {
        self.dirty.lock().extend(ids);
        self.news.notify_one();
    }
}

/// Which instances have changed since they were asked for last: each is named once, however often
/// it has changed. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription(Arc<Listener>);

impl Subscription {
    pub(super) fn new(listener: Arc<Listener>) -> Self {
        Self(listener)
    }

    /// What it hears of.
    pub fn interest(&self) -> Interest {
        self.0.interest
    }

    /// The IDs of all instances that have changed, come or gone since the last call; waits for one.
    /// What is not on the board any more has gone.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not given stays.
    pub async fn changed(&self) -> Vec<Arc<str>> {
        loop {
            let ids = self.take();
            if !ids.is_empty() {
                return ids;
            }
            self.0.news.notified().await;
        }
    }

    /// As [`changed`](Self::changed), without waiting.
    pub fn take(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.0.dirty.lock())
            .into_iter()
            .collect()
    }

    /// Marks instances as changed, to be given again: those that could not be told of.
    pub fn mark(&self, ids: impl IntoIterator<Item = Arc<str>>) {
        self.0.mark(ids);
    }
}
