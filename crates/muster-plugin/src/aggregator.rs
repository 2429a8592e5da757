//! Aggregators: what summarizes metrics over a window.

use muster_metric::{Batch, Metric};
use serde_json::Value;

/// An aggregator. The engine keeps the window and decides which metrics belong to it.
pub trait Aggregator: Send + 'static {
    /// Takes a metric of the current window.
    fn add(&mut self, metric: Metric<'_>);

    /// Appends the window's summary to `batch`. Metrics without a time get that of the push.
    fn push(&mut self, batch: &mut Batch);

    /// Begins a new window.
    fn reset(&mut self);

    /// The open window, to survive a change of options or a restart.
    fn state(&self) -> Option<Value> {
        None
    }

    /// Takes over what [`state`](Self::state) gave earlier, perhaps under other options. What it
    /// does not understand it ignores.
    fn restore(&mut self, state: Value) {
        let _ = state;
    }
}
