//! The way of a batch from an input to the outputs' queues.
//!
//! A [`Pipeline`] is immutable; a change builds another one, which shares all links that did not
//! change, and swaps the pointer. The links with memory sit behind a lock of their own, so that a
//! change never moves, drains or pauses them; a batch that is on its way through the old pipeline
//! ends its way there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_config::{Filter, Naming};
use muster_metric::{Batch, Chunk, Timestamp};
use muster_plugin::ComponentId;

use crate::aggregation::Aggregation;
use crate::link::Link;
use crate::queue::OutputQueue;
use crate::refine::rename;
use crate::stats::Stats;
use crate::tap::Taps;

/// An output that takes less than one row in so many gets a copy of them.
const SPARSE: usize = 4;

/// One output's entry: what it takes and where it waits.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// The component.
    pub id: ComponentId,
    /// Which metrics it takes and what is removed from them.
    pub filter: Filter,
    /// What becomes of their names.
    pub naming: Naming,
    /// Where they wait.
    pub queue: Arc<OutputQueue>,
    /// Whether the last write went well: only such an output may slow its sources a little.
    pub healthy: Arc<AtomicBool>,
    /// Its counters.
    pub stats: Arc<Stats>,
}

impl Outlet {
    fn take(&self, batch: &Arc<Batch>) {
        if self.filter.is_empty() && self.naming.is_empty() {
            self.queue.push(Chunk::all(Arc::clone(batch)));
            return;
        }
        let rows = select_rows(batch, &self.filter);
        self.stats
            .filtered
            .fetch_add((batch.len() - rows.len()) as u64, Ordering::Relaxed);
        if rows.is_empty() {
            return;
        }
        if !self.filter.modifies() && self.naming.is_empty() {
            // A few rows must not keep a large batch in memory for as long as they wait.
            if rows.len() >= batch.rows() / SPARSE {
                self.queue.push(Chunk::of_rows(Arc::clone(batch), rows));
                return;
            }
        }
        let mut copy = Batch::with_capacity(rows.len(), 0);
        copy.attach_as(batch);
        for metric in rows.iter().filter_map(|row| batch.get(*row as usize)) {
            copy.push(metric);
        }
        copy.for_each_mut(|mut metric| {
            if !self.filter.modifies() || self.filter.modify(&mut metric) {
                rename(&self.naming, &mut metric);
            } else {
                self.stats.dropped.fetch_add(1, Ordering::Relaxed);
                metric.discard();
            }
        });
        self.queue.push(Chunk::all(Arc::new(copy)));
    }
}

pub(crate) fn select_rows(batch: &Batch, filter: &Filter) -> Vec<u32> {
    batch
        .iter()
        .filter(|metric| filter.select(*metric))
        .map(|metric| metric.row() as u32)
        .collect()
}

/// The processors, aggregators and outputs, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipeline {
    /// Before the aggregators.
    pub before: Vec<Arc<Link>>,
    /// The aggregators.
    pub aggregations: Vec<Arc<Aggregation>>,
    /// What the aggregators bring goes through these.
    pub after: Vec<Arc<Link>>,
    /// The outputs.
    pub outlets: BTreeMap<ComponentId, Arc<Outlet>>,
    /// Who watches.
    pub taps: Arc<Taps>,
}

impl Pipeline {
    /// Takes a batch from an input all the way to the outputs' queues. Never waits.
    pub(crate) fn submit(&self, mut batch: Batch, now: Timestamp) {
        for link in &self.before {
            link.apply(&mut batch, now);
        }
        self.aggregate(batch);
    }

    /// Past the processors: to the aggregators, then to the outputs.
    fn aggregate(&self, mut batch: Batch) {
        let mut drop_rows = Vec::new();
        for aggregation in &self.aggregations {
            aggregation.add(&batch, &mut drop_rows);
        }
        for row in drop_rows {
            if let Some(metric) = batch.get_mut(row) {
                metric.discard();
            }
        }
        self.fan_out(batch);
    }

    /// Takes what an aggregator brings through the second run of the processors to the outputs.
    pub(crate) fn submit_aggregate(&self, mut batch: Batch, now: Timestamp) {
        for link in &self.after {
            link.apply(&mut batch, now);
        }
        self.fan_out(batch);
    }

    /// Takes what a processor held back through those that come after it.
    pub(crate) fn submit_after(&self, place: (i64, u64), mut batch: Batch, now: Timestamp) {
        for link in self.before.iter().filter(|link| link.place > place) {
            link.apply(&mut batch, now);
        }
        self.aggregate(batch);
    }

    /// The same in the second run.
    pub(crate) fn submit_aggregate_after(
        &self,
        place: (i64, u64),
        mut batch: Batch,
        now: Timestamp,
    ) {
        for link in self.after.iter().filter(|link| link.place > place) {
            link.apply(&mut batch, now);
        }
        self.fan_out(batch);
    }

    fn fan_out(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        if self.taps.is_watched() {
            self.taps.show(&batch);
        }
        for outlet in self.outlets.values() {
            outlet.take(&batch);
        }
    }

    /// A queue that is crowded although its output writes well, for a source that can wait.
    pub(crate) fn crowded(&self) -> Option<&Arc<OutputQueue>> {
        let crowded = |outlet: &&Arc<Outlet>| {
            outlet.healthy.load(Ordering::Relaxed) && outlet.queue.is_crowded()
        };
        self.outlets
            .values()
            .find(crowded)
            .map(|outlet| &outlet.queue)
    }
}
