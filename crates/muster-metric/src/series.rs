//! The identity of a series.

use crate::Metric;

/// Name and tags of a metric as one comparable, hashable key. Two metrics of the same series have
/// equal keys, whatever batch they lie in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(Box<[u8]>);

impl SeriesKey {
    pub(crate) fn of(metric: Metric<'_>) -> Self {
        let mut key = Vec::with_capacity(64);
        // A length before each part keeps ("ab", "c") and ("a", "bc") apart, whatever they hold.
        let mut part = |text: &str| {
            key.extend_from_slice(&(text.len() as u32).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        };
        part(metric.name());
        for (tag, value) in metric.tags() {
            part(tag);
            part(value);
        }
        Self(key.into_boxed_slice())
    }

    /// Bytes of memory that the key holds beside itself.
    pub fn memory(&self) -> usize {
        self.0.len()
    }
}
