//! The time that checks go by.

use std::time::Duration;

use muster_metric::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since the clock was made, which goes on while the machine sleeps and is never set.
    pub steady: Duration,
    /// What the wall clock shows, for readers only.
    pub wall: Timestamp,
}

/// Tells the time. tokio's clock (so that a test may pause it) plus the time that the machine was
/// suspended, which that clock leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    suspended: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            suspended: suspended(),
        }
    }
}

impl Clock {
    /// The present moment. Three clock reads, about 150 ns.
    pub fn now(&self) -> Moment {
        let slept = suspended().saturating_sub(self.suspended);
        Moment {
            steady: self.origin.elapsed() + slept,
            wall: Timestamp::now(),
        }
    }

    /// When tokio's clock will show this steady time, if the machine does not sleep before.
    pub fn instant(&self, steady: Duration) -> Instant {
        let now = self.now();
        Instant::now() + steady.saturating_sub(now.steady)
    }
}

/// How long the machine has been suspended since its start, to the microsecond or so.
fn suspended() -> Duration {
    let read = |id| {
        let time = clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    };
    // Read in this order, the difference is never too large.
    let boot = read(ClockId::Boottime);
    boot.saturating_sub(read(ClockId::Monotonic))
}
