//! A slow pulse that keeps a runtime's timers alive when a task blocks a worker thread.
//!
//! In tokio's multi-thread runtime one idle worker at a time waits for timers and sockets. A worker
//! that has just been woken by them and then runs a task that blocks leaves nobody in that place
//! while the other workers sleep: all timers of the runtime stand still, and with them every timeout
//! and every bounded stop. One task handed in from outside wakes another worker, which then takes the
//! place. So one thread hands an empty task to each runtime that has a root group, a few times a
//! second; it ends with the last root.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::group::GroupInner;

/// By how much timers can be late while a worker is blocked.
const PERIOD: Duration = Duration::from_millis(100);

struct Watched {
    roots: Vec<Weak<GroupInner>>,
    running: bool,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched {
    roots: Vec::new(),
    running: false,
});

/// Gives the runtime of a root a pulse, if it is of the kind that needs one.
pub(crate) fn watch(root: &Arc<GroupInner>) {
    let Some(runtime) = &root.runtime else { return };
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return;
    }
    let mut watched = WATCHED.lock();
    watched.roots.push(Arc::downgrade(root));
    if !watched.running {
        let thread = std::thread::Builder::new().name("muster-pulse".to_owned());
        match thread.spawn(beat) {
            Ok(_thread) => watched.running = true,
            Err(error) => tracing::warn!(%error, "no thread for the pulse of the runtime"),
        }
    }
}

fn beat() {
    loop {
        std::thread::sleep(PERIOD);
        let runtimes = {
            let mut watched = WATCHED.lock();
            watched.roots.retain(|root| root.strong_count() > 0);
            if watched.roots.is_empty() {
                watched.running = false;
                return;
            }
            let roots = watched.roots.iter().filter_map(Weak::upgrade);
            roots.collect::<Vec<_>>()
        };
        for runtime in runtimes.iter().filter_map(|root| root.runtime.as_ref()) {
            nudge(runtime);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an empty task that ends at once")]
fn nudge(runtime: &Handle) {
    drop(runtime.spawn(async {}));
}
