//! Recurring jobs on two workers, each run with a time limit, for ever.

use std::time::Duration;

use muster_tasks::{
    AwaitLabel, Cancelled, Closed, Group, Overlap, Pool, PoolStats, ResidentOptions,
};

/// A run that takes longer is ended.
pub const TIMEOUT: Duration = Duration::from_secs(3);
/// So many runs at a time, whatever the number of jobs.
pub const AT_ONCE: usize = 2;
/// Each job is due again after this long. If its last run goes on, the next one begins when it has ended.
pub const PERIOD: Duration = Duration::from_secs(1);

/// A recurring job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// How long a run would take if it were let.
    pub takes: Duration,
}

/// The two of the story: one is never done in time, the other always is.
pub const JOBS: [Job; 2] = [
    Job {
        name: "slow",
        takes: Duration::from_secs(5),
    },
    Job {
        name: "quick",
        takes: Duration::from_secs(1),
    },
];

/// Jobs that recur until their group is stopped.
#[derive(Debug)]
pub struct Residents {
    workers: Pool<Job, Result<(), Cancelled>>,
}

impl Residents {
    /// Starts them.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    pub fn start(group: &Group, jobs: &[Job]) -> Result<Self, Closed> {
        // The limit is on the run alone, not on its wait for a worker.
        let workers = group.pool("workers").size(AT_ONCE).timeout(TIMEOUT);
        let workers = workers.worker(|job: Job, cx| async move {
            // A job that hears of its end. When the time is up, what it waits for is dropped.
            cx.run(tokio::time::sleep(job.takes).at(job.name)).await
        })?;
        let options = ResidentOptions {
            overlap: Overlap::Queue,
            ..ResidentOptions::default()
        };
        for job in jobs.iter().copied() {
            let workers = workers.clone();
            group.every(job.name, PERIOD, options.clone(), move |_cx| {
                run(job, workers.clone())
            })?;
        }
        Ok(Self { workers })
    }

    /// What was run and how it ended.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.workers.stats()
    }
}

/// One run of a job: takes its turn, and sees it to its end, so that no job piles up behind itself.
async fn run(job: Job, workers: Pool<Job, Result<(), Cancelled>>) {
    if let Ok(run) = workers.submit(job).await {
        // Done, timed out or stopped: the pool has counted it.
        let _ = run.await;
    }
}
