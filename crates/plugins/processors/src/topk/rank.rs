//! Values of groups and their order.

use muster_metric::Value;
use muster_options::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the value of a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Aggregation {
    /// The sum of the values.
    Sum,
    /// The mean of the values.
    Mean,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
}

/// The values of one field in one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Stats {
    /// Adds a value, if it is a number.
    pub(super) fn add(&mut self, value: Value<'_>) {
        let value = match value {
            Value::Float(v) if !v.is_nan() => v,
            Value::Int(v) => v as f64,
            Value::Uint(v) => v as f64,
            Value::Float(_) | Value::Bool(_) | Value::Text(_) => return,
        };
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.count += 1;
        self.sum += value;
    }

    /// The group's value, if there was a number.
    pub(super) fn get(&self, aggregation: Aggregation) -> Option<f64> {
        (self.count > 0).then(|| match aggregation {
            Aggregation::Sum => self.sum,
            Aggregation::Mean => self.sum / self.count as f64,
            Aggregation::Min => self.min,
            Aggregation::Max => self.max,
        })
    }
}

/// The positions and values of the first `k`, the greatest first (or the least, with `bottom`);
/// equal ones in their order.
pub(super) fn first(
    values: impl Iterator<Item = Option<f64>>,
    k: usize,
    bottom: bool,
) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = values
        .enumerate()
        .filter_map(|(at, value)| Some((at, value?)))
        .collect();
    ranked.sort_by(|(_, a), (_, b)| {
        if bottom {
            a.total_cmp(b)
        } else {
            b.total_cmp(a)
        }
    });
    ranked.truncate(k);
    ranked
}
