//! The product itself: what is observed is built from the simulated world, the real decision is made,
//! and its actions are carried out there.

mod eyes;
mod hands;

use muster_options::Duration;
use muster_scaler_core::config::{
    GitlabConfig, Mode, PoolConfig, ProviderCommon, ProviderConfig, RateConfig,
};
use muster_scaler_core::{Action, Config, Decision, Event, Ledger, Observation, Time, decide};
use serde::{Deserialize, Serialize};

use super::{Desk, Policy};
use crate::world::World;
use eyes::Eyes;
use hands::Hands;

/// What Muster looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// Metrics, and GitLab's jobs with the next stages of their pipelines.
    #[default]
    Ahead,
    /// Metrics, and GitLab's jobs that wait or run.
    Gitlab,
    /// Metrics alone: the reduced mode.
    Metrics,
}

/// The settings of Muster's own rule: those of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MusterSettings {
    /// What it looks at.
    pub sight: Sight,
    /// `idle_time`, in seconds.
    pub idle_time: u32,
    /// `warm`.
    pub warm: u32,
    /// `headroom`.
    pub headroom: f64,
    /// How often it decides, in seconds: job webhooks wake it up between its ticks.
    pub tick: u32,
}

impl Default for MusterSettings {
    fn default() -> Self {
        Self {
            sight: Sight::Ahead,
            idle_time: 90,
            warm: 0,
            headroom: 0.0,
            tick: 5,
        }
    }
}

/// A decision with what it was made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The configuration.
    pub config: Config,
    /// The ledger before.
    pub ledger: Ledger,
    /// What was seen.
    pub observation: Observation,
    /// What was decided.
    pub decision: Decision,
}

/// Muster's own rule.
pub struct Muster<'r> {
    config: Config,
    ledger: Ledger,
    eyes: Option<Eyes>,
    hands: Hands,
    reduced: bool,
    /// Nothing was there to decide about at the last tick.
    rests: bool,
    misfits: Vec<String>,
    record: Option<&'r mut dyn FnMut(Record)>,
}

impl<'r> Muster<'r> {
    /// For a world, with these settings.
    pub fn new(world: &World, settings: &MusterSettings) -> Self {
        Self::with_config(config(world, settings))
    }

    /// With a whole configuration, whose pools have the names of the world's.
    pub fn with_config(config: Config) -> Self {
        Self {
            reduced: config.gitlab.is_none(),
            config,
            ledger: Ledger::default(),
            eyes: None,
            hands: Hands::default(),
            rests: false,
            misfits: Vec::new(),
            record: None,
        }
    }

    /// Hands out every decision.
    #[must_use]
    pub fn recording(mut self, record: &'r mut dyn FnMut(Record)) -> Self {
        self.record = Some(record);
        self
    }

    /// The ledger after the last tick.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Events that did not fit the ledger, at most 100 of them: there should be none.
    pub fn misfits(&self) -> &[String] {
        &self.misfits
    }

    fn apply(&mut self, event: &Event) {
        if let Err(misfit) = self.ledger.apply(event)
            && self.misfits.len() < 100
        {
            self.misfits.push(misfit.to_string());
        }
    }
}

impl Policy for Muster<'_> {
    fn tick_seconds(&self) -> u32 {
        u32::try_from(self.config.tick.get().as_secs()).unwrap_or(u32::MAX)
    }

    fn watches_metrics(&self) -> bool {
        true
    }

    fn tick(&mut self, desk: &mut Desk<'_, '_>) {
        let now = Time::from_millis(desk.now());
        for event in self.hands.outcomes(desk, now) {
            self.apply(&event);
        }
        let eyes = self.eyes.get_or_insert_with(|| Eyes::new(&self.config));
        eyes.look(desk, &self.hands);
        // With no job, no server and nothing to keep ready, the next decision is the last one again.
        let rests =
            eyes.sees_nothing(desk) && self.ledger.servers.is_empty() && idles(&self.config);
        if rests && self.rests {
            return;
        }
        self.rests = rests;
        let faults: Vec<_> = desk.state.faults().collect();
        let observation = eyes.observe(now, &faults, self.reduced);
        let decision = decide(&self.config, observation, &self.ledger, now);
        if let Some(record) = &mut self.record {
            record(Record {
                config: self.config.clone(),
                ledger: self.ledger.clone(),
                observation: observation.clone(),
                decision: decision.clone(),
            });
        }
        eyes.forget();
        for event in &decision.events {
            self.hands.note(desk, event);
            self.apply(event);
        }
        for action in &decision.actions {
            self.act(desk, action, now);
        }
    }
}

impl Muster<'_> {
    fn act(&mut self, desk: &mut Desk<'_, '_>, action: &Action, now: Time) {
        for event in self.hands.act(desk, action, now, self.reduced) {
            self.apply(&event);
        }
    }
}

/// Whether nothing is to be kept ready at any time.
fn idles(config: &Config) -> bool {
    let pools = &mut config.pool.iter();
    pools.all(|pool| pool.warm == 0 && pool.schedule.is_empty())
}

/// The configuration that a user of that world would write.
fn config(world: &World, settings: &MusterSettings) -> Config {
    let pools = world.pools.iter().map(|pool| PoolConfig {
        name: pool.name.clone(),
        match_tags: pool.match_tags.clone(),
        run_untagged: pool.run_untagged,
        permanent: "job=\"gitlab-runner\"".to_owned(),
        pending_query: "ci_pending_builds".to_owned(),
        slots_per_server: pool.server_slots,
        max_servers: pool.max_servers,
        warm: settings.warm,
        headroom: settings.headroom,
        idle_time: Duration::from_secs(u64::from(settings.idle_time)),
        rate: RateConfig {
            create_per_minute: 100,
            delete_per_minute: 100,
        },
        provider: vec![ProviderConfig {
            common: ProviderCommon {
                kind: "simulated".to_owned(),
                price_per_hour: pool.price_per_hour,
                ..ProviderCommon::default()
            },
            ..ProviderConfig::default()
        }],
        ..PoolConfig::default()
    });
    let gitlab = GitlabConfig {
        lookahead: settings.sight == Sight::Ahead,
        ..GitlabConfig::default()
    };
    Config {
        mode: Mode::On,
        tick: Duration::from_secs(u64::from(settings.tick.max(1))),
        owner: "simulated".to_owned(),
        gitlab: (settings.sight != Sight::Metrics).then_some(gitlab),
        pool: pools.collect(),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests;
