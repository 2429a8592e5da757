//! What was seen at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::JobRun;
use crate::provider::Listing;
use crate::{ProviderId, Reading, ServerName, Time};

/// All that was seen for one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When it was put together.
    pub at: Time,
    /// By the pool's name. A pool of the configuration that is missing here was not observed.
    pub pools: BTreeMap<String, PoolObservation>,
    /// What each provider listed.
    pub listings: BTreeMap<ProviderId, Reading<Listing>>,
    /// The scaler's own servers as GitLab sees them, by the names in their runners' descriptions;
    /// also those that the ledger lacks. Unknown if GitLab did not answer, and in the reduced mode.
    /// A server that is missing here has no runner object.
    pub runners: Reading<BTreeMap<ServerName, RunnerView>>,
    /// Jobs that ended well since the observation before, each told once.
    pub ended: Vec<JobRun>,
    /// Whether this scaler holds the owner's lease; the reason if not.
    pub lease: Result<(), String>,
}

/// What was seen of one pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolObservation {
    /// The hosts that Prometheus has for the pool, permanent ones and ours; also those that are down.
    pub hosts: Reading<Vec<Host>>,
    /// Jobs that wait or run, by GitLab or by metrics of it.
    pub jobs: Reading<Jobs>,
    /// Running pipelines with jobs that will match the pool; known only with a token and `lookahead`.
    pub pipelines: Reading<Vec<Pipeline>>,
    /// How long jobs waited of late, 95th percentile. It counts only those that started: it may
    /// confirm an overload, never refute one.
    pub wait_p95: Reading<Duration>,
}

/// One host with a runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its `instance` in Prometheus.
    pub instance: String,
    /// The temporary server that it is; none for a permanent host.
    pub server: Option<ServerName>,
    /// Whether the last scrape worked.
    pub up: Reading<bool>,
    /// How many jobs it may run: the least of `concurrent` and the sum of its runners' limits.
    pub slots: Reading<u32>,
    /// How many it runs, those being prepared included.
    pub running: Reading<u32>,
    /// Share of time in which some task waited for a CPU, 0 to 1.
    pub cpu_pressure: Reading<f64>,
    /// Share of time in which all tasks waited for memory, 0 to 1.
    pub memory_stall: Reading<f64>,
    /// Whether its runner asks for jobs as often as it may, so that more slots would not help.
    pub request_bound: Reading<bool>,
    /// The runner object in GitLab that is this host's alone, if there is one: only then it can be
    /// paused.
    pub runner: Option<u64>,
    /// Whether that runner is paused.
    pub paused: Reading<bool>,
}

/// Jobs that match a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Jobs that wait for a runner.
    pub pending: u32,
    /// Jobs that run.
    pub running: u32,
    /// How long the oldest that waits has waited.
    pub oldest_wait: Duration,
}

/// A pipeline that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// GitLab's ID.
    pub id: u64,
    /// The project.
    pub project: u64,
    /// Its jobs that are not over, of all pools, in the order of their stages.
    pub jobs: Vec<Job>,
}

/// A job of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// GitLab's ID.
    pub id: u64,
    /// Its name, by which its duration is learnt.
    pub name: String,
    /// The stage's position, from 0.
    pub stage: u32,
    /// The pool that it matches, if any.
    pub pool: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// IDs of jobs that it needs, if it says so; otherwise it waits for all of earlier stages.
    pub needs: Option<Vec<u64>>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for jobs before it.
    Created,
    /// Waits for a runner, since then.
    Pending(Time),
    /// Runs, since then.
    Running(Time),
}

/// One of our runners, as GitLab sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunnerView {
    /// The runner object.
    pub runner: u64,
    /// Whether its manager has shown itself, which means that the server has joined.
    pub joined: Reading<bool>,
    /// Whether it is paused.
    pub paused: Reading<bool>,
    /// How many jobs it runs.
    pub running: Reading<u32>,
}
