//! When a periodic component is due: aligned or not, with jitter and offset.
//!
//! Pure: the clock is handed in. The rules are Telegraf's (aligned ticks are multiples of the
//! interval counted from the year 1, so that 7-day intervals fall on Mondays; the first tick is
//! the first multiple at or after the start plus a hundredth of the interval; jitter is drawn anew
//! for each tick and never adds up; missed ticks are skipped, not made up for).

use std::time::Duration;

use muster_metric::Timestamp;

/// Seconds from 0001-01-01 to 1970-01-01, from which aligned ticks are counted.
const YEAR_ONE: i128 = 62_135_596_800_000_000_000;

/// How often, and how placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Time between ticks; at least a millisecond.
    interval: Duration,
    /// A random delay up to this is added to each tick.
    jitter: Duration,
    /// A constant delay of each tick.
    offset: Duration,
    /// Whether ticks fall on multiples of the interval.
    aligned: bool,
    /// What ticks that are not aligned are counted from.
    start: Timestamp,
}

impl Schedule {
    /// The schedule of a component that starts at `start`. Intervals under a millisecond count as
    /// one.
    pub(crate) fn new(
        start: Timestamp,
        interval: Duration,
        jitter: Duration,
        offset: Duration,
        aligned: bool,
    ) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(1)),
            jitter,
            offset,
            aligned,
            start,
        }
    }

    /// The first tick.
    pub(crate) fn first(&self) -> Timestamp {
        if !self.aligned {
            return self.start.saturating_add(self.offset);
        }
        let soonest = self.start.saturating_add(self.interval / 100);
        self.multiple_at_or_after(soonest)
            .saturating_add(self.offset)
    }

    /// The first tick after `now`.
    pub(crate) fn after(&self, now: Timestamp) -> Timestamp {
        let now = now.saturating_sub(self.offset);
        let next = if self.aligned {
            self.multiple_at_or_after(Timestamp::from_nanos(now.nanos().saturating_add(1)))
        } else {
            let interval = self.interval.as_nanos() as i128;
            let since = i128::from(now.nanos()) - i128::from(self.start.nanos());
            let passed = since.div_euclid(interval) + 1;
            clamp(i128::from(self.start.nanos()) + passed.max(0) * interval)
        };
        next.saturating_add(self.offset)
    }

    /// How many ticks lie after `from` and not after `to`.
    pub(crate) fn ticks_between(&self, from: Timestamp, to: Timestamp) -> u64 {
        if to <= from {
            return 0;
        }
        let interval = self.interval.as_nanos() as i128;
        let first = i128::from(self.after(from).nanos());
        let last = i128::from(to.nanos());
        if last < first {
            0
        } else {
            u64::try_from((last - first) / interval + 1).unwrap_or(u64::MAX)
        }
    }

    /// The delay of one tick by jitter; `random` is uniform in `0..=u32::MAX`.
    pub(crate) fn jitter(&self, random: u32) -> Duration {
        self.jitter.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    fn multiple_at_or_after(&self, time: Timestamp) -> Timestamp {
        let interval = self.interval.as_nanos() as i128;
        let since = i128::from(time.nanos()) + YEAR_ONE;
        let up = (since + interval - 1).div_euclid(interval) * interval;
        clamp(up - YEAR_ONE)
    }
}

fn clamp(nanos: i128) -> Timestamp {
    let nanos = nanos.clamp(i128::from(i64::MIN) + 1, i128::from(i64::MAX));
    Timestamp::from_nanos(nanos as i64)
}

/// A small generator for jitter (xorshift): no security, no dependency, cheap to hold by the
/// thousand.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by a name and the time, so that components differ from each other and between runs.
    pub(crate) fn seeded(name: &str) -> Self {
        let mut seed = Timestamp::now().nanos().unsigned_abs() | 1;
        for byte in name.bytes() {
            seed = (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(seed | 1)
    }

    /// The next number, uniform.
    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn aligned_ticks_are_multiples() {
        let schedule = Schedule::new(
            at(1_700_000_003_250),
            SECOND * 10,
            SECOND,
            Duration::ZERO,
            true,
        );
        assert_eq!(schedule.first(), at(1_700_000_010_000));
        assert_eq!(schedule.after(at(1_700_000_010_000)), at(1_700_000_020_000));
        assert_eq!(schedule.after(at(1_700_000_029_999)), at(1_700_000_030_000));
    }

    #[test]
    fn a_start_just_before_a_multiple_waits_for_the_next() {
        // A hundredth of the interval must lie between the start and the first tick.
        let schedule = Schedule::new(at(9_950), SECOND * 10, SECOND, Duration::ZERO, true);
        assert_eq!(schedule.first(), at(20_000));
        let schedule = Schedule::new(at(9_900), SECOND * 10, SECOND, Duration::ZERO, true);
        assert_eq!(schedule.first(), at(10_000));
    }

    #[test]
    fn seven_day_intervals_fall_on_mondays() {
        let week = SECOND * 7 * 86_400;
        // 2023-11-14 was a Tuesday; the next Monday is 2023-11-20 00:00 UTC.
        let schedule = Schedule::new(at(1_699_920_000_000), week, SECOND, Duration::ZERO, true);
        assert_eq!(schedule.first(), at(1_700_438_400_000));
    }

    #[test]
    fn offset_shifts_every_tick() {
        let schedule = Schedule::new(at(500), SECOND, Duration::ZERO, SECOND / 4, true);
        assert_eq!(schedule.first(), at(1_250));
        assert_eq!(schedule.after(at(1_250)), at(2_250));
        assert_eq!(schedule.after(at(1_249)), at(1_250));
    }

    #[test]
    fn unaligned_ticks_count_from_the_start() {
        let schedule = Schedule::new(at(500), SECOND, Duration::ZERO, Duration::ZERO, false);
        assert_eq!(schedule.first(), at(500));
        assert_eq!(schedule.after(at(500)), at(1_500));
        assert_eq!(schedule.after(at(3_700)), at(4_500));
    }

    proptest! {
        #[test]
        fn the_next_tick_is_later_by_at_most_an_interval(
            start in 0i64..4_000_000_000_000_000_000,
            now in 0i64..4_000_000_000_000_000_000,
            interval in 1u64..1_000_000_000,
            offset in 0u64..1_000_000,
            aligned: bool,
        ) {
            let interval = Duration::from_millis(interval);
            let offset = Duration::from_millis(offset);
            let (start, now) = (Timestamp::from_nanos(start), Timestamp::from_nanos(now));
            let schedule = Schedule::new(start, interval, Duration::ZERO, offset, aligned);
            let next = schedule.after(now);
            prop_assert!(next > now);
            if aligned || now.nanos() >= start.nanos() + offset.as_nanos() as i64 {
                prop_assert!(next <= now.saturating_add(interval));
            }
            prop_assert_eq!(schedule.ticks_between(now, next), 1);
        }
    }
}
