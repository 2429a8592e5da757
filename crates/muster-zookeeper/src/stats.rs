//! Counters of a session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::ErrorKind;
use crate::error::CODES;

/// What a session has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions that were opened.
    pub sessions: u64,
    /// Connections, of new sessions and of old ones.
    pub connections: u64,
    /// Runtimes of the client that were thrown away because of a sign that the client is broken.
    pub rebuilds: u64,
    /// Of these, how many because of a panic.
    pub panics: u64,
    /// Of these, how many because their thread stood still.
    pub hung: u64,
    /// Rounds in which no server took us.
    pub unreachable: u64,
    /// Operations that were asked for.
    pub operations: u64,
    /// Operations that failed, by code; see [`ErrorKind::code`]. Only codes that were seen.
    pub errors: BTreeMap<&'static str, u64>,
    /// Operations that somebody waits for.
    pub pending: usize,
    /// The age of the oldest of them.
    pub oldest_pending: Option<Duration>,
    /// Why the last runtime was thrown away, or no server took us.
    pub last_trouble: Option<String>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sessions: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) rebuilds: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) hung: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    operations: AtomicU64,
    errors: [AtomicU64; CODES.len()],
    /// When each operation that somebody waits for began, by its number: the first is the oldest.
    pending: Mutex<BTreeMap<u64, Instant>>,
    last_trouble: Mutex<Option<String>>,
}

/// An operation that somebody waits for.
pub(crate) struct Pending {
    counters: Arc<Counters>,
    number: u64,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.counters.pending.lock().remove(&self.number);
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn begin(self: &Arc<Self>) -> Pending {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        self.pending.lock().insert(number, Instant::now());
        Pending {
            counters: Arc::clone(self),
            number,
        }
    }

    pub(crate) fn failed(&self, kind: &ErrorKind) {
        count(&self.errors[kind.number()]);
    }

    pub(crate) fn trouble(&self, why: String) {
        *self.last_trouble.lock() = Some(why);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (pending, oldest) = {
            let pending = self.pending.lock();
            let oldest = pending.first_key_value().map(|(_, at)| at.elapsed());
            (pending.len(), oldest)
        };
        let seen = CODES.into_iter().zip(self.errors.iter().map(read));
        Stats {
            sessions: read(&self.sessions),
            connections: read(&self.connections),
            rebuilds: read(&self.rebuilds),
            panics: read(&self.panics),
            hung: read(&self.hung),
            unreachable: read(&self.unreachable),
            operations: read(&self.operations),
            errors: seen.filter(|(_, n)| *n > 0).collect(),
            pending,
            oldest_pending: oldest,
            last_trouble: self.last_trouble.lock().clone(),
        }
    }
}
