//! The agent's own metrics: Telegraf's `internal_*` measurements and what they lack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use muster_metric::Batch;
use muster_plugin::{Kind, Telemetry};
use parking_lot::Mutex;

use crate::engine::{Component, Engine, EngineInner};

/// Writes what the engine counts into a batch.
pub(crate) struct Internal {
    engine: Weak<EngineInner>,
    /// Runs and their time when an average was last taken, by component.
    before: Mutex<BTreeMap<String, (u64, u64)>>,
}

impl Internal {
    pub(crate) fn of(engine: &Engine) -> Self {
        Self {
            engine: Arc::downgrade(&engine.inner),
            before: Mutex::default(),
        }
    }

    /// Forgets what was kept of components that are gone.
    fn forget_all_but(&self, components: &[Component]) {
        let live: BTreeSet<String> = components
            .iter()
            .map(|c| c.definition.id.to_string())
            .collect();
        let mut before = self.before.lock();
        before.retain(|key, _| {
            key.rsplit_once(' ')
                .is_some_and(|(id, _)| live.contains(id))
        });
    }

    /// The average time of the runs since the last call.
    fn average_ns(&self, id: String, runs: u64, run_ns: u64) -> i64 {
        let mut before = self.before.lock();
        let (old_runs, old_ns) = before.insert(id, (runs, run_ns)).unwrap_or_default();
        let average = run_ns.saturating_sub(old_ns) / runs.saturating_sub(old_runs).max(1);
        i64::try_from(average).unwrap_or(i64::MAX)
    }
}

/// Counts of components that share a plugin, an alias and so on.
#[derive(Default)]
struct Totals {
    gathered: u64,
    gather_errors: u64,
    gather_timeouts: u64,
    written: u64,
    rejected: u64,
    dropped: u64,
    write_errors: u64,
}

impl Telemetry for Internal {
    fn collect(&self, per_instance: bool, batch: &mut Batch) {
        let Some(engine) = self.engine.upgrade().map(Engine::from_inner) else {
            return;
        };
        let components = engine.observe();
        self.forget_all_but(&components);
        let mut totals = Totals::default();
        let mut merged: BTreeMap<(Kind, String, Option<String>), Component> = BTreeMap::new();
        for component in components {
            let observed = &component.observed;
            match component.definition.id.kind {
                Kind::Input => {
                    totals.gathered += observed.metrics;
                    totals.gather_errors += observed.errors;
                    totals.gather_timeouts += observed.timeouts + observed.skipped;
                }
                Kind::Output => {
                    totals.written += observed.metrics;
                    totals.rejected += observed.rejected;
                    totals.dropped += component.queue.map_or(0, |queue| queue.dropped);
                    totals.write_errors += observed.errors;
                }
                _ => {}
            }
            if per_instance {
                let id = component.definition.id.id.to_string();
                self.write(&component, Some(&id), batch);
                continue;
            }
            let definition = &component.definition;
            let alias = definition.options.get("alias").and_then(|v| v.as_str());
            let key = (
                definition.id.kind,
                definition.plugin.clone(),
                alias.map(str::to_owned),
            );
            match merged.get_mut(&key) {
                Some(sum) => add(sum, &component),
                None => {
                    merged.insert(key, component);
                }
            }
        }
        for component in merged.values() {
            self.write(component, None, batch);
        }
        batch
            .metric("internal_agent")
            .tag("version", env!("CARGO_PKG_VERSION"))
            .field("metrics_gathered", signed(totals.gathered))
            .field("metrics_written", signed(totals.written))
            .field("metrics_rejected", signed(totals.rejected))
            .field("metrics_dropped", signed(totals.dropped))
            .field("gather_errors", signed(totals.gather_errors))
            .field("gather_timeouts", signed(totals.gather_timeouts))
            .field("write_errors", signed(totals.write_errors))
            .untimed();
    }
}

impl Internal {
    fn write(&self, component: &Component, id: Option<&str>, batch: &mut Batch) {
        let Component {
            definition,
            observed,
            queue,
        } = component;
        let kind = definition.id.kind;
        let measurement = match kind {
            Kind::Input => "internal_gather",
            Kind::Processor => "internal_process",
            Kind::Aggregator => "internal_aggregate",
            Kind::Output => "internal_write",
            Kind::Check => "internal_check",
            Kind::Publisher => "internal_publish",
            Kind::Scaler => "internal_scale",
        };
        let key = format!(
            "{} {}/{}",
            definition.id,
            definition.plugin,
            id.unwrap_or_default()
        );
        let average = self.average_ns(key, observed.runs, observed.run_ns);
        let mut metric = batch
            .metric(measurement)
            .tag(kind.as_str(), &definition.plugin)
            .tag("version", env!("CARGO_PKG_VERSION"))
            .field("errors", signed(observed.errors));
        if let Some(alias) = definition.options.get("alias").and_then(|v| v.as_str()) {
            metric.add_tag("alias", alias);
        }
        if let Some(id) = id {
            metric.add_tag("id", id);
        }
        let mut field = |name: &str, value: u64| {
            metric.add_new_field(name, signed(value));
        };
        match kind {
            Kind::Input => {
                field("metrics_gathered", observed.metrics);
                field("metrics_filtered", observed.filtered);
                field("metrics_dropped", observed.dropped);
                field("gather_errors", observed.errors);
                field("gather_timeouts", observed.timeouts + observed.skipped);
                field("gather_panics", observed.panics);
                field("startup_errors", observed.startup_errors);
                field("gather_time_longest_ns", observed.longest_run_ns);
            }
            Kind::Processor => {
                field("metrics_processed", observed.metrics);
                field("metrics_dropped", observed.dropped);
                field("panics", observed.panics);
            }
            Kind::Aggregator => {
                field("metrics_pushed", observed.metrics);
                field("metrics_filtered", observed.filtered);
                field("metrics_dropped", observed.dropped);
                field("panics", observed.panics);
            }
            Kind::Check | Kind::Publisher | Kind::Scaler => {
                field("metrics_gathered", observed.metrics);
                field("metrics_filtered", observed.filtered);
                field("metrics_dropped", observed.dropped);
                field("panics", observed.panics);
                field("startup_errors", observed.startup_errors);
            }
            Kind::Output => {
                let queue = queue.unwrap_or_default();
                field("buffer_size", queue.metrics as u64);
                field("buffer_limit", queue.limit as u64);
                field("buffer_bytes", queue.bytes as u64);
                field("metrics_added", queue.added);
                field("metrics_written", observed.metrics);
                field("metrics_rejected", observed.rejected);
                field("metrics_dropped", queue.dropped + observed.dropped);
                field("metrics_filtered", observed.filtered);
                field("write_errors", observed.errors);
                field("startup_errors", observed.startup_errors);
                field("write_time_longest_ns", observed.longest_run_ns);
            }
        }
        let time = match kind {
            Kind::Input => Some("gather_time_ns"),
            Kind::Aggregator => Some("push_time_ns"),
            Kind::Output => Some("write_time_ns"),
            Kind::Processor | Kind::Check | Kind::Publisher | Kind::Scaler => None,
        };
        if let Some(name) = time {
            metric.add_new_field(name, average);
        }
        metric.untimed();
    }
}

/// Adds the counts of a component to those of another one of the same plugin and alias.
fn add(sum: &mut Component, other: &Component) {
    let (a, b) = (&mut sum.observed, &other.observed);
    for (a, b) in [
        (&mut a.metrics, b.metrics),
        (&mut a.filtered, b.filtered),
        (&mut a.dropped, b.dropped),
        (&mut a.rejected, b.rejected),
        (&mut a.errors, b.errors),
        (&mut a.timeouts, b.timeouts),
        (&mut a.panics, b.panics),
        (&mut a.startup_errors, b.startup_errors),
        (&mut a.skipped, b.skipped),
        (&mut a.runs, b.runs),
        (&mut a.run_ns, b.run_ns),
    ] {
        *a += b;
    }
    a.longest_run_ns = a.longest_run_ns.max(b.longest_run_ns);
    if let (Some(a), Some(b)) = (&mut sum.queue, &other.queue) {
        a.metrics += b.metrics;
        a.bytes += b.bytes;
        a.limit += b.limit;
        a.added += b.added;
        a.dropped += b.dropped;
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
