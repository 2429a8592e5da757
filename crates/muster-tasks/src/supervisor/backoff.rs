//! How long to wait before a restart, and how many are too many.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The pause before a restart: it doubles (or so) with each that follows closely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first pause. Default 100 ms.
    pub base: Duration,
    /// By how much each is longer than the one before; below 1 counts as 1. Default 2.
    pub factor: f64,
    /// The longest. Default 30 s.
    pub cap: Duration,
    /// The share, 0 to 1, by which a pause is longer or shorter at random. Default 0.1.
    pub jitter: f64,
    /// A child that has run this long before it ended begins with the first pause again. Default 60 s.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            factor: 2.0,
            cap: Duration::from_secs(30),
            jitter: 0.1,
            reset_after: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// No pause at all.
    pub const NONE: Self = Self {
        base: Duration::ZERO,
        factor: 1.0,
        cap: Duration::ZERO,
        jitter: 0.0,
        reset_after: Duration::ZERO,
    };

    /// The pause before restart number `streak` (from 0) in a row; `random` is from 0 to 1.
    pub(super) fn pause(&self, streak: u32, random: f64) -> Duration {
        let growth = self.factor.max(1.0).powf(f64::from(streak));
        let cap = self.cap.as_secs_f64();
        let whole = (self.base.as_secs_f64() * growth).min(cap);
        let jitter = self.jitter.clamp(0.0, 1.0) * (2.0 * random - 1.0);
        Duration::try_from_secs_f64(whole * (1.0 + jitter)).unwrap_or(self.cap)
    }
}

/// How many restarts are too many: more than `max` within any span of `within`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts that are allowed. Default 5; 0 allows none.
    pub max: u32,
    /// Within this span. Default 60 s.
    pub within: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            max: 5,
            within: Duration::from_secs(60),
        }
    }
}

/// The restarts of late.
#[derive(Default)]
pub(super) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Notes a restart. Returns whether it is one too many.
    pub(super) fn note(&mut self, now: Instant, intensity: Intensity) -> bool {
        let of_late = |at: &Instant| now.saturating_duration_since(*at) < intensity.within;
        while self.0.front().is_some_and(|at| !of_late(at)) {
            self.0.pop_front();
        }
        if self.0.len() >= intensity.max as usize {
            return true;
        }
        self.0.push_back(now);
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_to_the_cap() {
        let backoff = Backoff::default();
        let pauses: Vec<_> = [0, 1, 2, 8, 9, 1000]
            .map(|streak| backoff.pause(streak, 0.5).as_millis())
            .into();
        assert_eq!(pauses, [100, 200, 400, 25_600, 30_000, 30_000]);
        assert_eq!(backoff.pause(0, 0.0).as_millis(), 90);
        assert_eq!(backoff.pause(0, 1.0).as_millis(), 110);
        assert_eq!(Backoff::NONE.pause(7, 0.3), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn the_window_slides(
            gaps in prop::collection::vec(0..40u64, 1..60),
            max in 0..5u32,
            within in 1..100u64,
        ) {
            let intensity = Intensity { max, within: Duration::from_secs(within) };
            let (begin, mut at) = (Instant::now(), 0);
            let (mut restarts, mut noted) = (Restarts::default(), Vec::new());
            for gap in gaps {
                at += gap;
                let of_late = noted.iter().filter(|past| at - **past < within).count();
                let too_many = restarts.note(begin + Duration::from_secs(at), intensity);
                prop_assert_eq!(too_many, of_late >= max as usize);
                if !too_many {
                    noted.push(at);
                }
            }
        }
    }
}
