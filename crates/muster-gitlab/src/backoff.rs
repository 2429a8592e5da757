//! How long to leave a service alone that does not work.

use std::time::Duration;

use crate::Error;

/// Pauses that double from one failure in a row to the next, with chance in them so that many
/// clients do not come back at once: each is between half of its step and the whole. Steps go from
/// one second to five minutes.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The longest step.
    pub const LONGEST: Duration = Duration::from_secs(300);

    /// It works.
    pub fn clear(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// It failed again: how long to wait. A time that GitLab asked for is kept, up to
    /// [`LONGEST`](Self::LONGEST), with up to a tenth more.
    pub fn failed(&mut self, error: &Error) -> Duration {
        let step = Duration::from_secs(1).saturating_mul(1 << self.failures.min(9));
        let step = step.min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        match error.retry_after() {
            Some(wanted) => wanted
                .min(Self::LONGEST)
                .mul_f64(fastrand::f64().mul_add(0.1, 1.0)),
            None => step.mul_f64(fastrand::f64().mul_add(0.5, 0.5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_bounds_and_keep_what_was_asked_for() {
        let lost = Error::Lost {
            what: "look",
            why: "it took too long".to_owned(),
        };
        let mut backoff = Backoff::default();
        for failures in 0..20_u32 {
            let step = Backoff::LONGEST.min(Duration::from_secs(1 << failures.min(9)));
            let pause = backoff.failed(&lost);
            assert!(pause >= step / 2 && pause <= step, "{failures}: {pause:?}");
        }
        let wanted = Duration::from_secs(7);
        let limited = Error::RateLimited {
            retry_after: wanted,
        };
        let pause = backoff.failed(&limited);
        assert!(pause >= wanted && pause < wanted.mul_f64(1.11), "{pause:?}");
        backoff.clear();
        assert!(backoff.failed(&lost) <= Duration::from_secs(1));
    }
}
