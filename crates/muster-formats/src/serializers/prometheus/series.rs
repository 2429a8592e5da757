//! What a family's series hold.

use muster_metric::{MetricType, Timestamp, Value};

use super::text::PrometheusText;

/// A series has no more buckets or quantiles; further ones are left out.
const MAX_BOUNDS: usize = 4096;

/// One sample of a metric: which family, and what it is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Value,
    Sum,
    Count,
    /// A bucket by its upper bound, or a quantile.
    Bound(f64),
}

/// The values of one set of labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Single(f64),
    Bounds {
        /// By bound, ascending.
        bounds: Vec<(f64, f64)>,
        sum: Option<f64>,
        count: Option<f64>,
    },
}

/// A set of labels with its values.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// As written, without braces.
    pub(super) labels: String,
    pub(super) time: Option<Timestamp>,
    pub(super) seen: Timestamp,
    pub(super) values: Values,
}

impl Values {
    pub(super) fn new(kind: MetricType) -> Self {
        match kind {
            MetricType::Histogram | MetricType::Summary => Self::Bounds {
                bounds: Vec::new(),
                sum: None,
                count: None,
            },
            _ => Self::Single(0.0),
        }
    }

    pub(super) fn set(&mut self, part: Part, value: f64) {
        match (self, part) {
            (Self::Single(known), _) => *known = value,
            (Self::Bounds { sum, .. }, Part::Sum) => *sum = Some(value),
            (Self::Bounds { count, .. }, Part::Count) => *count = Some(value),
            (Self::Bounds { bounds, .. }, Part::Bound(bound)) => {
                match bounds.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
                    Ok(at) => bounds[at].1 = value,
                    Err(at) if bounds.len() < MAX_BOUNDS => bounds.insert(at, (bound, value)),
                    Err(_) => {}
                }
            }
            (Self::Bounds { .. }, Part::Value) => {}
        }
    }
}

impl Series {
    /// Writes the samples. Every histogram ends with a bucket for everything, as the format asks.
    pub(super) fn write(
        &self,
        name: &str,
        kind: MetricType,
        export_timestamp: bool,
        text: &mut PrometheusText,
    ) {
        let time = self.time.filter(|_| export_timestamp);
        let millis = time.map(|time| time.nanos().div_euclid(1_000_000));
        let labels = self.labels.as_str();
        let (bounds, sum, count) = match &self.values {
            Values::Single(value) => {
                return text.raw_sample((name, ""), labels, None, *value, millis);
            }
            Values::Bounds { bounds, sum, count } => (bounds, *sum, *count),
        };
        let (suffix, key) = match kind {
            MetricType::Histogram => ("_bucket", "le"),
            _ => ("", "quantile"),
        };
        for (bound, value) in bounds {
            text.raw_sample((name, suffix), labels, Some((key, *bound)), *value, millis);
        }
        let last = bounds
            .last()
            .copied()
            .filter(|_| kind == MetricType::Histogram);
        let count = count.or(last.map(|(_, value)| value)).unwrap_or(0.0);
        if kind == MetricType::Histogram && last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            let bound = Some((key, f64::INFINITY));
            text.raw_sample((name, suffix), labels, bound, count, millis);
        }
        text.raw_sample((name, "_sum"), labels, None, sum.unwrap_or(0.0), millis);
        text.raw_sample((name, "_count"), labels, None, count, millis);
    }
}

/// A field as a sample's value; booleans are 1 and 0.
pub(super) fn number(value: Value<'_>) -> Option<f64> {
    value.as_f64()
}
