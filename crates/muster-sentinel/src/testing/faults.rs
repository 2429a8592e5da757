//! Panics on request, at places that they could come from.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use muster_zookeeper::Session;
use parking_lot::Mutex;

/// A place in a publisher where a panic can be ordered. A check panics with its probe, which is the test's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A publisher's work.
    Publish,
    /// A publisher, after it has written and before it has taken note of it.
    Written,
    /// The document of one instance.
    Document,
}

/// Panics that were ordered, and the publisher's session. One for each [`Board`](crate::Board).
#[derive(Debug, Default)]
pub struct Faults {
    ordered: [AtomicU32; 3],
    good_rounds: AtomicU64,
    session: Mutex<Option<Session>>,
}

impl Faults {
    /// Orders one more panic there.
    pub fn order(&self, point: Point) {
        self.ordered[point as usize].fetch_add(1, Relaxed);
    }

    /// How many were ordered and have not happened.
    pub fn waiting(&self, point: Point) -> u32 {
        self.ordered[point as usize].load(Relaxed)
    }

    /// How many rounds of publishers went well.
    pub fn good_rounds(&self) -> u64 {
        self.good_rounds.load(Relaxed)
    }

    pub(crate) fn went_well(&self) {
        self.good_rounds.fetch_add(1, Relaxed);
    }

    /// The session of the publisher to ZooKeeper, if one runs.
    pub fn session(&self) -> Option<Session> {
        self.session.lock().clone()
    }

    pub(crate) fn set_session(&self, session: Option<Session>) {
        *self.session.lock() = session;
    }

    /// Panics if that was ordered.
    #[expect(clippy::panic, reason = "this is what it is for")]
    pub(crate) fn reach(&self, point: Point) {
        let one_less = |ordered: u32| ordered.checked_sub(1);
        let ordered = &self.ordered[point as usize];
        if ordered.fetch_update(Relaxed, Relaxed, one_less).is_ok() {
            panic!("a fault on request: {point:?}");
        }
    }
}
