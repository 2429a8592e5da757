//! Timestamps in nanoseconds, and rounding to a precision.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01 00:00:00 UTC, from the year 1677 to the year 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Marks "no time" in a row; never a legal timestamp.
    pub(crate) const NONE: i64 = i64::MIN;

    /// A timestamp from nanoseconds. `i64::MIN` is taken as one nanosecond later.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(if nanos == Self::NONE {
            nanos + 1
        } else {
            nanos
        })
    }

    /// A timestamp from whole seconds; saturates at the ends of the range.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_nanos(seconds.saturating_mul(1_000_000_000))
    }

    /// The wall clock's time.
    pub fn now() -> Self {
        Self::from_system_time(SystemTime::now())
    }

    /// A timestamp from the system's type; saturates at the ends of the range.
    pub fn from_system_time(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::from_nanos(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => {
                let nanos = i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX);
                Self::from_nanos(-nanos)
            }
        }
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// This time as the system's type.
    pub fn to_system_time(self) -> SystemTime {
        let nanos = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 >= 0 {
            UNIX_EPOCH + nanos
        } else {
            UNIX_EPOCH - nanos
        }
    }

    /// This time later by `by`; saturates.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        Self::from_nanos(self.0.saturating_add(by))
    }

    /// This time earlier by `by`; saturates.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        Self::from_nanos(self.0.saturating_sub(by))
    }

    /// This time rounded to the nearest multiple of `precision`, halves up: a metric may thereby
    /// land up to half a step in the future, as in Telegraf.
    #[must_use]
    pub fn round(self, precision: Precision) -> Self {
        let step = precision.nanos();
        if step <= 1 {
            return self;
        }
        let past = self.0.rem_euclid(step);
        let floor = self.0 - past;
        let rounded = if past * 2 >= step {
            floor.saturating_add(step)
        } else {
            floor
        };
        Self::from_nanos(rounded)
    }
}

/// The step to which timestamps are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precision(i64);

impl Precision {
    /// One nanosecond: no rounding.
    pub const NANOSECOND: Self = Self(1);
    /// One microsecond.
    pub const MICROSECOND: Self = Self(1_000);
    /// One millisecond.
    pub const MILLISECOND: Self = Self(1_000_000);
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);

    /// Any step; zero counts as one nanosecond.
    pub fn from_duration(step: Duration) -> Self {
        Self(
            i64::try_from(step.as_nanos())
                .unwrap_or(i64::MAX / 4)
                .clamp(1, i64::MAX / 4),
        )
    }

    /// The precision that goes with a collection interval when none is configured: a second for
    /// intervals of a second or more, then millisecond, microsecond, nanosecond.
    pub fn for_interval(interval: Duration) -> Self {
        if interval >= Duration::from_secs(1) {
            Self::SECOND
        } else if interval >= Duration::from_millis(1) {
            Self::MILLISECOND
        } else if interval >= Duration::from_micros(1) {
            Self::MICROSECOND
        } else {
            Self::NANOSECOND
        }
    }

    /// The step in nanoseconds, at least one.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_nearest_step_with_halves_up() {
        let check = |nanos, want| {
            let got = Timestamp::from_nanos(nanos)
                .round(Precision::SECOND)
                .nanos();
            assert_eq!(got, want, "{nanos}");
        };
        check(1_499_999_999, 1_000_000_000);
        check(1_500_000_000, 2_000_000_000);
        check(-1_400_000_000, -1_000_000_000);
        check(-1_500_000_000, -1_000_000_000);
        check(0, 0);
    }

    #[test]
    fn system_time_round_trips() {
        for nanos in [0, 1, -1, 1_700_000_000_123_456_789, -5_000_000_000] {
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(Timestamp::from_system_time(time.to_system_time()), time);
        }
    }
}
