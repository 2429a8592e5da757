//! The running statistics of one field, by Welford's method.

use serde_json::Value;

use crate::series::{load_float, save_float};

/// What is known of a field's values so far; at least one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stats {
    /// A float, as it is given out.
    pub(super) count: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) sum: f64,
    pub(super) mean: f64,
    pub(super) first: f64,
    pub(super) last: f64,
    /// The sum of the squared distances from the mean.
    m2: f64,
    first_time: i64,
    last_time: i64,
}

impl Stats {
    /// Begins with a value and its time in nanoseconds.
    pub(super) fn new(value: f64, time: i64) -> Self {
        let (count, m2) = (1.0, 0.0);
        let (min, max, sum, mean, first, last) = (value, value, value, value, value, value);
        Self {
            count,
            min,
            max,
            sum,
            mean,
            first,
            last,
            m2,
            first_time: time,
            last_time: time,
        }
    }

    pub(super) fn add(&mut self, value: f64, time: i64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.m2 += delta * (value - self.mean);
        if value < self.min {
            self.min = value;
        } else if value > self.max {
            self.max = value;
        }
        self.sum += value;
        self.last = value;
        self.last_time = time;
    }

    /// The sample variance; meaningless for a single value.
    pub(super) fn variance(&self) -> f64 {
        self.m2 / (self.count - 1.0)
    }

    pub(super) fn diff(&self) -> f64 {
        self.last - self.first
    }

    /// The difference by second; 0 if no time went by.
    pub(super) fn rate(&self) -> f64 {
        match self.interval() {
            0 => 0.0,
            nanos => self.diff() / (nanos as f64 / 1e9),
        }
    }

    /// From the first value to the last, in nanoseconds.
    pub(super) fn interval(&self) -> i64 {
        self.last_time.saturating_sub(self.first_time)
    }

    pub(super) fn save(&self) -> Value {
        let Self {
            count,
            min,
            max,
            sum,
            mean,
            first,
            last,
            m2,
            ..
        } = *self;
        let floats = [count, min, max, sum, mean, first, last, m2].map(save_float);
        serde_json::json!([floats, self.first_time, self.last_time])
    }

    pub(super) fn load(saved: &Value) -> Option<Self> {
        let floats = saved[0]
            .as_array()?
            .iter()
            .map(load_float)
            .collect::<Option<Vec<f64>>>()?;
        let [count, min, max, sum, mean, first, last, m2] = floats.try_into().ok()?;
        let (first_time, last_time) = (saved[1].as_i64()?, saved[2].as_i64()?);
        Some(Self {
            count,
            min,
            max,
            sum,
            mean,
            first,
            last,
            m2,
            first_time,
            last_time,
        })
    }
}
