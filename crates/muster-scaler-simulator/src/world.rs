//! What the simulated world is like: hosts, servers, how long things take, and what goes wrong.

use serde::{Deserialize, Serialize};

/// The world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// The pools; a job belongs to the first that it matches. Jobs that match none run elsewhere.
    pub pools: Vec<Pool>,
    /// How long a call to the provider or to GitLab takes, in seconds.
    pub call_seconds: f64,
    /// How long GitLab holds a request for a job: so long after its runner was paused, a request in
    /// flight may still bring one job.
    pub hold_seconds: f64,
    /// How often metrics are gathered, in seconds. They are seen one interval later.
    pub scrape_seconds: u32,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            pools: vec![Pool::default()],
            call_seconds: 1.0,
            hold_seconds: 50.0,
            scrape_seconds: 15,
            faults: Vec::new(),
        }
    }
}

/// A pool: permanent hosts, and servers that can be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// A job matches if all its tags are among these.
    pub match_tags: Vec<String>,
    /// Whether jobs without tags match.
    pub run_untagged: bool,
    /// How many permanent hosts there are; at most 10,000.
    pub permanent_hosts: u32,
    /// How many jobs each runs at a time.
    pub permanent_slots: u32,
    /// How many jobs a temporary server runs at a time.
    pub server_slots: u32,
    /// The most temporary servers at a time, for every policy.
    pub max_servers: u32,
    /// How long a server takes until it takes jobs, on average, in seconds.
    pub boot_seconds: f64,
    /// Deviation of the logarithm of that.
    pub boot_sigma: f64,
    /// The share of servers that never come up.
    pub failing: f64,
    /// The share of creations whose answer is lost, though the server is made.
    pub lost_answers: f64,
    /// What a server costs an hour.
    pub price_per_hour: f64,
    /// By how much a server is billed, in seconds: 1, 60 or 3600.
    pub quantum_seconds: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            match_tags: Vec::new(),
            run_untagged: true,
            permanent_hosts: 4,
            permanent_slots: 4,
            server_slots: 4,
            max_servers: 100,
            boot_seconds: 60.0,
            boot_sigma: 0.3,
            failing: 0.01,
            lost_answers: 0.0,
            price_per_hour: 0.0,
            quantum_seconds: 1,
        }
    }
}

impl Pool {
    /// Whether jobs with these tags, joined by commas, belong here.
    pub(crate) fn matches(&self, tags: &str) -> bool {
        if tags.is_empty() {
            return self.run_untagged;
        }
        let mut tags = tags.split(',');
        tags.all(|tag| self.match_tags.iter().any(|own| own == tag))
    }
}

/// Something that goes wrong for some time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub what: FaultKind,
    /// From when, in hours after the first pipeline's midnight.
    pub from_hour: f64,
    /// For how long.
    pub hours: f64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Prometheus does not answer.
    MetricsGap,
    /// Prometheus answers with nothing.
    EmptyMetrics,
    /// Values are not numbers.
    NotANumber,
    /// Values stay as they were, with their old times.
    StaleMetrics,
    /// This share of the hosts cannot be scraped.
    DeadTargets(f64),
    /// GitLab's API does not answer; runners go on.
    GitlabDown,
    /// The provider has no room.
    ProviderRefuses,
}
