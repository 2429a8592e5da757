//! Time limits that really end the work.

use std::future::Future;
use std::time::Duration;

/// The error of [`timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {after:?}")]
pub struct TimedOut {
    /// The time that was allowed.
    pub after: Duration,
}

/// Runs a future for at most this long. When the time is up the future is dropped before the error
/// is returned, so nothing of it goes on in the background.
///
/// (This holds for the future itself. A task that it spawned goes on: spawn helpers into a group and
/// stop that, or use [`Group::spawn_scoped`](crate::Group::spawn_scoped).)
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// let never = std::future::pending::<()>();
/// let error = muster_tasks::timeout(Duration::from_millis(1), never).await.unwrap_err();
/// assert_eq!(error.to_string(), "timed out after 1ms");
/// # }
/// ```
///
/// # Errors
/// [`TimedOut`] if the time was up first.
///
/// # Panics
/// Outside a tokio runtime with a timer.
pub async fn timeout<F: Future>(after: Duration, fut: F) -> Result<F::Output, TimedOut> {
    tokio::time::timeout(after, fut)
        .await
        .map_err(|_| TimedOut { after })
}
