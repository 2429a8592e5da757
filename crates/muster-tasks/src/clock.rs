//! A coarse clock for ages: cheap to read, a few milliseconds of resolution.
//!
//! It shows real time, also when tokio's clock is paused: how long a thread has been busy is a
//! fact about the machine. Everything that waits (grace, timeouts, periods) uses tokio's clock.

use std::time::Duration;

/// Milliseconds of the monotonic clock.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    // The kernel counts up from boot, so neither part is negative.
    (now.tv_sec as u64) * 1000 + (now.tv_nsec as u64) / 1_000_000
}

/// Milliseconds of the monotonic clock.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now_ms() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static BASE: OnceLock<Instant> = OnceLock::new();
    BASE.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// The time from `then` until now.
pub(crate) fn since_ms(then: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(then))
}
