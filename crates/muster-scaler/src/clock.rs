//! The time by which the scaler decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_scaler_core::Time;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The wall clock may be off by so much before it counts as having jumped.
const JUMP: Duration = Duration::from_secs(2);

/// Tells the time: the wall clock's value at the start plus what has passed since on the boot clock,
/// so that it never jumps. (The boot clock is tokio's, which tests may pause, plus the time that the
/// machine was suspended.)
#[derive(Debug)]
pub struct Clock {
    start: Time,
    source: Source,
    wall: fn() -> Time,
    /// How far the wall clock was ahead of ours when that was last told, in milliseconds.
    ahead: Mutex<i64>,
}

/// A moment by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the scaler's own, which never jumps.
    pub time: Time,
    /// By the wall clock, as other programs tell the time. It may be far off the other after a jump.
    pub wall: Time,
}

impl Moment {
    /// The scaler's time of what happened at `wall` by the wall clock.
    pub fn ours(&self, wall: Time) -> Time {
        Time::from_millis(
            self.time
                .millis()
                .saturating_sub(self.wall.millis().saturating_sub(wall.millis())),
        )
    }
}

/// A moment at which both clocks say the same.
impl From<Time> for Moment {
    fn from(time: Time) -> Self {
        Self { time, wall: time }
    }
}

/// What tells how much time has passed.
#[derive(Debug)]
enum Source {
    Boot {
        origin: Instant,
        suspended: Duration,
    },
    /// Somebody else does, in milliseconds since 1970.
    #[cfg(any(test, feature = "testing"))]
    Given(std::sync::Arc<std::sync::atomic::AtomicI64>),
}

impl Source {
    fn boot() -> Self {
        Self::Boot {
            origin: Instant::now(),
            suspended: suspended(),
        }
    }
}

impl Clock {
    /// A clock that starts with the wall clock's value, or with `last` if that is later: what is on
    /// disk was never written in the future.
    pub fn start(last: Time) -> Self {
        Self::with_wall(last, wall)
    }

    /// The same with another wall clock, for tests.
    pub fn with_wall(last: Time, wall: fn() -> Time) -> Self {
        let now = wall();
        let start = now.max(last);
        Self {
            start,
            source: Source::boot(),
            wall,
            ahead: Mutex::new(now.millis() - start.millis()),
        }
    }

    /// A clock that shows what it is given, in milliseconds since 1970.
    #[cfg(any(test, feature = "testing"))]
    pub fn given(now: std::sync::Arc<std::sync::atomic::AtomicI64>) -> Self {
        Self {
            start: Time::default(),
            source: Source::Given(now),
            wall: Time::default,
            ahead: Mutex::default(),
        }
    }

    /// The present moment.
    pub fn moment(&self) -> Moment {
        #[cfg(any(test, feature = "testing"))]
        if let Source::Given(_) = self.source {
            return self.now().into();
        }
        Moment {
            time: self.now(),
            wall: (self.wall)(),
        }
    }

    /// The present time.
    pub fn now(&self) -> Time {
        match &self.source {
            Source::Boot {
                origin,
                suspended: before,
            } => {
                let slept = suspended().saturating_sub(*before);
                self.start + origin.elapsed() + slept
            }
            #[cfg(any(test, feature = "testing"))]
            Source::Given(now) => Time::from_millis(now.load(std::sync::atomic::Ordering::Relaxed)),
        }
    }

    /// By how many milliseconds the wall clock has jumped since this was last asked; `None` if it
    /// did not, but for what a clock that is being adjusted may be off. Nothing follows from a jump
    /// for the time that this clock tells.
    pub fn jumped(&self) -> Option<i64> {
        #[cfg(any(test, feature = "testing"))]
        if let Source::Given(_) = self.source {
            return None;
        }
        let ahead_now = (self.wall)().millis() - self.now().millis();
        let mut ahead = self.ahead.lock();
        let jump = ahead_now - *ahead;
        if jump.unsigned_abs() < JUMP.as_millis() as u64 {
            return None;
        }
        *ahead = ahead_now;
        Some(jump)
    }
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_millis(0) + since.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[muster_tasks::test(start_paused = true)]
    async fn a_jump_of_the_wall_clock_is_told_and_changes_nothing() {
        static WALL: AtomicI64 = AtomicI64::new(1_000_000);
        let clock = Clock::with_wall(Time::default(), || {
            Time::from_millis(WALL.load(Ordering::Relaxed))
        });
        let first = clock.now();
        assert_eq!(clock.jumped(), None);
        WALL.fetch_sub(3_600_000, Ordering::Relaxed);
        let jump = clock.jumped().unwrap();
        assert!((-3_600_100..=-3_599_900).contains(&jump), "{jump}");
        assert_eq!(clock.jumped(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let passed = clock.now().since(first);
        assert!(passed >= Duration::from_secs(1) && passed < Duration::from_secs(2));
    }

    #[muster_tasks::test]
    async fn a_start_before_the_last_entry_is_that_of_the_last_entry() {
        let clock = Clock::with_wall(Time::from_secs(500), || Time::from_secs(100));
        assert!(clock.now() >= Time::from_secs(500));
    }
}
