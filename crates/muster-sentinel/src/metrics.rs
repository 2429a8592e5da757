//! Statuses as metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use muster_metric::Batch;

use crate::board::Slot;
use crate::health::Health;
use crate::status::{CheckKind, Status};

/// Appends what is known of an instance: `redis_sentinel_probe` (or `tcp_`, `http_`,
/// `exec_sentinel_probe`), with the tags `instance`, `cluster` and `role`. It is there whether the
/// instance is up or not. `up` is 1 while the verdict is up.
pub(crate) fn write_status(slot: &Slot, status: &Status, batch: &mut Batch) {
    let instance = slot.instance();
    let name = match instance.kind {
        CheckKind::Redis => "redis_sentinel_probe",
        CheckKind::Tcp => "tcp_sentinel_probe",
        CheckKind::Http => "http_sentinel_probe",
        CheckKind::Exec => "exec_sentinel_probe",
    };
    let mut metric = batch
        .metric(name)
        .tag("instance", instance.target.to_string());
    for (key, value) in [("cluster", &instance.cluster), ("role", &status.facts.role)] {
        if !value.is_empty() {
            metric.add_tag(key, value);
        }
    }
    metric
        .add_field("up", i64::from(status.is_up()))
        .add_field("state", status.state.as_str())
        .add_field("state_code", status.state.code())
        .add_field("reason", status.reason.as_str())
        .add_field("consecutive_fail", i64::from(status.fails))
        .add_field("flaps", i64::from(status.flaps))
        .add_field("tilt", status.tilt);
    if let Some(rtt) = status.rtt {
        metric.add_field("rtt_us", micros(rtt));
    }
    if let Some(replication) = &status.replication {
        metric.add_field("repl_link", i64::from(replication.link));
        if let Some(lag) = replication.lag {
            metric.add_field("repl_lag_seconds", lag.as_secs_f64());
        }
        if let Some(offset) = replication.offset {
            metric.add_field("repl_offset", i64::try_from(offset).unwrap_or(i64::MAX));
        }
    }
    if let Some(eta) = status.loading.and_then(|loading| loading.eta) {
        metric.add_field("loading_eta_seconds", eta.as_secs_f64());
    }
    metric.untimed();
}

/// Appends what a check counts of its own work: `muster_sentinel`, with the tag `check`. Its lateness is that of
/// the checks since this was appended last.
pub(crate) fn write_health(check: &str, instances: usize, health: &Health, batch: &mut Batch) {
    let count = |counter: &AtomicU64| i64::try_from(counter.load(Relaxed)).unwrap_or(i64::MAX);
    let lateness = health.take_lateness();
    batch
        .metric("muster_sentinel")
        .tag("check", check)
        .field("instances", i64::try_from(instances).unwrap_or(i64::MAX))
        .field("checks_total", count(&health.checks))
        .field("overrun_total", count(&health.overruns))
        .field("panics_total", count(&health.panics))
        .field("tilt_total", count(&health.tilts))
        .field("local_faults_total", count(&health.local_faults))
        .field("late_p50_us", micros(lateness.quantile(0.5)))
        .field("late_p99_us", micros(lateness.quantile(0.99)))
        .field("late_max_us", micros(lateness.max()))
        .untimed();
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
