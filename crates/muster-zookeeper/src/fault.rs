//! Faults on request. Feature `testing`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client is taken for broken.
    Poison,
    /// A panic in an operation.
    PanicInOperation,
    /// A panic when the next event comes.
    PanicInWatch,
    /// A panic in the next attempt to connect; the present connection is thrown away.
    PanicInConnect,
    /// The client's thread stands still this long.
    Hang(Duration),
}

/// Faults that wait for their moment.
#[derive(Default)]
pub(crate) struct Armed {
    pub(crate) connect: AtomicBool,
    pub(crate) watch: AtomicBool,
}

impl Armed {
    pub(crate) fn connecting(&self) {
        fire(&self.connect);
    }

    pub(crate) fn watching(&self) {
        fire(&self.watch);
    }
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn fire(armed: &AtomicBool) {
    if armed.swap(false, Ordering::Relaxed) {
        panic!("a fault on request");
    }
}
