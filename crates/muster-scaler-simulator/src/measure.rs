//! What came of a simulated load.

use serde::{Deserialize, Serialize};

/// What came of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The seed.
    pub seed: u64,
    /// How many days were simulated, until the last job's end.
    pub days: f64,
    /// Jobs of the load that match a pool.
    pub jobs: u64,
    /// Those that ended.
    pub finished: u64,
    /// Those that were cut off because their server was deleted.
    pub killed: u64,
    /// How long jobs waited.
    pub wait: Wait,
    /// Hours that the jobs ran, together.
    pub job_hours: f64,
    /// Hours of temporary servers.
    pub server_hours: f64,
    /// The same if billed by whole seconds, minutes and hours.
    pub billed_hours: [f64; 3],
    /// What they cost, by each pool's price and quantum.
    pub money: f64,
    /// Servers created.
    pub creates: u64,
    /// Creations at most 5 minutes after a deletion in the same pool.
    pub flaps: u64,
    /// Creations that were refused.
    pub refused: u64,
    /// The most servers at a time.
    pub peak: u32,
    /// Hours of servers that never came up, and of those that were there a day after the last job.
    pub orphan_hours: f64,
    /// How often a policy let a server go: began to drain it, or deleted it without.
    pub scale_ins: u64,
    /// Those of them during a fault of the metrics or of GitLab.
    pub scale_ins_in_fault: u64,
    /// Servers that were taken back from a drain.
    pub taken_back: u64,
    /// Jobs that came to a server after it was paused, by a request in flight.
    pub raced: u64,
    /// How often the policy decided.
    pub decisions: u64,
}

/// How long jobs waited for a runner, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Half of them at most so long.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// On average.
    pub mean: f64,
    /// The share that waited longer than 120 s, GitLab's own bar.
    pub over_120: f64,
}

impl Wait {
    /// Of the waits of all jobs in milliseconds, which it sorts. Percentiles are by nearest rank.
    pub(crate) fn of(waits: &mut [u32]) -> Self {
        waits.sort_unstable();
        let Some(last) = waits.len().checked_sub(1) else {
            return Self::default();
        };
        let count = waits.len() as f64;
        let at = |share: f64| {
            let rank = (share * count).ceil() as usize;
            f64::from(waits[rank.saturating_sub(1).min(last)]) / 1000.0
        };
        let sum: u64 = waits.iter().map(|wait| u64::from(*wait)).sum();
        let short = waits.partition_point(|wait| *wait <= 120_000) as f64;
        Self {
            p50: at(0.50),
            p90: at(0.90),
            p95: at(0.95),
            p99: at(0.99),
            mean: sum as f64 / 1000.0 / count,
            over_120: (count - short) / count,
        }
    }
}

impl Measured {
    /// Hours of temporary servers a day.
    pub fn hours_per_day(&self) -> f64 {
        self.server_hours / self.days.max(f64::MIN_POSITIVE)
    }
}

/// The average of some figures and how far they lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Average.
    pub mean: f64,
    /// Standard deviation of a single one.
    pub deviation: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these; all 0 for none.
    pub fn of(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            mean,
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}
