//! The rules about processors and aggregators.

use std::panic::{AssertUnwindSafe, catch_unwind};

use muster_metric::{Batch, Metric, Timestamp};

use super::inputs::garbage;
use super::stage::{Plugin, Stage, sample};
use super::{Case, Findings};
use crate::{PluginRow, ProcessContext, Selected};

/// Applies either kind of processor.
fn apply(plugin: &mut Plugin, metrics: &mut Selected<'_>) {
    let cx = ProcessContext {
        now: Timestamp::from_seconds(1_700_000_100),
    };
    match plugin {
        Plugin::Processor(processor) => processor.apply(metrics, &cx),
        Plugin::StatefulProcessor(processor) => processor.apply(metrics, &cx),
        _ => {}
    }
}

pub(super) fn check_processor(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let run = catch_unwind(AssertUnwindSafe(|| processor(row, case, found)));
    found.expect("NO-PANIC", run.is_ok(), || {
        "it panics on metrics".to_owned()
    });
}

fn processor(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let Ok(mut plugin) = Stage::build(row, &case.options) else {
        return;
    };
    if let Plugin::StatefulProcessor(stateful) = &mut plugin {
        garbage()
            .into_iter()
            .for_each(|state| stateful.restore(state));
    }
    apply(&mut plugin, &mut Selected::all(&mut Batch::new()));
    // Only what was selected is touched.
    let before = sample();
    let mut batch = before.clone();
    let rows: Vec<u32> = (0..before.rows() as u32)
        .filter(|row| row % 2 == 0)
        .collect();
    apply(&mut plugin, &mut Selected::of_rows(&mut batch, &rows));
    for row in (0..before.rows()).filter(|row| row % 2 == 1) {
        let same = match (before.get(row), batch.get(row)) {
            (Some(a), Some(b)) => shown(a) == shown(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        found.expect("SELECTED", same, || {
            format!("row {row} was not selected and has changed")
        });
    }
    for _ in 0..2 {
        apply(&mut plugin, &mut Selected::all(&mut sample()));
    }
    if let Plugin::StatefulProcessor(stateful) = &mut plugin {
        if let Some(state) = stateful.state() {
            stateful.restore(state);
        }
        stateful.finish(&mut Batch::new());
    }
}

fn shown(metric: Metric<'_>) -> String {
    let tags: Vec<_> = metric.tags().collect();
    let fields: Vec<_> = metric.fields().collect();
    format!("{} {tags:?} {fields:?} {:?}", metric.name(), metric.time())
}

pub(super) fn check_aggregator(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let run = catch_unwind(AssertUnwindSafe(|| aggregator(row, case, found)));
    found.expect("NO-PANIC", run.is_ok(), || {
        "it panics on metrics".to_owned()
    });
}

fn aggregator(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let Ok(Plugin::Aggregator(mut plugin)) = Stage::build(row, &case.options) else {
        return;
    };
    garbage()
        .into_iter()
        .for_each(|state| plugin.restore(state));
    plugin.push(&mut Batch::new());
    plugin.reset();
    for _ in 0..2 {
        let mut batch = Batch::new();
        sample().iter().for_each(|metric| plugin.add(metric));
        if let Some(state) = plugin.state() {
            plugin.restore(state);
        }
        plugin.push(&mut batch);
        plugin.reset();
        found.expect("GATHER", batch.len() >= case.metrics, || {
            format!(
                "a window of samples gives {} metrics, not {}",
                batch.len(),
                case.metrics
            )
        });
        for metric in batch.iter() {
            found.expect("METRICS", metric.fields().len() > 0, || {
                format!("`{}` has no field", metric.name())
            });
        }
    }
}
