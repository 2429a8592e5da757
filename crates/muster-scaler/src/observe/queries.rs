//! What is asked of Prometheus for a pool.

use muster_scaler_core::config::{Config, PoolConfig};

use crate::clock::Moment;

use super::prometheus::{Prometheus, Sample, window};

/// The labels that the scaler's service discovery writes on the targets of its servers, and by
/// which their series are found.
pub mod sd_label {
    /// The scaler that owns the server.
    pub const OWNER: &str = "muster_owner";
    /// The server's pool.
    pub const POOL: &str = "muster_pool";
    /// The server's name.
    pub const SERVER: &str = "muster_server";
}

/// What one query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    Up,
    UpAt,
    Concurrent,
    ConcurrentAt,
    Limit,
    Jobs,
    UsedLimit,
    HardLimit,
    Cpu,
    CpuAt,
    Memory,
    MemoryAt,
    Wait,
    Pending,
}

/// A query of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) asked: Asked,
    pub(super) expression: String,
}

/// The queries of a pool.
pub(super) fn of_pool(config: &Config, pool: &PoolConfig) -> Vec<Query> {
    let owner = &config.owner;
    let name = &pool.name;
    let ours = format!(
        "{}=\"{owner}\",{}=\"{name}\"",
        sd_label::OWNER,
        sd_label::POOL
    );
    let fleet = |metric: &str| match pool.permanent.as_str() {
        "" => format!("{metric}{{{ours}}}"),
        permanent => format!("{metric}{{{permanent}}} or {metric}{{{ours}}}"),
    };
    let at = |metric: &str| match pool.permanent.as_str() {
        "" => format!("timestamp({metric}{{{ours}}})"),
        permanent => format!("timestamp({metric}{{{permanent}}}) or timestamp({metric}{{{ours}}})"),
    };
    let seconds = window(config.prometheus.max_age.get()).as_secs();
    let wait = seconds * 5 / 2;
    let bucket = "gitlab_runner_job_queue_duration_seconds_bucket";
    let rate = |selector: &str| format!("rate({bucket}{{{selector}}}[{wait}s])");
    let rates = match pool.permanent.as_str() {
        "" => rate(&ours),
        permanent => format!("{} or {}", rate(permanent), rate(&ours)),
    };
    let mut all = vec![
        (Asked::Up, fleet("up")),
        (Asked::UpAt, at("up")),
        (Asked::Concurrent, fleet("gitlab_runner_concurrent")),
        (Asked::ConcurrentAt, at("gitlab_runner_concurrent")),
        (Asked::Limit, fleet("gitlab_runner_limit")),
        (Asked::Jobs, fleet("gitlab_runner_jobs")),
        (
            Asked::UsedLimit,
            fleet("gitlab_runner_request_concurrency_used_limit"),
        ),
        (
            Asked::HardLimit,
            fleet("gitlab_runner_request_concurrency_hard_limit"),
        ),
        (
            Asked::Wait,
            format!("histogram_quantile(0.95, sum by (le) ({rates}))"),
        ),
    ];
    if !pool.node.is_empty() {
        let node = &pool.node;
        let pressure =
            |metric: &str| format!("avg by (instance) (rate({metric}{{{node}}}[{seconds}s]))");
        let cpu = "node_pressure_cpu_waiting_seconds_total";
        let memory = "node_pressure_memory_stalled_seconds_total";
        all.extend([
            (Asked::Cpu, pressure(cpu)),
            (Asked::CpuAt, format!("timestamp({cpu}{{{node}}})")),
            (Asked::Memory, pressure(memory)),
            (Asked::MemoryAt, format!("timestamp({memory}{{{node}}})")),
        ]);
    }
    if !pool.pending_query.is_empty() {
        all.push((Asked::Pending, pool.pending_query.clone()));
    }
    let query = |(asked, expression)| Query { asked, expression };
    all.into_iter().map(query).collect()
}

/// What came of a pool's queries.
#[derive(Debug)]
pub(super) struct Answers {
    /// When it was asked.
    pub(super) at: Moment,
    all: Vec<(Asked, Result<Vec<Sample>, String>)>,
}

impl Answers {
    pub(super) fn new(at: Moment) -> Self {
        Self {
            at,
            all: Vec::new(),
        }
    }

    /// Runs one query.
    pub(super) async fn ask(
        prometheus: &Prometheus,
        query: &Query,
        at: Moment,
    ) -> Result<Vec<Sample>, String> {
        let answer = prometheus.instant(&query.expression, at.wall).await;
        answer.map_err(|error| error.to_string())
    }

    pub(super) fn put(&mut self, asked: Asked, answer: Result<Vec<Sample>, String>) {
        self.all.push((asked, answer));
    }

    /// The series that were asked for.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn get(&self, asked: Asked) -> Result<&[Sample], String> {
        let found = self.all.iter().find(|(of, _)| *of == asked);
        match found {
            Some((_, Ok(samples))) => Ok(samples),
            Some((_, Err(why))) => Err(why.clone()),
            None => Err("it was not asked for".to_owned()),
        }
    }

    pub(super) fn was_asked(&self, asked: Asked) -> bool {
        self.all.iter().any(|(of, _)| *of == asked)
    }
}
