//! What all checks know: one board for an agent.
//!
//! A check task writes to its slot and goes on; whoever tells others (a publisher, the API) reads the
//! board at its own pace. So the memory grows with the number of instances, never with time, however
//! slow a reader is.

mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

pub use subscription::{Interest, Subscription};

use crate::clock::{Clock, Moment};
use crate::machine::{Machine, Thresholds};
use crate::status::{Answer, Instance, Status, Transition};
use subscription::Listener;

/// So many transitions of each instance are kept.
const MOST_TRANSITIONS: usize = 100;

/// Nothing is expected of an instance that nobody checks.
const NEVER: u64 = u64::MAX;

/// What all checks of an agent know. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    clock: Clock,
    slots: RwLock<BTreeMap<Arc<str>, Place>>,
    listeners: RwLock<Vec<Weak<Listener>>>,
    opened: AtomicU64,
    instances: AtomicUsize,
    failing: AtomicUsize,
    #[cfg(feature = "testing")]
    faults: crate::testing::Faults,
}

/// A slot, told apart from others that had the same ID.
#[derive(Debug)]
struct Place {
    number: u64,
    slot: Weak<Slot>,
}

/// The instance is checked already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id} is checked already")]
pub struct Taken {
    /// The instance's ID.
    pub id: Arc<str>,
}

impl Board {
    /// The clock by which all checks go.
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Opens the slot of an instance. It is on the board until the last holder drops it.
    ///
    /// # Errors
    /// [`Taken`] if the instance has a slot: each is checked once.
    pub fn open(
        &self,
        instance: Instance,
        thresholds: Arc<Thresholds>,
    ) -> Result<Arc<Slot>, Taken> {
        let id = instance.id();
        let mut slots = self.0.slots.write();
        if slots
            .get(&id)
            .is_some_and(|place| place.slot.strong_count() > 0)
        {
            return Err(Taken { id });
        }
        let number = self.0.opened.fetch_add(1, Relaxed);
        let slot = Arc::new(Slot {
            id: Arc::clone(&id),
            number,
            instance: Mutex::new(Arc::new(instance)),
            component: Mutex::default(),
            origin: Mutex::default(),
            expected: AtomicU64::new(NEVER),
            record: Mutex::new(Record {
                machine: Machine::new(thresholds, self.0.clock.now()),
                transitions: VecDeque::new(),
            }),
            board: Arc::clone(&self.0),
        });
        let place = Place {
            number,
            slot: Arc::downgrade(&slot),
        };
        slots.insert(Arc::clone(&id), place);
        self.0.instances.fetch_add(1, Relaxed);
        drop(slots);
        self.0.tell(&id, true);
        Ok(slot)
    }

    /// Panics on request.
    #[cfg(feature = "testing")]
    pub fn faults(&self) -> &crate::testing::Faults {
        &self.0.faults
    }

    /// The slot of an instance.
    pub fn get(&self, id: &str) -> Option<Arc<Slot>> {
        self.0.slots.read().get(id)?.slot.upgrade()
    }

    /// All slots, sorted by ID.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        // All are handed out before any is dropped: the last holder of one takes this lock.
        let slots = self.0.slots.read();
        slots
            .values()
            .filter_map(|place| place.slot.upgrade())
            .collect()
    }

    /// How many instances are checked.
    pub fn len(&self) -> usize {
        self.0.instances.load(Relaxed)
    }

    /// Whether nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the last checks of more than half of all instances failed.
    pub fn is_mostly_failing(&self) -> bool {
        self.0.failing.load(Relaxed) * 2 > self.len()
    }

    /// The IDs of instances whose check stands still: three intervals (at least 3 s) after it was due
    /// it has not come to its end. A check that waits after a panic is not due, and an instance that
    /// nobody checks has no check. After the machine was suspended, all stand still for a moment.
    pub fn standing_still(&self) -> Vec<Arc<str>> {
        let now = micros(self.0.clock.now().steady);
        let mut slots = self.slots();
        slots.retain(|slot| slot.expected.load(Relaxed) < now);
        slots.iter().map(|slot| Arc::clone(&slot.id)).collect()
    }

    /// Follows what happens on the board. What is on it already counts as changed.
    pub fn subscribe(&self, interest: Interest) -> Subscription {
        let listener = Arc::new(Listener::new(interest));
        {
            let mut listeners = self.0.listeners.write();
            listeners.retain(|listener| listener.strong_count() > 0);
            listeners.push(Arc::downgrade(&listener));
        }
        let ids: Vec<Arc<str>> = self.0.slots.read().keys().cloned().collect();
        listener.mark(ids);
        Subscription::new(listener)
    }
}

impl Inner {
    fn tell(&self, id: &Arc<str>, changed: bool) {
        for listener in self.listeners.read().iter() {
            if let Some(listener) = listener.upgrade()
                && (changed || listener.interest == Interest::EveryCheck)
            {
                listener.mark([Arc::clone(id)]);
            }
        }
    }
}

/// What is known of one instance. Its check writes to it; everybody may read.
#[derive(Debug)]
pub struct Slot {
    id: Arc<str>,
    number: u64,
    instance: Mutex<Arc<Instance>>,
    component: Mutex<Arc<str>>,
    /// What has found it, if anything has; in the words of the configuration.
    origin: Mutex<Arc<str>>,
    /// When its check must have come to its end, in microseconds of the board's clock.
    expected: AtomicU64,
    record: Mutex<Record>,
    board: Arc<Inner>,
}

#[derive(Debug)]
struct Record {
    machine: Machine,
    transitions: VecDeque<Transition>,
}

impl Slot {
    /// The instance's ID.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The instance.
    pub fn instance(&self) -> Arc<Instance> {
        Arc::clone(&self.instance.lock())
    }

    /// Says to which cluster it belongs from now on; what is known stays.
    pub fn set_cluster(&self, cluster: &str) {
        let mut instance = self.instance.lock();
        if instance.cluster == cluster {
            return;
        }
        *instance = Arc::new(Instance {
            cluster: cluster.to_owned(),
            ..(**instance).clone()
        });
        drop(instance);
        self.board.tell(&self.id, true);
    }

    /// The ID of the component that checks it.
    pub fn component(&self) -> Arc<str> {
        Arc::clone(&self.component.lock())
    }

    /// Says which component checks it from now on.
    pub fn set_component(&self, id: &Arc<str>) {
        *self.component.lock() = Arc::clone(id);
    }

    /// What has found it; empty if nothing has.
    pub(crate) fn origin(&self) -> Arc<str> {
        Arc::clone(&self.origin.lock())
    }

    /// Says what has found it.
    pub(crate) fn set_origin(&self, origin: &Arc<str>) {
        *self.origin.lock() = Arc::clone(origin);
    }

    /// What is known of it. A copy, made under a short lock.
    pub fn status(&self) -> Status {
        self.record.lock().machine.status().clone()
    }

    /// The last transitions, oldest first; at most 100.
    pub fn transitions(&self) -> Vec<Transition> {
        self.record.lock().transitions.iter().cloned().collect()
    }

    /// Goes on with other thresholds; what is known stays.
    pub fn set_thresholds(&self, thresholds: Arc<Thresholds>) {
        self.record.lock().machine.set_thresholds(thresholds);
    }

    /// Says until when its check must have come to its end, by the board's clock; `None` when nobody
    /// checks it any more.
    pub fn expect_until(&self, steady: Option<Duration>) {
        self.expected.store(steady.map_or(NEVER, micros), Relaxed);
    }

    /// Takes the result of a check that ended at `at`; see [`Machine::observe`]. Never waits for a
    /// reader.
    pub fn observe(&self, at: Moment, answer: Answer, late: Duration) -> Option<Transition> {
        let mut record = self.record.lock();
        let before = record.machine.status().clone();
        let transition = record.machine.observe(at, answer, late);
        let after = record.machine.status();
        let changed = after.differs(&before);
        let failing = (before.fails > 0, after.fails > 0);
        if let Some(transition) = &transition {
            if record.transitions.len() >= MOST_TRANSITIONS {
                record.transitions.pop_front();
            }
            record.transitions.push_back(transition.clone());
        }
        // Within the lock, so that the count is never taken back before it was made.
        match failing {
            (false, true) => _ = self.board.failing.fetch_add(1, Relaxed),
            (true, false) => _ = self.board.failing.fetch_sub(1, Relaxed),
            _ => {}
        }
        drop(record);
        self.board.tell(&self.id, changed);
        transition
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.board.slots.write();
        // A successor may have the place already.
        if slots
            .get(&self.id)
            .is_some_and(|place| place.number == self.number)
        {
            slots.remove(&self.id);
        }
        drop(slots);
        self.board.instances.fetch_sub(1, Relaxed);
        if self.record.get_mut().machine.status().fails > 0 {
            self.board.failing.fetch_sub(1, Relaxed);
        }
        self.board.tell(&self.id, true);
    }
}

fn micros(steady: Duration) -> u64 {
    u64::try_from(steady.as_micros()).unwrap_or(NEVER)
}
