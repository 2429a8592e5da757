//! What an answer means for the next attempt.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

/// What an HTTP service's answer to a write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Written.
    Ok,
    /// The same may work later.
    Later,
    /// It will never work like this.
    Never,
    /// Too much at once: fewer may work.
    TooLarge,
}

/// What a status means, as far as HTTP itself says.
pub fn classify(status: StatusCode) -> Answer {
    match status.as_u16() {
        200..300 => Answer::Ok,
        413 => Answer::TooLarge,
        408 | 425 | 429 | 500.. => Answer::Later,
        _ => Answer::Never,
    }
}

/// The time that a service asks to be left alone: the `Retry-After` header in seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: f64 = value.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A time during which a service is left alone. Remembers how often it was asked for in a row, so
/// that the pause grows where the service gives no time of its own.
#[derive(Debug, Default)]
pub struct Pause {
    until: Option<Instant>,
    times: u32,
}

impl Pause {
    /// The longest pause, whoever asks for it.
    pub const LONGEST: Duration = Duration::from_secs(600);

    /// How long the service is still to be left alone.
    pub fn remaining(&self) -> Option<Duration> {
        self.until?
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }

    /// The service works.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The service asks to be left alone, for `wanted` or for a time that doubles with each call
    /// in a row from a quarter of a second on. Returns the time.
    pub fn extend(&mut self, wanted: Option<Duration>) -> Duration {
        let own = Duration::from_millis(250).saturating_mul(1 << self.times.min(12));
        self.times = self.times.saturating_add(1);
        let pause = wanted
            .unwrap_or(own.min(Duration::from_secs(60)))
            .min(Self::LONGEST);
        self.until = Some(Instant::now() + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut pause = Pause::default();
        assert_eq!(pause.remaining(), None);
        let millis: Vec<u128> = (0..4).map(|_| pause.extend(None).as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 2000]);
        assert!(pause.remaining().is_some());
        assert_eq!(
            pause.extend(Some(Duration::from_secs(9999))),
            Pause::LONGEST
        );
        pause.clear();
        assert_eq!(pause.remaining(), None);
    }

    #[test]
    fn reads_retry_after() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert("retry-after", "3".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
        headers.insert(
            "retry-after",
            "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap(),
        );
        assert_eq!(retry_after(&headers), None);
        assert_eq!(classify(StatusCode::NO_CONTENT), Answer::Ok);
        assert_eq!(classify(StatusCode::TOO_MANY_REQUESTS), Answer::Later);
    }
}
