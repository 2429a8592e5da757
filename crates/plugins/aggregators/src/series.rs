//! What an aggregator keeps for each series, in the order in which the series came.

use std::collections::HashMap;

use muster_metric::{Batch, Metric, MetricBuilder, SeriesKey, Value as FieldValue};
use serde_json::{Value, json};

/// A bounded map from series to what is kept for them.
#[derive(Debug)]
pub(crate) struct Series<T> {
    places: HashMap<(SeriesKey, i64), usize, foldhash::fast::RandomState>,
    entries: Vec<Entry<T>>,
    limit: usize,
    refused: u64,
}

/// A series and what is kept for it.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    key: (SeriesKey, i64),
    name: Box<str>,
    tags: Box<[(Box<str>, Box<str>)]>,
    pub(crate) kept: T,
}

impl<T> Entry<T> {
    /// Starts a metric of this series.
    pub(crate) fn metric<'a>(&self, batch: &'a mut Batch) -> MetricBuilder<'a> {
        let mut metric = batch.metric(&*self.name);
        for (key, value) in &self.tags {
            metric.add_tag(&**key, &**value);
        }
        metric
    }
}

impl<T> Series<T> {
    pub(crate) fn new(limit: u32) -> Self {
        let (places, entries) = (HashMap::default(), Vec::new());
        Self {
            places,
            entries,
            limit: limit as usize,
            refused: 0,
        }
    }

    /// What is kept for the metric's series in that slot (of time, say), made if it is new; `None`
    /// if there is no room for another.
    pub(crate) fn of(
        &mut self,
        metric: Metric<'_>,
        slot: i64,
        make: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        let key = (metric.series_key(), slot);
        let at = match self.places.get(&key) {
            Some(at) => *at,
            None if self.entries.len() >= self.limit => {
                self.refused += 1;
                return None;
            }
            None => {
                let tags = metric.tags().map(|(k, v)| (k.into(), v.into())).collect();
                let entry = Entry {
                    key: key.clone(),
                    name: metric.name().into(),
                    tags,
                    kept: make(),
                };
                self.entries.push(entry);
                self.places.insert(key, self.entries.len() - 1);
                self.entries.len() - 1
            }
        };
        self.entries.get_mut(at).map(|entry| &mut entry.kept)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter()
    }

    /// Forgets the series for which `keep` is false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Entry<T>) -> bool) {
        let before = self.entries.len();
        self.entries.retain(|entry| keep(entry));
        if self.entries.len() < before {
            let places = self.entries.iter().enumerate();
            self.places = places.map(|(at, entry)| (entry.key.clone(), at)).collect();
        }
    }

    /// Forgets all series.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
    }

    /// Metrics left out since the last call, for lack of room; logged here.
    pub(crate) fn take_refused(&mut self, aggregator: &'static str) -> u64 {
        let refused = std::mem::take(&mut self.refused);
        if refused > 0 {
            let max_series = self.limit;
            tracing::warn!(
                aggregator,
                refused,
                max_series,
                "metrics of more series than `max_series` were left out of the window"
            );
        }
        refused
    }

    /// All series as JSON.
    pub(crate) fn save(&self, mut kept: impl FnMut(&T) -> Value) -> Value {
        let entry = |entry: &Entry<T>| {
            let tags: Vec<Value> = entry.tags.iter().map(|(k, v)| json!([k, v])).collect();
            json!({ "name": entry.name, "tags": tags, "kept": kept(&entry.kept) })
        };
        Value::Array(self.entries.iter().map(entry).collect())
    }

    /// Takes over saved series; what cannot be read is left out, as are those without room.
    pub(crate) fn load(&mut self, saved: &Value, mut kept: impl FnMut(&Value) -> Option<T>) {
        let mut batch = Batch::new();
        for entry in saved.as_array().into_iter().flatten() {
            let (Some(name), Some(value)) = (entry["name"].as_str(), kept(&entry["kept"])) else {
                continue;
            };
            batch.clear();
            let mut metric = batch.metric(name);
            for tag in entry["tags"].as_array().into_iter().flatten() {
                if let (Some(key), Some(value)) = (tag[0].as_str(), tag[1].as_str()) {
                    metric.add_tag(key, value);
                }
            }
            metric.untimed();
            if let Some(metric) = batch.get(0) {
                self.of(metric, 0, || value);
            }
        }
    }
}

/// The value as a float, if it is a number. Booleans and texts are none.
pub(crate) fn number(value: FieldValue<'_>) -> Option<f64> {
    match value {
        FieldValue::Float(v) => Some(v),
        FieldValue::Int(v) => Some(v as f64),
        FieldValue::Uint(v) => Some(v as f64),
        FieldValue::Bool(_) | FieldValue::Text(_) => None,
    }
}

/// A float in a saved state: its bits, so that it comes back as it was, NaN included.
pub(crate) fn save_float(v: f64) -> Value {
    Value::from(v.to_bits())
}

/// The float that [`save_float`] wrote.
pub(crate) fn load_float(saved: &Value) -> Option<f64> {
    saved.as_u64().map(f64::from_bits)
}
