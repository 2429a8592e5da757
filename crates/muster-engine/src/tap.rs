//! Watching metrics as they pass to the outputs, without disturbing them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_metric::Batch;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// So many batches wait for a slow watcher; further ones are left out for it.
const TAP_BUFFER: usize = 64;

/// So many watch at a time.
const MOST_WATCHERS: usize = 32;

/// The watchers of a pipeline's metrics. Costs one load for each batch while nobody watches.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    watching: AtomicUsize,
    senders: Mutex<Vec<mpsc::Sender<Arc<Batch>>>>,
}

impl Taps {
    /// Starts to watch; ends when the receiver is dropped.
    /// `None` if too many watch already.
    pub(crate) fn watch(&self) -> Option<mpsc::Receiver<Arc<Batch>>> {
        let (sender, receiver) = mpsc::channel(TAP_BUFFER);
        let mut senders = self.senders.lock();
        senders.retain(|sender| !sender.is_closed());
        if senders.len() >= MOST_WATCHERS {
            return None;
        }
        senders.push(sender);
        self.watching.store(senders.len(), Ordering::Release);
        Some(receiver)
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Acquire) > 0
    }

    /// Shows a batch to all who watch and keep up.
    pub(crate) fn show(&self, batch: &Arc<Batch>) {
        let mut senders = self.senders.lock();
        senders.retain(|sender| {
            !matches!(
                sender.try_send(Arc::clone(batch)),
                Err(mpsc::error::TrySendError::Closed(_))
            )
        });
        self.watching.store(senders.len(), Ordering::Release);
    }
}
