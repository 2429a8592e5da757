//! Noticing that the machine itself stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;

/// A time in which a thread that only sleeps did not get to run: the whole machine stood still. In nanoseconds
/// since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    from: i64,
    to: i64,
}

impl Stall {
    /// Whether it lies within this time, at least in part.
    pub fn touches(&self, from: i64, to: i64) -> bool {
        self.to > from && self.from < to
    }

    /// How long it lasted.
    pub fn length(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.to - self.from).unwrap_or_default())
    }
}

/// Notes when the machine stands still.
#[derive(Debug)]
pub struct Stalls {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Stall>>>,
    thread: JoinHandle<()>,
}

/// A sleep of 20 ms that takes longer than this is a stall.
const STALL: i64 = 250_000_000;

impl Stalls {
    /// Begins to watch.
    pub fn watch() -> Self {
        let over = Arc::<AtomicBool>::default();
        let seen = Arc::<Mutex<Vec<Stall>>>::default();
        let (end, stalls) = (Arc::clone(&over), Arc::clone(&seen));
        #[expect(
            clippy::disallowed_methods,
            reason = "a task would stand still with the runtime"
        )]
        let thread = std::thread::spawn(move || {
            let mut from = Self::now();
            while !end.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
                let to = Self::now();
                if to - from > STALL {
                    stalls.lock().push(Stall { from, to });
                }
                from = to;
            }
        });
        Self { over, seen, thread }
    }

    /// The time by which stalls are noted: nanoseconds since 1970.
    ///
    /// # Panics
    /// If the clock stands before 1970.
    pub fn now() -> i64 {
        let since = UNIX_EPOCH.elapsed().expect("a time after 1970");
        i64::try_from(since.as_nanos()).expect("a time before 2262")
    }

    /// All stalls so far.
    pub fn so_far(&self) -> Vec<Stall> {
        self.seen.lock().clone()
    }

    /// All stalls since the beginning.
    ///
    /// # Panics
    /// If its thread did.
    pub fn end(self) -> Vec<Stall> {
        self.over.store(true, Relaxed);
        self.thread.join().expect("the thread that sleeps");
        let stalls = std::mem::take(&mut *self.seen.lock());
        if !stalls.is_empty() {
            #[expect(
                clippy::print_stderr,
                reason = "whoever reads a failed test wants to know"
            )]
            {
                eprintln!("the machine stood still {} times: {stalls:?}", stalls.len());
            }
        }
        stalls
    }
}
