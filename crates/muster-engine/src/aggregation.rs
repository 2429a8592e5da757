//! A running aggregator: its window, its filters, its names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_config::AggregatorSettings;
use muster_metric::{Batch, Timestamp};
use muster_plugin::Aggregator;
use muster_tasks::catch_panic_sync;
use parking_lot::Mutex;

use crate::refine::{place, rename};
use crate::stats::Stats;
use crate::window::Window;

/// An aggregator with its window.
#[derive(Debug)]
pub(crate) struct Aggregation {
    settings: AggregatorSettings,
    open: Mutex<Open>,
    broken: AtomicBool,
    /// Its counters.
    pub stats: Arc<Stats>,
}

struct Open {
    window: Window,
    plugin: Box<dyn Aggregator>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Aggregation {
    /// Opens the first window at `now`.
    pub(crate) fn new(
        settings: AggregatorSettings,
        plugin: Box<dyn Aggregator>,
        stats: Arc<Stats>,
        now: Timestamp,
    ) -> Self {
        let window = Window::open(
            now,
            settings.period,
            settings.delay,
            settings.grace,
            settings.round_interval,
        );
        let open = Mutex::new(Open { window, plugin });
        Self {
            settings,
            open,
            broken: AtomicBool::new(false),
            stats,
        }
    }

    /// Takes the metrics of a batch that belong to the window. Rows whose originals are to go no
    /// further are appended to `drop_rows`.
    pub(crate) fn add(&self, batch: &Batch, drop_rows: &mut Vec<usize>) {
        if self.broken.load(Ordering::Relaxed) {
            return;
        }
        let filter = &self.settings.filter;
        let mut open = self.open.lock();
        let mut copy = Batch::new();
        let (mut added, mut late, mut filtered) = (0, 0, 0);
        let outcome = catch_panic_sync(std::panic::AssertUnwindSafe(|| {
            for metric in batch.iter() {
                if !filter.select(metric) {
                    filtered += 1;
                    continue;
                }
                if self.settings.drop_original {
                    drop_rows.push(metric.row());
                }
                if !metric.time().is_none_or(|time| open.window.accepts(time)) {
                    late += 1;
                    continue;
                }
                if !filter.modifies() {
                    open.plugin.add(metric);
                    added += 1;
                    continue;
                }
                copy.clear();
                copy.push(metric);
                let kept = copy
                    .get_mut(0)
                    .is_some_and(|mut metric| filter.modify(&mut metric));
                if kept && let Some(metric) = copy.get(0) {
                    open.plugin.add(metric);
                    added += 1;
                }
            }
        }));
        self.stats.filtered.fetch_add(filtered, Ordering::Relaxed);
        self.stats.dropped.fetch_add(late, Ordering::Relaxed);
        self.stats.metrics.fetch_add(added, Ordering::Relaxed);
        if let Err(panic) = outcome {
            drop(open);
            self.break_down(&panic.to_string(), Timestamp::now());
        }
    }

    /// When the window is to be pushed.
    pub(crate) fn due(&self) -> Timestamp {
        self.open.lock().window.end()
    }

    /// Ends the window and gives its summary.
    pub(crate) fn push(&self, now: Timestamp) -> Batch {
        let mut batch = Batch::new();
        let outcome = {
            let mut open = self.open.lock();
            open.window.advance(now);
            catch_panic_sync(std::panic::AssertUnwindSafe(|| {
                open.plugin.push(&mut batch);
                open.plugin.reset();
            }))
        };
        match outcome {
            Ok(()) => self.stats.health(|health| health.succeeded(now)),
            Err(panic) => {
                self.break_down(&panic.to_string(), now);
                return Batch::new();
            }
        };
        batch.stamp(now);
        let tags = place(&mut batch, &self.settings.tags);
        batch.for_each_mut(|mut metric| {
            if let Some(time) = metric.view().time() {
                metric.set_time(time.round(self.settings.precision));
            }
            rename(&self.settings.naming, &mut metric);
            for (key, value) in &tags {
                metric.set_tag_if_absent(*key, *value);
            }
        });
        batch
    }

    /// The open window's memory.
    pub(crate) fn state(&self) -> Option<serde_json::Value> {
        self.open.lock().plugin.state()
    }

    /// Hands a predecessor's open window over.
    pub(crate) fn restore(&self, state: serde_json::Value) {
        self.open.lock().plugin.restore(state);
    }

    fn break_down(&self, panic: &str, now: Timestamp) {
        self.broken.store(true, Ordering::Relaxed);
        self.stats.panics.fetch_add(1, Ordering::Relaxed);
        let why = format!("panicked, is passed by until it is changed or resumed: {panic}");
        self.stats.error(&why, now);
        self.stats.health(|health| health.quarantine(why, now));
    }
}
