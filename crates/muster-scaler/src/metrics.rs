//! The scaler's status as metrics: all are `muster_scaler`, with the tag `owner`.

use muster_metric::Batch;
use muster_scaler_core::explanation::{InputKind, Saw};
use muster_scaler_core::{Gate, PoolExplanation, ServerState};

use crate::status::Status;

/// Appends what is known; what is not is left out.
///
/// Without a pool: `leader` (1 if this scaler may act), `alarms`, `decisions_total`,
/// `stuck_deletes`, `paused_hosts`, `actions` and what was counted, `decided_total` by `action` and
/// `reason`. By `provider`: `observation_healthy`, `observation_age_seconds`, and the median and 90th
/// percentile of the last boots, `boot_seconds_p50` and `boot_seconds_p90`. By `pool`:
/// `desired_servers`, `healthy`, `oldest_wait_seconds`, `wait_p95_seconds`, what was spent and what
/// is left of the budget, and by a further tag `observed_servers` (`state`), `slots`, `hosts` and
/// `demand` (`kind`), `blocked` (`gate`), `observation_healthy` and `observation_age_seconds`
/// (`source`).
pub fn write(status: &Status, batch: &mut Batch) {
    let owner = status.owner.as_str();
    let counts = &status.counts;
    let stuck = status.ledger.servers.values();
    let stuck = stuck.filter(|server| server.state == ServerState::Stuck);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let total = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    batch
        .metric("muster_scaler")
        .tag("owner", owner)
        .field("leader", i64::from(status.lease.is_ok()))
        .field("alarms", count(status.alarms.len()))
        .field("decisions_total", total(status.ledger.decisions))
        .field("stuck_deletes", count(stuck.count()))
        .field("paused_hosts", count(status.ledger.paused_hosts.len()))
        .field("actions", count(status.actions))
        .field("creates_total", total(counts.creates))
        .field("deletes_total", total(counts.deletes))
        .field("failed_deletes_total", total(counts.failed_deletes))
        .field("orphans_found_total", total(counts.orphans))
        .field("gitlab_failures_total", total(counts.gitlab_failures))
        .field("disk_failures_total", total(counts.disk_failures))
        .field("clock_jumps_total", total(counts.clock_jumps))
        .field("late_observations_total", total(counts.late_observations))
        .field("record_failures_total", total(counts.record_failures))
        .field("join_failures_total", total(counts.join_failures))
        .field("drains_total", total(counts.drains))
        .field("drain_seconds_total", counts.drain_ms as f64 / 1000.0)
        .field("lookahead_jobs_total", total(counts.foretold_jobs))
        .field(
            "lookahead_error_seconds_total",
            total(counts.foretold_error_seconds),
        )
        .untimed();
    for decided in &counts.decided {
        let mut metric = batch.metric("muster_scaler").tag("owner", owner);
        metric.add_tag("action", &decided.action);
        if !decided.reason.is_empty() {
            metric.add_tag("reason", &decided.reason);
        }
        metric
            .field("decided_total", total(decided.count))
            .untimed();
    }
    for (id, provider) in &status.providers {
        let mut metric = batch.metric("muster_scaler").tag("owner", owner);
        metric.add_tag("provider", id.to_string()).add_field(
            "observation_healthy",
            i64::from(provider.error.is_none() && provider.complete),
        );
        if let Some(age) = provider.age_ms {
            metric.add_field("observation_age_seconds", age as f64 / 1000.0);
        }
        let boots = status.ledger.memory.providers.get(id);
        for (field, percent) in [("boot_seconds_p50", 50), ("boot_seconds_p90", 90)] {
            let seconds = boots.and_then(|memory| memory.boot_seconds.percentile(percent));
            if let Some(seconds) = seconds {
                metric.add_field(field, i64::from(seconds));
            }
        }
        metric.untimed();
    }
    let decision = status.decision.as_ref();
    for pool in decision
        .iter()
        .flat_map(|decision| &decision.explanation.pools)
    {
        write_pool(owner, pool, status, batch);
    }
}

fn write_pool(owner: &str, pool: &PoolExplanation, status: &Status, batch: &mut Batch) {
    let name = pool.pool.as_str();
    let mut whole = batch
        .metric("muster_scaler")
        .tag("owner", owner)
        .tag("pool", name)
        .field("desired_servers", i64::from(pool.plan.desired))
        .field("healthy", i64::from(pool.health.problems.is_empty()))
        .field("spend_hours_day", pool.spent.day_hours)
        .field("spend_money_month", pool.spent.month_money)
        .field(
            "oldest_wait_seconds",
            pool.demand.oldest_wait_millis as f64 / 1000.0,
        );
    if let Some(wait) = value(pool, InputKind::WaitP95) {
        whole.add_field("wait_p95_seconds", wait);
    }
    for gate in &pool.gates {
        if let Saw::Budget { hours, money, .. } = &gate.saw {
            if let Some(hours) = hours {
                whole.add_field("budget_left_hours_day", hours - pool.spent.day_hours);
            }
            if let Some(money) = money {
                whole.add_field("budget_left_money_month", money - pool.spent.month_money);
            }
        }
    }
    whole.untimed();
    for input in &pool.inputs {
        let Some(source) = source(input.what) else {
            continue;
        };
        let mut metric = batch
            .metric("muster_scaler")
            .tag("owner", owner)
            .tag("pool", name)
            .tag("source", source)
            .field("observation_healthy", i64::from(input.why.is_none()));
        if let Some(age) = input.age_millis {
            metric.add_field("observation_age_seconds", age as f64 / 1000.0);
        }
        metric.untimed();
    }
    let mut by = |tag: &str, value: &str, field: &str, number: i64| {
        batch
            .metric("muster_scaler")
            .tag("owner", owner)
            .tag("pool", name)
            .tag(tag, value)
            .field(field, number)
            .untimed();
    };
    for state in ServerState::ALL {
        let servers = status.ledger.servers.values();
        let there = servers
            .filter(|s| s.pool == name && s.state == state)
            .count();
        let there = i64::try_from(there).unwrap_or(i64::MAX);
        by("state", state.word(), "observed_servers", there);
    }
    let slots = [
        ("permanent", pool.capacity.permanent),
        ("temporary", pool.capacity.temporary),
        ("coming", pool.capacity.coming),
    ];
    for (kind, slots) in slots {
        by("kind", kind, "slots", i64::from(slots));
    }
    let hosts = [
        ("expected", pool.capacity.hosts),
        ("up", pool.capacity.up),
        ("down", pool.capacity.down),
        ("overloaded", pool.capacity.overloaded),
        ("paused", pool.capacity.paused),
    ];
    for (kind, hosts) in hosts {
        by("kind", kind, "hosts", i64::from(hosts));
    }
    let demand = [
        ("running", pool.demand.running),
        ("pending", pool.demand.pending),
        ("ahead", pool.demand.ahead),
    ];
    for (kind, demand) in demand {
        by("kind", kind, "demand", i64::from(demand));
    }
    for gate in &pool.gates {
        by(
            "gate",
            word(gate.gate),
            "blocked",
            i64::from(gate.blocked()),
        );
    }
}

fn value(pool: &PoolExplanation, what: InputKind) -> Option<f64> {
    let input = pool.inputs.iter().find(|input| input.what == what)?;
    input.value
}

/// Where it comes from; providers are told apart elsewhere.
const fn source(what: InputKind) -> Option<&'static str> {
    match what {
        InputKind::Hosts => Some("hosts"),
        InputKind::Pending => Some("pending"),
        InputKind::Running => Some("running"),
        InputKind::Pipelines => Some("pipelines"),
        InputKind::WaitP95 => Some("wait_p95"),
        InputKind::Runners => Some("runners"),
        InputKind::Listed(_) => None,
    }
}

const fn word(gate: Gate) -> &'static str {
    match gate {
        Gate::Mode => "mode",
        Gate::Observation => "observation",
        Gate::Lease => "lease",
        Gate::MaxServers => "max_servers",
        Gate::CreateRate => "create_rate",
        Gate::Provider => "provider",
        Gate::RequestBound => "request_bound",
        Gate::Budget => "budget",
        Gate::DeleteRate => "delete_rate",
    }
}

#[cfg(test)]
mod tests;
