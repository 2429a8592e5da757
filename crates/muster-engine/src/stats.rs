//! What is counted for each component.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use muster_metric::Timestamp;
use muster_plugin::ComponentId;
use parking_lot::Mutex;
use serde::Serialize;

use crate::health::{Health, State};

/// Counters of one component. They outlive a change of its options: the same ID goes on counting.
#[derive(Debug)]
pub(crate) struct Stats {
    id: ComponentId,
    /// Metrics gathered, processed, aggregated or written.
    pub metrics: AtomicU64,
    /// Metrics that the component's filters left out.
    pub filtered: AtomicU64,
    /// Metrics dropped: outside of the window, no field left, no time to write them.
    pub dropped: AtomicU64,
    /// Metrics that the service refused for good.
    pub rejected: AtomicU64,
    /// Failed gathers, writes or parts of them.
    pub errors: AtomicU64,
    /// Gathers or writes that were cancelled at their timeout, and ticks that passed during one.
    pub timeouts: AtomicU64,
    /// Panics.
    pub panics: AtomicU64,
    /// Failed starts.
    pub startup_errors: AtomicU64,
    /// Ticks at which nothing was gathered because the last gather still ran.
    pub skipped: AtomicU64,
    runs: AtomicU64,
    run_ns: AtomicU64,
    last: Mutex<Last>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Last {
    run_at: Option<Timestamp>,
    run_ns: u64,
    longest_ns: u64,
    error: Option<LastError>,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct LastError {
    /// What, as a sentence.
    pub message: String,
    /// When, in nanoseconds since 1970.
    pub at: i64,
}

/// A component's counters and state at one moment, for the API and the agent's own metrics.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// What it does.
    pub state: State,
    /// Since when, in nanoseconds since 1970.
    pub since: i64,
    /// Why, if something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Metrics gathered, processed, aggregated or written.
    pub metrics: u64,
    /// Metrics that the component's filters left out.
    pub filtered: u64,
    /// Metrics dropped.
    pub dropped: u64,
    /// Metrics that the service refused for good.
    pub rejected: u64,
    /// Failures.
    pub errors: u64,
    /// Timeouts.
    pub timeouts: u64,
    /// Panics.
    pub panics: u64,
    /// Failed starts.
    pub startup_errors: u64,
    /// Skipped ticks.
    pub skipped: u64,
    /// Gathers, pushes or writes so far.
    pub runs: u64,
    /// Their total time in nanoseconds.
    pub run_ns: u64,
    /// The last one's time in nanoseconds.
    pub last_run_ns: u64,
    /// The longest one's time in nanoseconds.
    pub longest_run_ns: u64,
    /// When the last one began, in nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<i64>,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

impl Stats {
    /// Zeros for a component that starts at `now`.
    pub(crate) fn new(id: ComponentId, now: Timestamp) -> Self {
        Self {
            id,
            metrics: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            startup_errors: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            run_ns: AtomicU64::new(0),
            last: Mutex::default(),
            health: Mutex::new(Health::new(State::Starting, now)),
        }
    }

    /// The component.
    pub(crate) fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Counts a gather, push or write that took `took`.
    pub(crate) fn ran(&self, began: Timestamp, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.runs.fetch_add(1, Relaxed);
        self.run_ns.fetch_add(ns, Relaxed);
        let mut last = self.last.lock();
        last.run_at = Some(began);
        last.run_ns = ns;
        last.longest_ns = last.longest_ns.max(ns);
    }

    /// Counts a failure and keeps it as the last one. Logs it.
    pub(crate) fn error(&self, message: impl Into<String>, now: Timestamp) {
        let message = message.into();
        self.errors.fetch_add(1, Relaxed);
        tracing::error!(component = %self.id, "{message}");
        self.last.lock().error = Some(LastError {
            message,
            at: now.nanos(),
        });
    }

    /// Reads or changes the health.
    pub(crate) fn health<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        change(&mut self.health.lock())
    }

    /// All of it at this moment.
    pub(crate) fn observe(&self) -> Observed {
        let (state, since, why) =
            self.health(|h| (h.state(), h.since().nanos(), h.why().map(str::to_owned)));
        let last = self.last.lock();
        Observed {
            state,
            since,
            why,
            metrics: self.metrics.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            errors: self.errors.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            panics: self.panics.load(Relaxed),
            startup_errors: self.startup_errors.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            runs: self.runs.load(Relaxed),
            run_ns: self.run_ns.load(Relaxed),
            last_run_ns: last.run_ns,
            longest_run_ns: last.longest_ns,
            last_run_at: last.run_at.map(Timestamp::nanos),
            last_error: last.error.clone(),
        }
    }
}
