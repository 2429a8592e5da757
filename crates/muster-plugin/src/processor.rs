//! Processors: what changes metrics on their way.

use muster_metric::{Batch, MetricMut, Timestamp};
use serde_json::Value;

/// A processor without memory: what it does to a metric depends on that metric alone. Runs in the
/// tasks of the inputs, several at a time.
pub trait Processor: Send + Sync + 'static {
    /// Edits the metrics in place, drops some, or appends new ones to the batch.
    fn apply(&self, metrics: &mut Selected<'_>, cx: &ProcessContext);
}

/// A processor that remembers earlier metrics. Called by one task at a time, in order.
pub trait StatefulProcessor: Send + 'static {
    /// Edits the metrics in place, drops some (perhaps to bring them later), or appends new ones.
    fn apply(&mut self, metrics: &mut Selected<'_>, cx: &ProcessContext);

    /// Gives out what is still held back. Called when the processor is removed or the agent stops.
    fn finish(&mut self, batch: &mut Batch) {
        let _ = batch;
    }

    /// What must survive a change of options or a restart (a cache of what was seen).
    fn state(&self) -> Option<Value> {
        None
    }

    /// Takes over what [`state`](Self::state) gave earlier, perhaps under other options. What it
    /// does not understand it ignores.
    fn restore(&mut self, state: Value) {
        let _ = state;
    }
}

/// What a processor may know beside the metrics.
#[derive(Clone, Copy, Debug)]
pub struct ProcessContext {
    /// The time of the call; the same for all metrics of it.
    pub now: Timestamp,
}

/// The metrics of a batch that a processor's filters let through.
#[derive(Debug)]
pub struct Selected<'a> {
    batch: &'a mut Batch,
    rows: Option<&'a [u32]>,
    end: usize,
}

impl<'a> Selected<'a> {
    /// All metrics of the batch.
    pub fn all(batch: &'a mut Batch) -> Self {
        let end = batch.rows();
        Self {
            batch,
            rows: None,
            end,
        }
    }

    /// The metrics in these rows, ascending.
    pub fn of_rows(batch: &'a mut Batch, rows: &'a [u32]) -> Self {
        let end = batch.rows();
        Self {
            batch,
            rows: Some(rows),
            end,
        }
    }

    /// Calls `edit` for each selected metric. Metrics that were appended meanwhile are not visited.
    pub fn for_each(&mut self, mut edit: impl FnMut(MetricMut<'_>)) {
        self.for_each_row(|batch, row| {
            if let Some(metric) = batch.get_mut(row) {
                edit(metric);
            }
        });
    }

    /// Calls `visit` with the batch and the row of each selected metric; for processors that append
    /// metrics. What is appended is not visited.
    pub fn for_each_row(&mut self, mut visit: impl FnMut(&mut Batch, usize)) {
        match self.rows {
            None => {
                for row in 0..self.end {
                    if self.batch.get(row).is_some() {
                        visit(self.batch, row);
                    }
                }
            }
            Some(rows) => {
                for row in rows {
                    if self.batch.get(*row as usize).is_some() {
                        visit(self.batch, *row as usize);
                    }
                }
            }
        }
    }

    /// The batch, to write shared text or append metrics.
    pub fn batch(&mut self) -> &mut Batch {
        self.batch
    }
}
