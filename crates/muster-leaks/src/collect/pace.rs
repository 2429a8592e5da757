//! How often to ask.

use std::time::Duration;

/// A reply that took longer is dear to the service.
pub const HEAVY_REPLY: Duration = Duration::from_millis(200);

/// To count more goroutines is dear to the service.
pub const HEAVY_GOROUTINES: u64 = 50_000;

/// A pause is at most so many times as long as wanted.
pub const LONGEST: u32 = 8;

/// The pause between samples: what is wanted, and twice as long after each sample that was dear to
/// the service or failed, up to [`LONGEST`] times; half as long again after each that was not.
#[derive(Clone, Debug)]
pub struct Pace {
    every: Duration,
    times: u32,
}

impl Pace {
    /// Begins with a wanted pause.
    pub fn new(every: Duration) -> Self {
        Self { every, times: 1 }
    }

    /// Another pause is wanted from now on.
    pub fn set_every(&mut self, every: Duration) {
        self.every = every;
    }

    /// How long to wait now.
    pub fn pause(&self) -> Duration {
        self.every.saturating_mul(self.times)
    }

    /// A sample of so many goroutines took so long.
    pub fn replied(&mut self, took: Duration, goroutines: u64) {
        if took > HEAVY_REPLY || goroutines > HEAVY_GOROUTINES {
            self.slower();
        } else {
            self.times = (self.times / 2).max(1);
        }
    }

    /// There was no sample.
    pub fn failed(&mut self) {
        self.slower();
    }

    fn slower(&mut self) {
        self.times = (self.times * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dear_is_asked_for_less_often() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(second);
        let mut pauses = Vec::new();
        for (took, goroutines) in [(10, 100), (201, 100), (10, 50_001), (900, 9), (900, 9)] {
            pace.replied(Duration::from_millis(took), goroutines);
            pauses.push(pace.pause().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8]);
        pace.replied(HEAVY_REPLY, HEAVY_GOROUTINES);
        assert_eq!(pace.pause(), 4 * second);
        pace.failed();
        assert_eq!(pace.pause(), 8 * second);
        pace.set_every(2 * second);
        assert_eq!(pace.pause(), 16 * second);
    }
}
