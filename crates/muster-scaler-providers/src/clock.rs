//! What time it is.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use muster_scaler_core::Time;

/// The wall clock's time at the first call plus what has passed since, so that it never jumps: for the
/// beginnings of listings.
pub(crate) fn now() -> Time {
    static START: OnceLock<(Instant, Time)> = OnceLock::new();
    let (begin, wall) = START.get_or_init(|| (Instant::now(), wall()));
    *wall + begin.elapsed()
}

/// The wall clock's time, which may jump: for what somebody else compares with a clock of his own.
pub(crate) fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::default() + since.unwrap_or_default()
}

/// A time as APIs write it: `2026-11-22T07:00:00Z`.
pub(crate) fn parse(text: &str) -> Option<Time> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Time::from_millis(time.as_millisecond()))
}
