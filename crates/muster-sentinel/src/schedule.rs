//! When checks are due: on a fixed grid, each instance with a phase of its own, so that they do not
//! all run at once.

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::FixedState;

/// The ticks of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval: Duration,
    phase: Duration,
}

/// No check waits longer than this for its first tick.
const LONGEST_START: Duration = Duration::from_secs(1);

impl Schedule {
    /// The grid of an instance: the same whenever and wherever it is made.
    pub(crate) fn new(id: &str, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        let hash = FixedState::with_seed(7).hash_one(id);
        let share = hash as f64 / u64::MAX as f64;
        let phase = interval.mul_f64(share.min(0.999_999));
        Self { interval, phase }
    }

    /// The first tick after `now`: within the first second, spread likewise.
    pub(crate) fn first(&self, now: Duration) -> Duration {
        if self.interval <= LONGEST_START {
            return self.next(now);
        }
        let share = self.phase.as_secs_f64() / self.interval.as_secs_f64();
        now + LONGEST_START.mul_f64(share)
    }

    /// The first tick after `now`.
    pub(crate) fn next(&self, now: Duration) -> Duration {
        let since = now.saturating_sub(self.phase);
        if now < self.phase {
            return self.phase;
        }
        let passed = since.as_nanos() / self.interval.as_nanos();
        self.phase + times(self.interval, passed + 1)
    }

    /// How many ticks lie after `from`, up to `to`.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> u64 {
        let to_tick = self.next(to);
        let from_tick = self.next(from);
        let span = to_tick.saturating_sub(from_tick);
        u64::try_from(span.as_nanos() / self.interval.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn times(interval: Duration, count: u128) -> Duration {
    let nanos = interval.as_nanos().saturating_mul(count);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phases_are_spread() {
        let interval = Duration::from_secs(1);
        let mut tenths = [0_u32; 10];
        for port in 0..1000 {
            let schedule = Schedule::new(&format!("redis:10.0.0.1:{port}"), interval);
            tenths[schedule.phase.as_millis() as usize / 100] += 1;
        }
        assert!(
            tenths.iter().all(|count| (50..=150).contains(count)),
            "{tenths:?}"
        );
    }

    proptest! {
        #[test]
        fn ticks_are_on_the_grid(id in "[a-z]{1,9}", interval in 1_u64..100_000, now in 0_u64..10_000_000) {
            let (interval, now) = (Duration::from_millis(interval), Duration::from_millis(now));
            let schedule = Schedule::new(&id, interval);
            let tick = schedule.next(now);
            prop_assert!(tick > now && tick - now <= interval.max(schedule.phase));
            prop_assert_eq!(schedule.next(tick), tick + interval);
            prop_assert_eq!(schedule.between(now, tick), 1);
            prop_assert_eq!(schedule.between(tick, tick + interval * 7), 7);
            let first = schedule.first(now);
            prop_assert!(first >= now && first - now <= LONGEST_START);
        }
    }
}
