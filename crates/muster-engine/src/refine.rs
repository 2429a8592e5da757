//! What happens to every metric of an input before the pipeline, in Telegraf's order: time,
//! selection on the raw name and tags, name, the input's tags, global tags, removal of fields and
//! tags.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use muster_config::{Filter, Naming, Tags};
use muster_metric::{Batch, Precision, Timestamp};

use crate::stats::Stats;

/// How an input's metrics are refined.
#[derive(Debug)]
pub(crate) struct Refiner {
    /// The plugin, whose name metrics get that come without one.
    pub plugin: &'static str,
    /// Which metrics pass and what is removed from them.
    pub filter: Filter,
    /// What becomes of the name.
    pub naming: Naming,
    /// Tags of the input, for metrics that lack them.
    pub tags: Tags,
    /// Tags of the agent, for metrics that lack them.
    pub global_tags: Arc<Tags>,
    /// Put the input's tags back if the filter removed them.
    pub always_local: bool,
    /// Put the agent's tags back if the filter removed them.
    pub always_global: bool,
    /// What timestamps are rounded to.
    pub precision: Precision,
}

impl Refiner {
    /// Refines all metrics of a batch. Those without a time get `now`; with `force_time` all get it.
    pub(crate) fn refine(
        &self,
        batch: &mut Batch,
        now: Timestamp,
        force_time: Option<Timestamp>,
        stats: &Stats,
    ) {
        batch.stamp(now);
        batch.for_each_mut(|mut metric| {
            if metric.name().is_empty() {
                metric.set_name(self.plugin);
            }
        });
        if !self.filter.is_empty() {
            let before = batch.len();
            batch.retain(|metric| self.filter.select(metric));
            stats
                .filtered
                .fetch_add((before - batch.len()) as u64, Relaxed);
        }
        let local = place(batch, &self.tags);
        let global = place(batch, &self.global_tags);
        let plain = self.filter.is_empty();
        let mut dropped = 0;
        for row in 0..batch.rows() {
            let Some(mut metric) = batch.get_mut(row) else {
                continue;
            };
            if let Some(time) = metric.view().time() {
                metric.set_time(time.round(self.precision));
            }
            rename(&self.naming, &mut metric);
            for (key, value) in local.iter().chain(&global) {
                metric.set_tag_if_absent(*key, *value);
            }
            let keep = if plain {
                metric.field_count() > 0
            } else {
                self.filter.modify(&mut metric)
            };
            if !keep {
                metric.discard();
                dropped += 1;
                continue;
            }
            if self.always_local {
                local.iter().for_each(|(key, value)| {
                    metric.set_tag_if_absent(*key, *value);
                });
            }
            if self.always_global {
                global.iter().for_each(|(key, value)| {
                    metric.set_tag_if_absent(*key, *value);
                });
            }
            if let Some(time) = force_time {
                metric.set_time(time.round(self.precision));
            }
        }
        stats.dropped.fetch_add(dropped, Relaxed);
        stats.metrics.fetch_add(batch.len() as u64, Relaxed);
    }
}

/// Writes tags into the batch once, for all its metrics to share.
pub(crate) fn place(
    batch: &mut Batch,
    tags: &Tags,
) -> Vec<(muster_metric::Text, muster_metric::Text)> {
    tags.iter()
        .map(|(key, value)| (batch.text(key), batch.text(value)))
        .collect()
}

/// Gives a metric the name that its component wants for it.
pub(crate) fn rename(naming: &Naming, metric: &mut muster_metric::MetricMut<'_>) {
    if let Some(name) = naming.apply(metric.name()) {
        metric.set_name(name);
    }
}
