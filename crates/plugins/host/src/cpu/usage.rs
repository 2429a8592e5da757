//! From two readings of the counters to percentages.

use super::parser::{GUEST, GUEST_NICE, NICE, Ticks, USER};

/// What two readings say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Usage {
    /// Percent of the time, in the order of [`Ticks`].
    Percent([f64; 10]),
    /// The counters did not move: nothing can be said.
    NoTimePassed,
    /// All states together fell: another boot, or a processor that was switched off meanwhile.
    Backwards,
}

/// The usage between two readings.
pub(super) fn usage(before: &Ticks, now: &Ticks) -> Usage {
    let (total_before, total) = (before.total(), now.total());
    if total < total_before {
        return Usage::Backwards;
    }
    if total == total_before {
        return Usage::NoTimePassed;
    }
    let mut delta = [0.0; 10];
    for (at, slot) in delta.iter_mut().enumerate() {
        *slot = now.0[at].saturating_sub(before.0[at]) as f64;
    }
    delta[USER] = (delta[USER] - delta[GUEST]).max(0.0);
    delta[NICE] = (delta[NICE] - delta[GUEST_NICE]).max(0.0);
    let passed = (total - total_before) as f64;
    Usage::Percent(delta.map(|ticks| 100.0 * ticks / passed))
}
