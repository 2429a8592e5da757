//! One processor in its place in the pipeline.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use muster_config::Filter;
use muster_metric::{Batch, Timestamp};
use muster_plugin::{ProcessContext, Processor, Selected, StatefulProcessor};
use muster_tasks::{PanicInfo, catch_panic_sync};
use parking_lot::Mutex;
use serde_json::Value;

use crate::pipeline::select_rows;
use crate::stats::Stats;

/// How long a change or a stop waits for a processor that is at work. One that does not come back
/// must hold up neither.
const PATIENCE: Duration = Duration::from_millis(100);

/// One processor in its place.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where it stands: by `order`, then by position in the files.
    pub(crate) place: (i64, u64),
    filter: Filter,
    work: Work,
    /// A processor that panicked is passed by until it is changed or resumed.
    broken: AtomicBool,
    stats: Arc<Stats>,
}

enum Work {
    Stateless(Box<dyn Processor>),
    Stateful(Mutex<Holder>),
}

/// Who has the memory.
enum Holder {
    Here(Box<dyn StatefulProcessor>),
    /// A successor took it over: batches that still come here go on to it.
    Successor(Arc<Link>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stateless(_) => "Stateless",
            Self::Stateful(_) => "Stateful",
        })
    }
}

impl Link {
    /// A processor without memory.
    pub(crate) fn stateless(
        place: (i64, u64),
        filter: Filter,
        processor: Box<dyn Processor>,
        stats: Arc<Stats>,
    ) -> Self {
        Self::new(place, filter, Work::Stateless(processor), stats)
    }

    /// A processor with memory.
    pub(crate) fn stateful(
        place: (i64, u64),
        filter: Filter,
        processor: Box<dyn StatefulProcessor>,
        stats: Arc<Stats>,
    ) -> Self {
        let work = Work::Stateful(Mutex::new(Holder::Here(processor)));
        Self::new(place, filter, work, stats)
    }

    fn new(place: (i64, u64), filter: Filter, work: Work, stats: Arc<Stats>) -> Self {
        let broken = AtomicBool::new(false);
        Self {
            place,
            filter,
            work,
            broken,
            stats,
        }
    }

    /// The memory of a processor that has one.
    pub(crate) fn state(&self) -> Option<Value> {
        self.with_memory(|processor| processor.state()).flatten()
    }

    /// Gives the processor memory from an earlier run.
    pub(crate) fn restore(&self, state: Value) {
        self.with_memory(|processor| processor.restore(state));
    }

    /// What a processor with memory still holds back.
    pub(crate) fn finish(&self) -> Batch {
        let mut batch = Batch::new();
        self.with_memory(|processor| processor.finish(&mut batch));
        batch
    }

    /// Moves the memory to a successor. Batches that still come here go on to it, so that nothing
    /// is remembered twice or not at all.
    pub(crate) fn hand_over(&self, successor: &Arc<Self>) {
        let Work::Stateful(holder) = &self.work else {
            return;
        };
        let Some(mut holder) = holder.try_lock_for(PATIENCE) else {
            return;
        };
        if let Holder::Here(processor) = &*holder {
            match catch_panic_sync(AssertUnwindSafe(|| processor.state())) {
                Ok(Some(state)) => successor.restore(state),
                Ok(None) => {}
                Err(panic) => self.break_down(&panic, Timestamp::now()),
            }
            *holder = Holder::Successor(Arc::clone(successor));
        }
    }

    /// Works with the memory, if it is here, not busy for long, and the processor does not panic.
    fn with_memory<T>(&self, work: impl FnOnce(&mut dyn StatefulProcessor) -> T) -> Option<T> {
        let Work::Stateful(holder) = &self.work else {
            return None;
        };
        let mut holder = holder.try_lock_for(PATIENCE)?;
        let Holder::Here(processor) = &mut *holder else {
            return None;
        };
        match catch_panic_sync(AssertUnwindSafe(|| work(processor.as_mut()))) {
            Ok(value) => Some(value),
            Err(panic) => {
                self.break_down(&panic, Timestamp::now());
                None
            }
        }
    }

    /// Lets the processor work on what its filter lets through.
    pub(crate) fn apply(&self, batch: &mut Batch, now: Timestamp) {
        if self.broken.load(Relaxed) {
            return;
        }
        match &self.work {
            Work::Stateless(processor) => {
                self.run(batch, now, |selected, cx| processor.apply(selected, cx));
            }
            Work::Stateful(holder) => {
                let mut holder = holder.lock();
                match &mut *holder {
                    Holder::Here(processor) => {
                        self.run(batch, now, |selected, cx| processor.apply(selected, cx));
                    }
                    Holder::Successor(link) => {
                        let link = Arc::clone(link);
                        drop(holder);
                        link.apply(batch, now);
                    }
                }
            }
        }
    }

    fn run(
        &self,
        batch: &mut Batch,
        now: Timestamp,
        apply: impl FnOnce(&mut Selected<'_>, &ProcessContext),
    ) {
        let cx = ProcessContext { now };
        let before = batch.len();
        let rows = (!self.filter.is_empty()).then(|| self.select(batch));
        let passed = rows.as_ref().map_or(before, Vec::len);
        let outcome = catch_panic_sync(AssertUnwindSafe(|| {
            let mut selected = match &rows {
                None => Selected::all(batch),
                Some(rows) => Selected::of_rows(batch, rows),
            };
            apply(&mut selected, &cx);
        }));
        self.stats.metrics.fetch_add(passed as u64, Relaxed);
        match outcome {
            Ok(()) if self.broken.load(Relaxed) => {}
            Ok(()) => {
                self.stats.health(|health| health.succeeded(now));
            }
            Err(panic) => self.break_down(&panic, now),
        }
    }

    fn break_down(&self, panic: &PanicInfo, now: Timestamp) {
        self.broken.store(true, Relaxed);
        self.stats.panics.fetch_add(1, Relaxed);
        let why = format!("panicked, is passed by until it is changed or resumed: {panic}");
        self.stats.error(&why, now);
        self.stats.health(|health| health.quarantine(why, now));
    }

    /// The rows that the filter lets through, stripped as it says.
    fn select(&self, batch: &mut Batch) -> Vec<u32> {
        let rows = select_rows(batch, &self.filter);
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(mut metric) = batch.get_mut(row as usize) {
                if self.filter.modify(&mut metric) {
                    kept.push(row);
                } else {
                    metric.discard();
                    self.stats.dropped.fetch_add(1, Relaxed);
                }
            }
        }
        kept
    }
}
