//! The second service, which knows better discounts for some: with the latency and the faults that such services have.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use muster_tasks::{AwaitLabel, Group, TimedOut};

use crate::Pace;
use crate::http::{self, GetError, Response};

/// A request to it takes at most this long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Starts the service. Returns where it listens.
///
/// # Errors
/// As [`http::serve`].
pub async fn start(group: &Group, pace: Pace) -> io::Result<SocketAddr> {
    let asked = Arc::new(AtomicU64::new(0));
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    http::serve(group, anywhere, move |_| {
        answer(asked.fetch_add(1, Ordering::Relaxed), pace)
    })
    .await
}

/// Each answer takes 50 to 250 ms. One in twenty is an error, one in fifty hangs.
async fn answer(number: u64, pace: Pace) -> Response {
    let latency = match number {
        number if number % 50 == 49 => TIMEOUT * 6,
        number => Duration::from_millis(50 + number * 37 % 200),
    };
    tokio::time::sleep(pace.of(latency)).await;
    if number % 20 == 19 {
        return http::text(StatusCode::INTERNAL_SERVER_ERROR, "out of order\n");
    }
    http::text(StatusCode::OK, (20 + number % 10).to_string())
}

/// Why the service gave no discount.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It did not answer in time; the connection is closed.
    #[error("failed to get a dynamic discount: {0}")]
    TooLate(#[from] TimedOut),
    /// It failed.
    #[error("failed to get a dynamic discount: {0}")]
    Http(#[from] GetError),
    /// The answer is no percentage.
    #[error("failed to read the dynamic discount {0:?}")]
    NoPercentage(String),
}

/// Asks the service for a discount, in percent. Takes at most five seconds.
///
/// # Errors
/// [`AskError`].
pub async fn ask(address: SocketAddr, user: u64, pace: Pace) -> Result<u8, AskError> {
    let target = format!("/discount?user={user}");
    let answer = http::get(address, &target).at("asking the discounter");
    let answer = muster_tasks::timeout(pace.of(TIMEOUT), answer).await??;
    let text = String::from_utf8_lossy(&answer);
    let percent: Option<u8> = text.parse().ok();
    percent
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| AskError::NoPercentage(text.into_owned()))
}
