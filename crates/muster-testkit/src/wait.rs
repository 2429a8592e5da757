//! Waiting for an effect, with a bound.

use std::time::{Duration, Instant};

/// Tries until `attempt` gives a value; fails the test with `what` after 20 seconds.
///
/// # Panics
/// If the time is up.
#[track_caller]
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    eventually_within(Duration::from_secs(20), what, attempt)
}

/// Tries until `attempt` gives a value; fails the test with `what` after `bound`.
///
/// # Panics
/// If the time is up.
#[track_caller]
pub fn eventually_within<T>(
    bound: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Option<T>,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begin.elapsed() < bound, "waited {bound:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
