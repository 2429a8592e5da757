//! Configurations and observations that tests begin with.

use std::time::Duration;

use muster_scaler_core::config::{
    Config, GitlabConfig, Mode, PoolConfig, ProviderCommon, ProviderConfig,
};
use muster_scaler_core::{
    Decision, Host, Jobs, Ledger, Observation, PoolObservation, Reading, Time, decide,
};

/// When all stories begin: a Friday noon.
pub(super) const START: Time = Time::from_secs(1_800_014_400);
pub(super) const POOL: &str = "docker";

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn provider() -> ProviderConfig {
    ProviderConfig {
        common: ProviderCommon {
            kind: "exec".to_owned(),
            boot_timeout: seconds(180).into(),
            price_per_hour: 0.5,
            ..ProviderCommon::default()
        },
        table: toml::Table::new(),
    }
}

/// One pool of servers with four slots each.
pub(super) fn config() -> Config {
    Config {
        mode: Mode::On,
        owner: "tests".to_owned(),
        gitlab: Some(GitlabConfig::default()),
        pool: vec![PoolConfig {
            name: POOL.to_owned(),
            match_tags: vec!["docker".to_owned()],
            permanent: "job=\"ci\"".to_owned(),
            slots_per_server: 4,
            max_servers: 8,
            provider: vec![provider()],
            ..PoolConfig::default()
        }],
        ..Config::default()
    }
}

/// A permanent host that is well.
pub(super) fn host(instance: &str, slots: u32, running: u32, at: Time) -> Host {
    Host {
        instance: instance.to_owned(),
        server: None,
        up: Reading::known(true, at),
        slots: Reading::known(slots, at),
        running: Reading::known(running, at),
        cpu_pressure: Reading::known(0.0, at),
        memory_stall: Reading::known(0.0, at),
        request_bound: Reading::known(false, at),
        runner: None,
        paused: Reading::unknown("no runner of its own"),
    }
}

pub(super) fn jobs(pending: u32, running: u32) -> Jobs {
    Jobs {
        pending,
        running,
        oldest_wait: Duration::ZERO,
    }
}

/// An observation of the one pool with all sources well.
pub(super) fn observation(hosts: Vec<Host>, jobs: Jobs, at: Time) -> Observation {
    let pool = PoolObservation {
        hosts: Reading::known(hosts, at),
        jobs: Reading::known(jobs, at),
        pipelines: Reading::known(Vec::new(), at),
        wait_p95: Reading::unknown("no job started"),
    };
    Observation {
        at,
        pools: [(POOL.to_owned(), pool)].into(),
        listings: [].into(),
        runners: Reading::known([].into(), at),
        ended: Vec::new(),
        lease: Ok(()),
    }
}

/// Decides and makes the events part of the ledger.
pub(super) fn step(
    config: &Config,
    seen: &Observation,
    ledger: &mut Ledger,
    now: Time,
) -> Decision {
    let decision = decide(config, seen, ledger, now);
    for event in &decision.events {
        let fits = ledger.apply(event);
        assert_eq!(fits, Ok(()), "{event:?}");
    }
    decision
}
