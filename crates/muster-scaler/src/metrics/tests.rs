use std::collections::BTreeSet;
use std::sync::Arc;

use muster_scaler_core::explanation::Input;
use muster_scaler_core::spend::Spent;
use muster_scaler_core::{Decision, Explanation, GateResult, Ledger, ProviderId, Time};

use super::*;
use crate::status::{ProviderHealth, Status};
use crate::{Counts, Decided};

/// The alerts that are shipped.
const RULES: &str = include_str!("../../../../packaging/prometheus/muster-scaler.rules.yml");

fn pool() -> PoolExplanation {
    let input = |what, value, why: Option<&str>| Input {
        what,
        value,
        age_millis: value.map(|_| 1500),
        why: why.map(str::to_owned),
    };
    let saw = Saw::Budget {
        spent: Spent::default(),
        hours: Some(10.0),
        money: Some(400.0),
    };
    PoolExplanation {
        pool: "docker".to_owned(),
        inputs: vec![
            input(InputKind::WaitP95, Some(42.0), None),
            input(InputKind::Hosts, None, Some("Prometheus did not answer")),
        ],
        spent: Spent {
            day_hours: 12.5,
            month_money: 100.0,
        },
        gates: vec![GateResult {
            gate: Gate::Budget,
            asked: 2,
            passed: 0,
            saw,
        }],
        ..PoolExplanation::default()
    }
}

fn status() -> Status {
    let provider = ProviderId {
        pool: "docker".to_owned(),
        at: 0,
    };
    let mut ledger = Ledger::default();
    let memory = ledger.memory.providers.entry(provider.clone()).or_default();
    for seconds in 1..=10 {
        memory.boot_seconds.push(seconds, Time::from_millis(0));
    }
    let decision = Decision {
        id: 1,
        at: Time::from_millis(0),
        mode: muster_scaler_core::config::Mode::On,
        events: Vec::new(),
        actions: Vec::new(),
        wanted: Vec::new(),
        alarms: Vec::new(),
        explanation: Explanation {
            pools: vec![pool()],
        },
    };
    let health = ProviderHealth {
        servers: Some(1),
        complete: true,
        age_ms: Some(10),
        error: None,
    };
    Status {
        owner: "ci".to_owned(),
        ledger: Arc::new(ledger),
        decision: Some(Arc::new(decision)),
        providers: [(provider, health)].into(),
        counts: Counts {
            drains: 2,
            drain_ms: 3000,
            decided: vec![Decided {
                action: "drain".to_owned(),
                reason: "not needed".to_owned(),
                count: 3,
            }],
            ..Counts::default()
        },
        ..Status::default()
    }
}

fn written() -> Batch {
    let mut batch = Batch::new();
    write(&status(), &mut batch);
    batch
}

#[test]
fn what_is_known_is_told_and_what_is_not_is_left_out() {
    let batch = written();
    let value = |tag: (&str, &str), field: &str| {
        let tagged = batch.iter().filter(|m| m.tag(tag.0) == Some(tag.1));
        tagged.filter_map(|m| m.field(field)).next()
    };
    assert_eq!(
        value(("owner", "ci"), "drain_seconds_total"),
        Some(3.0.into())
    );
    assert_eq!(
        value(("reason", "not needed"), "decided_total"),
        Some(3.into())
    );
    assert_eq!(
        value(("pool", "docker"), "budget_left_hours_day"),
        Some((-2.5).into())
    );
    assert_eq!(
        value(("pool", "docker"), "budget_left_money_month"),
        Some(300.0.into())
    );
    assert_eq!(
        value(("pool", "docker"), "wait_p95_seconds"),
        Some(42.0.into())
    );
    assert_eq!(
        value(("source", "hosts"), "observation_healthy"),
        Some(0.into())
    );
    assert_eq!(value(("source", "hosts"), "observation_age_seconds"), None);
    assert_eq!(
        value(("source", "wait_p95"), "observation_age_seconds"),
        Some(1.5.into())
    );
    assert_eq!(
        value(("provider", "docker/0"), "boot_seconds_p50"),
        Some(5.into())
    );
    assert_eq!(
        value(("provider", "docker/0"), "boot_seconds_p90"),
        Some(9.into())
    );
}

#[test]
fn every_metric_of_the_shipped_alerts_is_there() {
    let batch = written();
    let there: BTreeSet<String> = batch
        .iter()
        .flat_map(|m| {
            m.fields()
                .map(move |(field, _)| format!("{}_{field}", m.name()))
                .collect::<Vec<_>>()
        })
        .collect();
    let words = RULES.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let asked: BTreeSet<&str> = words.filter(|w| w.starts_with("muster_scaler_")).collect();
    assert!(asked.len() >= 10, "{asked:?}");
    for metric in asked {
        assert!(there.contains(metric), "{metric} is not among {there:?}");
    }
}
