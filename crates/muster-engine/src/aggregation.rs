//! A running aggregator: its window, its filters, its names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_config::AggregatorSettings;
use muster_metric::{Batch, Timestamp};
use muster_plugin::Aggregator;
use muster_tasks::catch_panic_sync;
use parking_lot::Mutex;
use serde_json::Value;

use crate::refine::{place, rename};
use crate::stats::Stats;
use crate::window::Window;

/// How long a change or a stop waits for an aggregator that is at work.
const PATIENCE: Duration = Duration::from_millis(100);

/// An aggregator with its window.
#[derive(Debug)]
pub(crate) struct Aggregation {
    settings: AggregatorSettings,
    holder: Mutex<Holder>,
    broken: AtomicBool,
    /// Its counters.
    pub stats: Arc<Stats>,
}

/// Who has the open window.
enum Holder {
    Here(Open),
    /// A successor took it over: metrics that still come here go on to it.
    Successor(Arc<Aggregation>),
}

struct Open {
    window: Window,
    plugin: Box<dyn Aggregator>,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::Successor(_) => "Successor",
        })
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
        let holder = Mutex::new(Holder::Here(Open { window, plugin }));
        Self {
            settings,
            holder,
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
        let mut holder = self.holder.lock();
        let open = match &mut *holder {
            Holder::Here(open) => open,
            Holder::Successor(successor) => {
                let successor = Arc::clone(successor);
                drop(holder);
                return successor.add(batch, drop_rows);
            }
        };
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
            drop(holder);
            self.break_down(&panic.to_string(), Timestamp::now());
        }
    }

    /// When the window is to be pushed; `None` if a successor has it.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match &*self.holder.lock() {
            Holder::Here(open) => Some(open.window.end()),
            Holder::Successor(_) => None,
        }
    }

    /// Ends the window and gives its summary; nothing if a successor has it.
    pub(crate) fn push(&self, now: Timestamp) -> Batch {
        let mut batch = Batch::new();
        let outcome = {
            let Some(mut holder) = self.holder.try_lock_for(PATIENCE) else {
                return batch;
            };
            let Holder::Here(open) = &mut *holder else {
                return batch;
            };
            open.window.advance(now);
            if self.broken.load(Ordering::Relaxed) {
                return batch;
            }
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
    pub(crate) fn state(&self) -> Option<Value> {
        self.with_plugin(|plugin| plugin.state()).flatten()
    }

    /// Gives the open window memory from an earlier run.
    pub(crate) fn restore(&self, state: Value) {
        self.with_plugin(|plugin| plugin.restore(state));
    }

    /// Moves the open window to a successor. Metrics that still come here go on to it, so that
    /// nothing is summarized twice or not at all.
    pub(crate) fn hand_over(&self, successor: &Arc<Self>) {
        let Some(mut holder) = self.holder.try_lock_for(PATIENCE) else {
            return;
        };
        if let Holder::Here(open) = &*holder {
            match catch_panic_sync(std::panic::AssertUnwindSafe(|| open.plugin.state())) {
                Ok(Some(state)) => successor.restore(state),
                Ok(None) => {}
                Err(panic) => self.break_down(&panic.to_string(), Timestamp::now()),
            }
            *holder = Holder::Successor(Arc::clone(successor));
        }
    }

    /// Works with the plugin, if it is here, not busy for long, and does not panic.
    fn with_plugin<T>(&self, work: impl FnOnce(&mut dyn Aggregator) -> T) -> Option<T> {
        let mut holder = self.holder.try_lock_for(PATIENCE)?;
        let Holder::Here(open) = &mut *holder else {
            return None;
        };
        let plugin = open.plugin.as_mut();
        match catch_panic_sync(std::panic::AssertUnwindSafe(|| work(plugin))) {
            Ok(value) => Some(value),
            Err(panic) => {
                self.break_down(&panic.to_string(), Timestamp::now());
                None
            }
        }
    }

    fn break_down(&self, panic: &str, now: Timestamp) {
        self.broken.store(true, Ordering::Relaxed);
        self.stats.panics.fetch_add(1, Ordering::Relaxed);
        let why = format!("panicked, is passed by until it is changed or resumed: {panic}");
        self.stats.error(&why, now);
        self.stats.health(|health| health.quarantine(why, now));
    }
}
