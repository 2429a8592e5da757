//! The agent's own metrics as Prometheus text.

use muster_engine::{Component, State};
use muster_formats::PrometheusText;
use muster_metric::{MetricType, Timestamp};
use muster_plugin::Kind;
use muster_tasks::{Group, LeakMonitor, Verdict};

use crate::Controller;

/// A family of samples, one for each component of the kinds that have it.
struct Family {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    value: fn(&Component) -> Option<f64>,
}

const NANOS: f64 = 1e9;

const FAMILIES: &[Family] = &[
    Family {
        name: "muster_component_up",
        kind: MetricType::Gauge,
        help: "Whether the component's last gather or write went well.",
        value: |c| Some(f64::from(u8::from(c.observed.state == State::Running))),
    },
    Family {
        name: "muster_component_metrics_total",
        kind: MetricType::Counter,
        help: "Metrics gathered, processed, aggregated or written.",
        value: |c| Some(c.observed.metrics as f64),
    },
    Family {
        name: "muster_component_metrics_filtered_total",
        kind: MetricType::Counter,
        help: "Metrics that the component's filters left out.",
        value: |c| Some(c.observed.filtered as f64),
    },
    Family {
        name: "muster_component_metrics_dropped_total",
        kind: MetricType::Counter,
        help: "Metrics dropped: no field left, outside of the window, or no room in the queue.",
        value: |c| Some((c.observed.dropped + c.queue.map_or(0, |q| q.dropped)) as f64),
    },
    Family {
        name: "muster_component_metrics_rejected_total",
        kind: MetricType::Counter,
        help: "Metrics that the service refused for good.",
        value: |c| (c.definition.id.kind == Kind::Output).then_some(c.observed.rejected as f64),
    },
    Family {
        name: "muster_component_errors_total",
        kind: MetricType::Counter,
        help: "Failures.",
        value: |c| Some(c.observed.errors as f64),
    },
    Family {
        name: "muster_component_panics_total",
        kind: MetricType::Counter,
        help: "Panics.",
        value: |c| Some(c.observed.panics as f64),
    },
    Family {
        name: "muster_component_timeouts_total",
        kind: MetricType::Counter,
        help: "Gathers and writes that were cancelled at their timeout.",
        value: |c| Some(c.observed.timeouts as f64),
    },
    Family {
        name: "muster_component_skipped_total",
        kind: MetricType::Counter,
        help: "Ticks that passed while an earlier gather still ran.",
        value: |c| (c.definition.id.kind == Kind::Input).then_some(c.observed.skipped as f64),
    },
    Family {
        name: "muster_component_runs_total",
        kind: MetricType::Counter,
        help: "Gathers, pushes and writes.",
        value: |c| Some(c.observed.runs as f64),
    },
    Family {
        name: "muster_component_run_seconds_total",
        kind: MetricType::Counter,
        help: "Time spent in gathers, pushes and writes.",
        value: |c| Some(c.observed.run_ns as f64 / NANOS),
    },
    Family {
        name: "muster_output_queue_metrics",
        kind: MetricType::Gauge,
        help: "Metrics that wait for the output.",
        value: |c| c.queue.map(|q| q.metrics as f64),
    },
    Family {
        name: "muster_output_queue_limit_metrics",
        kind: MetricType::Gauge,
        help: "The most metrics that wait for the output.",
        value: |c| c.queue.map(|q| q.limit as f64),
    },
    Family {
        name: "muster_output_queue_bytes",
        kind: MetricType::Gauge,
        help: "Bytes of memory that the waiting metrics take.",
        value: |c| c.queue.map(|q| q.bytes as f64),
    },
];

/// All of it.
pub(crate) fn text(controller: &Controller, root: &Group, leaks: &LeakMonitor) -> String {
    let engine = controller.engine();
    let mut text = PrometheusText::new();
    let mut gauge = |name: &str, help: &str, labels: &[(&str, &str)], value: f64| {
        text.family(name, MetricType::Gauge, help);
        text.sample(name, labels, value);
    };
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    gauge("muster_build_info", "The program's version.", &version, 1.0);
    let started = engine.started().nanos() as f64 / NANOS;
    gauge(
        "muster_start_time_seconds",
        "When the agent started, since 1970.",
        &[],
        started,
    );
    let age = (Timestamp::now().nanos() - engine.started().nanos()) as f64 / NANOS;
    gauge(
        "muster_uptime_seconds",
        "How long the agent runs.",
        &[],
        age,
    );
    let generation = controller.generation() as f64;
    gauge(
        "muster_generation",
        "The generation of the desired state.",
        &[],
        generation,
    );
    gauge("muster_tasks", "Tasks that live.", &[], root.count() as f64);
    let failed = controller
        .last_reload()
        .is_some_and(|reload| reload.error.is_some());
    let good = f64::from(u8::from(!failed));
    gauge(
        "muster_reload_ok",
        "Whether the files could be used when they were last read.",
        &[],
        good,
    );
    text.family(
        "muster_leaking_tasks",
        MetricType::Gauge,
        "Tasks of the agent that leak or seem to, by why they are held to.",
    );
    let findings = leaks.findings();
    for verdict in Verdict::ALL {
        let found = findings.iter().filter(|finding| finding.verdict == verdict);
        let live: usize = found.map(|finding| finding.live).sum();
        text.sample(
            "muster_leaking_tasks",
            &[("verdict", verdict.as_str())],
            live as f64,
        );
    }
    let components = engine.observe();
    for family in FAMILIES {
        text.family(family.name, family.kind, family.help);
        for component in &components {
            let Some(value) = (family.value)(component) else {
                continue;
            };
            let definition = &component.definition;
            let labels = [
                ("kind", definition.id.kind.as_str()),
                ("id", &*definition.id.id),
                ("plugin", definition.plugin.as_str()),
            ];
            text.sample(family.name, &labels, value);
        }
    }
    text.finish()
}
