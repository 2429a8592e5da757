//! Outputs: what writes metrics.

use async_trait::async_trait;
use muster_metric::Metrics;

use crate::{OutputContext, PluginError, StartContext, WriteError};

/// An output. The engine queues, batches, retries and halves; the output only writes.
#[async_trait]
pub trait Output: Send + 'static {
    /// Acquires what the output holds for its life (opens the file, binds the port). Called once,
    /// while the change that brings the output is being prepared: an error refuses the change. A
    /// service that may be down is not asked here but in [`write`](Self::write).
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let _ = cx;
        Ok(())
    }

    /// Writes the metrics. Never called twice at the same time. The future is dropped when the
    /// write's timeout passes; the metrics are then written again.
    ///
    /// # Errors
    /// If they were not all written; the kind of the error says what becomes of them.
    async fn write(&mut self, cx: &OutputContext, metrics: &Metrics) -> Result<(), WriteError>;

    /// Finishes what is open. Called once after the last write, within the stop's time.
    async fn close(&mut self, cx: &OutputContext) -> Result<(), PluginError> {
        let _ = cx;
        Ok(())
    }
}
