//! An aggregator's window: which metrics belong to it, and when it ends. Pure.

use std::time::Duration;

use muster_metric::Timestamp;

/// The current window of an aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    start: Timestamp,
    end: Timestamp,
    period: Duration,
    delay: Duration,
    grace: Duration,
    aligned: bool,
}

impl Window {
    /// The window that is open at `now`: aligned to multiples of the period, or from `now` on.
    /// Periods under a millisecond count as one.
    pub(crate) fn open(
        now: Timestamp,
        period: Duration,
        delay: Duration,
        grace: Duration,
        aligned: bool,
    ) -> Self {
        let period = period.max(Duration::from_millis(1));
        let mut window = Self {
            start: now,
            end: now,
            period,
            delay,
            grace,
            aligned,
        };
        window.reopen(now);
        window
    }

    /// When the window is pushed.
    pub(crate) fn end(&self) -> Timestamp {
        self.end
    }

    /// Whether a metric of that time belongs to the window: not earlier than its start less the
    /// grace, not later than its end plus the delay.
    pub(crate) fn accepts(&self, time: Timestamp) -> bool {
        time >= self.start.saturating_sub(self.grace) && time <= self.end.saturating_add(self.delay)
    }

    /// Goes on to the next window, or, if the clock has left that one too, to the one at `now`.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.start = self.end;
        self.end = self.start.saturating_add(self.period);
        let left_behind = self.end <= now;
        let jumped_back = now.saturating_add(self.period) < self.start;
        if left_behind || jumped_back {
            self.reopen(now);
        }
    }

    fn reopen(&mut self, now: Timestamp) {
        let period = i64::try_from(self.period.as_nanos()).unwrap_or(i64::MAX);
        let start = if self.aligned {
            now.nanos() - now.nanos().rem_euclid(period)
        } else {
            now.nanos()
        };
        self.start = Timestamp::from_nanos(start);
        self.end = self.start.saturating_add(self.period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn window(now: i64, aligned: bool) -> Window {
        let (delay, grace) = (Duration::from_secs(2), Duration::from_secs(5));
        Window::open(at(now), Duration::from_secs(30), delay, grace, aligned)
    }

    #[test]
    fn accepts_from_grace_before_to_delay_after() {
        let window = window(100, true);
        assert_eq!(window.end(), at(120));
        for (time, want) in [
            (84, false),
            (85, true),
            (120, true),
            (122, true),
            (123, false),
        ] {
            assert_eq!(window.accepts(at(time)), want, "{time}");
        }
    }

    #[test]
    fn advances_and_follows_a_clock_that_jumps() {
        let mut window = window(100, true);
        window.advance(at(120));
        assert_eq!(window.end(), at(150));
        window.advance(at(1_000));
        assert_eq!(window.end(), at(1_020));
        window.advance(at(500));
        assert_eq!(window.end(), at(510));
    }

    #[test]
    fn unaligned_windows_start_now() {
        assert_eq!(window(101, false).end(), at(131));
    }
}
