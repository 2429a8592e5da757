//! A channel without a buffer: who gives waits until somebody takes.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Hands one value over. It is shared by both sides and knows nothing of a taker that went away, which is what makes
/// it leak: the giver keeps it alive, and waits.
#[derive(Debug)]
pub struct Rendezvous<T> {
    value: Mutex<Option<T>>,
    given: Notify,
    taken: Notify,
}

impl<T> Default for Rendezvous<T> {
    fn default() -> Self {
        Self {
            value: Mutex::new(None),
            given: Notify::new(),
            taken: Notify::new(),
        }
    }
}

impl<T> Rendezvous<T> {
    /// Gives the value; returns when it was taken.
    pub async fn give(&self, value: T) {
        *self.value.lock() = Some(value);
        self.given.notify_one();
        self.taken.notified().await;
    }

    /// Takes the value; waits until there is one.
    pub async fn take(&self) -> T {
        loop {
            if let Some(value) = self.value.lock().take() {
                self.taken.notify_one();
                return value;
            }
            self.given.notified().await;
        }
    }
}
