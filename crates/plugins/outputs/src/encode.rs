//! Metrics as bytes, for the outputs that write a data format.

use muster_formats::Serializer;
use muster_metric::Metrics;

/// Appends the metrics to `out` in the serializer's format.
pub(crate) fn encode(serializer: &dyn Serializer, metrics: &Metrics, out: &mut Vec<u8>) {
    let written = serializer.serialize(&mut metrics.iter(), out);
    if written.left_out > 0 {
        tracing::debug!(
            count = written.left_out,
            "left out metrics that the format cannot express"
        );
    }
}
