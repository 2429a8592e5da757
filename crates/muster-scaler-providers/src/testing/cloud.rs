//! What all doubles have in common: servers in memory, and faults to come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_scaler_core::Time;
use muster_scaler_core::provider::{ListedServer, Phase};
use parking_lot::Mutex;

use super::Fault;
use crate::clock;

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) phase: Phase,
    pub(super) created: Time,
    /// So many listings do not show it yet.
    pub(super) hidden: u32,
    /// What it becomes when it is looked at next.
    next: Option<Phase>,
}

/// The faults to come.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Adds one.
    pub fn add(&self, fault: Fault) {
        self.0.lock().push(fault);
    }

    /// Takes all of them back.
    pub fn calm(&self) {
        self.0.lock().clear();
    }

    /// Whether this fault is to happen now; it is used up.
    pub fn take(&self, fault: Fault) -> bool {
        let mut faults = self.0.lock();
        let at = faults.iter().position(|one| *one == fault);
        at.is_some_and(|at| {
            faults.remove(at);
            true
        })
    }
}

/// The servers and the faults of a double.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) faults: Faults,
    machines: Mutex<Vec<Machine>>,
    made: AtomicUsize,
}

impl Cloud {
    /// A number that was not given out before.
    pub(super) fn number(&self) -> usize {
        self.made.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a server. With [`Fault::ShownLate`] and [`Fault::BuildFails`], if they are to happen.
    pub(super) fn create(&self, id: String, name: &str, labels: BTreeMap<String, String>) {
        let next = match self.faults.take(Fault::BuildFails) {
            true => Phase::Error("no valid host was found".to_owned()),
            false => Phase::Active,
        };
        let hidden = if self.faults.take(Fault::ShownLate) {
            2
        } else {
            0
        };
        self.machines.lock().push(Machine {
            id,
            name: name.to_owned(),
            labels,
            phase: Phase::Building,
            created: clock::now(),
            hidden,
            next: Some(next),
        });
    }

    /// Makes a server that waits to be started.
    pub(super) fn create_waiting(&self, id: String, name: &str, labels: BTreeMap<String, String>) {
        self.machines.lock().push(Machine {
            id,
            name: name.to_owned(),
            labels,
            phase: Phase::Building,
            created: clock::now(),
            hidden: 0,
            next: None,
        });
    }

    /// Starts a server that waits.
    pub(super) fn start(&self, id: &str) {
        let mut machines = self.machines.lock();
        let machine = machines.iter_mut().find(|machine| machine.id == id);
        if let Some(machine) = machine {
            machine.phase = Phase::Active;
        }
    }

    /// All servers, as they are.
    pub(super) fn all(&self) -> Vec<Machine> {
        self.machines.lock().clone()
    }

    /// All servers, for people who look behind the scenes.
    pub(super) fn listed(&self) -> Vec<ListedServer> {
        let shown = |machine: Machine| ListedServer {
            id: machine.id,
            name: machine.name,
            labels: machine.labels,
            phase: machine.phase,
            address: None,
            created: Some(machine.created),
        };
        self.all().into_iter().map(shown).collect()
    }

    /// The servers that a listing shows. Afterwards time has passed for all.
    pub(super) fn list(&self) -> Vec<Machine> {
        let mut machines = self.machines.lock();
        let shown = machines.iter().filter(|machine| machine.hidden == 0);
        let shown = shown.cloned().collect();
        machines
            .iter_mut()
            .for_each(|machine| machine.hidden = machine.hidden.saturating_sub(1));
        machines.retain_mut(Machine::goes_on);
        shown
    }

    /// One server. Afterwards time has passed for it.
    pub(super) fn get(&self, id: &str) -> Option<Machine> {
        let mut machines = self.machines.lock();
        let shown = machines.iter().find(|machine| machine.id == id).cloned();
        machines.retain_mut(|machine| machine.id != id || machine.goes_on());
        shown
    }

    /// Begins to delete a server: it is gone when it was looked at once more. False if there is none.
    pub(super) fn delete(&self, id: &str) -> bool {
        let mut machines = self.machines.lock();
        let machine = machines.iter_mut().find(|machine| machine.id == id);
        machine.is_some_and(|machine| {
            (machine.phase, machine.next) = (Phase::Deleting, None);
            true
        })
    }

    /// Deletes a server at once. False if there is none.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut machines = self.machines.lock();
        let before = machines.len();
        machines.retain(|machine| machine.id != id);
        machines.len() < before
    }
}

impl Machine {
    /// Time passes; false if it is gone then.
    fn goes_on(&mut self) -> bool {
        if let Some(next) = self.next.take() {
            self.phase = next;
            return true;
        }
        self.phase != Phase::Deleting
    }
}
