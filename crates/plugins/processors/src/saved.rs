//! Metrics in a processor's saved state: a list of pairs of metric type and line protocol.
//!
//! What line protocol cannot express (NaN, empty tags) does not survive.

use muster_metric::line_protocol::{Parser, Writer};
use muster_metric::{Batch, Metric, MetricType};
use serde_json::Value;

const KINDS: [MetricType; 5] = [
    MetricType::Untyped,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Summary,
    MetricType::Histogram,
];

/// The metrics as JSON.
pub(crate) fn save<'a>(metrics: impl Iterator<Item = Metric<'a>>) -> Value {
    let writer = Writer {
        uint_support: true,
        ..Writer::default()
    };
    let mut line = Vec::new();
    let pairs = metrics.filter_map(|metric| {
        line.clear();
        writer.write(metric, &mut line).ok()?;
        let line = std::str::from_utf8(&line).ok()?.trim_end();
        Some(serde_json::json!([metric.kind().as_str(), line]))
    });
    Value::Array(pairs.collect())
}

/// Appends the metrics of a saved list; what cannot be read is left out.
pub(crate) fn load(saved: &Value, batch: &mut Batch) {
    let parser = Parser::default();
    for pair in saved.as_array().into_iter().flatten() {
        let (Some(kind), Some(line)) = (pair[0].as_str(), pair[1].as_str()) else {
            continue;
        };
        let first = batch.rows();
        if parser.parse(line.as_bytes(), batch).is_err() {
            continue;
        }
        let kind = KINDS
            .into_iter()
            .find(|known| known.as_str() == kind)
            .unwrap_or_default();
        for row in first..batch.rows() {
            if let Some(mut metric) = batch.get_mut(row) {
                metric.set_kind(kind);
            }
        }
    }
}
