//! What the page shows: filled by writes, read by scrapes.

use std::collections::HashMap;
use std::time::Duration;

use muster_formats::{Exposition, ExpositionOptions};
use muster_metric::{Metric, Metrics, SeriesKey, Timestamp};
use parking_lot::Mutex;

/// Samples by series, with bounds.
#[derive(Debug)]
pub(super) struct Shown(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    samples: Exposition,
    /// The series of metrics, and when they last came.
    known: HashMap<SeriesKey, Timestamp>,
    max_series: usize,
    expiration: Duration,
}

/// Text fields can become labels, so that one series of metrics makes many of samples. So many
/// samples for each series are the utmost; then nothing is taken until some have expired.
const SAMPLES_BY_SERIES: usize = 64;

impl Shown {
    pub(super) fn new(options: ExpositionOptions) -> Self {
        let (samples, known) = (Exposition::new(options), HashMap::new());
        let (max_series, expiration) = (usize::MAX, Duration::ZERO);
        Self(Mutex::new(Inner {
            samples,
            known,
            max_series,
            expiration,
        }))
    }

    /// Sets the most series, and how long they stay; zero for ever.
    pub(super) fn set_bounds(&self, max_series: usize, expiration: Duration) {
        let mut inner = self.0.lock();
        (inner.max_series, inner.expiration) = (max_series, expiration);
    }

    /// Adds the metrics; returns the positions of those for which there is no room.
    pub(super) fn add(&self, metrics: &Metrics, now: Timestamp) -> Vec<usize> {
        let mut inner = self.0.lock();
        inner.expire(now);
        if inner.samples.len() > inner.max_series.saturating_mul(SAMPLES_BY_SERIES) {
            return (0..metrics.len()).collect();
        }
        let positions = metrics.iter().enumerate();
        positions
            .filter(|(_, metric)| !inner.add(*metric, now))
            .map(|(at, _)| at)
            .collect()
    }

    /// Appends the page's text.
    pub(super) fn write(&self, now: Timestamp, out: &mut Vec<u8>) {
        let mut inner = self.0.lock();
        inner.expire(now);
        inner.samples.write(out);
    }
}

impl Inner {
    fn add(&mut self, metric: Metric<'_>, now: Timestamp) -> bool {
        let key = metric.series_key();
        if self.known.len() >= self.max_series && !self.known.contains_key(&key) {
            return false;
        }
        // What has nothing to show is no fault of the metric.
        if self.samples.add(metric, now) {
            self.known.insert(key, now);
        }
        true
    }

    fn expire(&mut self, now: Timestamp) {
        if self.expiration.is_zero() {
            return;
        }
        let oldest = now.saturating_sub(self.expiration);
        if self.samples.expire(oldest) > 0 {
            self.known.retain(|_, seen| *seen >= oldest);
        }
    }
}
