//! The scaler's status as metrics: all are `muster_scaler`, with the tag `owner`.

use muster_metric::Batch;
use muster_scaler_core::{Gate, PoolExplanation, ServerState};

use crate::status::Status;

/// Appends what is known. Without a pool: `leader` (1 if this scaler may act), `alarms`,
/// `decisions_total`, `stuck_deletes`, `paused_hosts`, `actions` and what was counted. By `pool`:
/// `desired_servers`, `healthy`, what was spent, and by a further tag `observed_servers` (`state`),
/// `slots` and `demand` (`kind`), `blocked` (`gate`). By `provider`: `observation_healthy`,
/// `observation_age_seconds`.
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
        .untimed();
    for (id, provider) in &status.providers {
        let mut metric = batch.metric("muster_scaler").tag("owner", owner);
        metric
            .add_tag("provider", id.to_string())
            .add_field("observation_healthy", i64::from(provider.error.is_none()));
        if let Some(age) = provider.age_ms {
            metric.add_field("observation_age_seconds", age as f64 / 1000.0);
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
    batch
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
        )
        .untimed();
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
