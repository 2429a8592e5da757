//! When an instance changes too often: a penalty per change that halves every minute, in the manner
//! of route flap damping (RFC 2439).

use std::collections::VecDeque;
use std::time::Duration;

/// What one change costs.
const PENALTY: f64 = 1000.0;
/// The penalty halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// From here on the instance is flapping.
const SUPPRESS: f64 = 3000.0;
/// Below this it is not any more.
const REUSE: f64 = 750.0;
/// An instance that changes no more is flapping for so long at most.
const LONGEST: Duration = Duration::from_secs(300);
/// The minutes of which changes are remembered.
const MINUTES: u64 = 60;

/// The changes of one instance. Empty (no memory beside itself) while there are none; at most 60
/// entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Flaps {
    penalty: f64,
    /// When the penalty had this value.
    at: Duration,
    suppressed: bool,
    /// Changes by minute, oldest first.
    minutes: VecDeque<(u64, u32)>,
}

impl Flaps {
    /// Counts a change.
    pub(super) fn count(&mut self, now: Duration) {
        // So high that it takes `LONGEST` to come down to `REUSE`, and no higher.
        let ceiling = REUSE * 2_f64.powf(LONGEST.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.penalty = (self.decayed(now) + PENALTY).min(ceiling);
        self.at = now;
        let minute = now.as_secs() / 60;
        match self.minutes.back_mut() {
            Some((last, count)) if *last == minute => *count = count.saturating_add(1),
            _ => self.minutes.push_back((minute, 1)),
        }
        self.drop_old(now);
    }

    /// Whether the instance is flapping.
    pub(super) fn suppresses(&mut self, now: Duration) -> bool {
        let penalty = self.decayed(now);
        self.suppressed = penalty >= if self.suppressed { REUSE } else { SUPPRESS };
        self.suppressed
    }

    /// How many changes there were within the last hour, to the minute.
    pub(super) fn last_hour(&mut self, now: Duration) -> u32 {
        self.drop_old(now);
        let add = |sum: u32, &(_, count): &(u64, u32)| sum.saturating_add(count);
        self.minutes.iter().fold(0, add)
    }

    fn decayed(&self, now: Duration) -> f64 {
        if self.penalty == 0.0 {
            return 0.0;
        }
        let halvings = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.penalty * 0.5_f64.powf(halvings)
    }

    fn drop_old(&mut self, now: Duration) {
        let minute = now.as_secs() / 60;
        while let Some(&(first, _)) = self.minutes.front()
            && first + MINUTES <= minute
        {
            self.minutes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn many_changes_suppress_until_it_is_quiet() {
        let mut flaps = Flaps::default();
        for second in 0..3 {
            flaps.count(at(second));
            assert!(!flaps.suppresses(at(second)), "{second}");
        }
        flaps.count(at(3));
        assert!(flaps.suppresses(at(3)));
        // From about 3930 it takes 60 * log2(3930 / 750) = 143 s to come down to 750.
        assert!(flaps.suppresses(at(140)));
        assert!(!flaps.suppresses(at(150)));
        assert_eq!(flaps.last_hour(at(150)), 4);
        assert_eq!(flaps.last_hour(at(3600)), 0);
    }

    #[test]
    fn rare_changes_do_not() {
        let mut flaps = Flaps::default();
        for minute in 0..600 {
            flaps.count(at(minute * 60));
            assert!(!flaps.suppresses(at(minute * 60)), "{minute}");
            assert!(flaps.minutes.len() <= 60);
        }
        assert_eq!(flaps.last_hour(at(599 * 60)), 60);
    }

    #[test]
    fn five_minutes_of_quiet_are_enough_whatever_was_before() {
        let mut flaps = Flaps::default();
        for second in 0..1000 {
            flaps.count(at(second));
            flaps.suppresses(at(second));
        }
        assert!(flaps.suppresses(at(999 + 299)));
        assert!(!flaps.suppresses(at(999 + 301)));
    }
}
