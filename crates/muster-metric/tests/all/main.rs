//! Tests of what this crate shows to others.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod batch_model;
mod chunks;
mod invariants;
mod line_protocol;
mod properties;

use muster_metric::{Batch, Metric};

/// The metrics one a line, with the kind of each value.
pub(crate) fn dump(batch: &Batch) -> Vec<String> {
    batch.iter().map(dump_metric).collect()
}

fn dump_metric(metric: Metric<'_>) -> String {
    let tags: Vec<_> = metric.tags().collect();
    let fields: Vec<_> = metric.fields().collect();
    let time = metric.time().map(muster_metric::Timestamp::nanos);
    format!("{:?} {tags:?} {fields:?} {time:?}", metric.name())
}
