//! How many jobs of running pipelines start and end within the time that a server takes to join.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::memory::Samples;
use crate::{Job, JobState, Pipeline, Time};

/// What is learnt of jobs, by project and name.
pub(super) type Durations = BTreeMap<u64, BTreeMap<String, Samples>>;

/// What is expected of a pool's jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Jobs of next stages that start within the horizon.
    pub(super) starts: u32,
    /// Jobs that run now and end within it.
    pub(super) freed: u32,
    /// By how many jobs demand rises at most within the horizon.
    pub(super) peak: u32,
    /// The same within the longer horizon.
    pub(super) keep: u32,
    /// Jobs of next stages whose start cannot be told.
    pub(super) untold: u32,
}

/// Looks ahead over the jobs of one pool.
pub(super) struct LookAhead<'a> {
    durations: &'a Durations,
    pool: &'a str,
    now: Time,
    /// Milliseconds from now, and how demand changes then.
    changes: Vec<(i64, i32)>,
    ahead: Ahead,
    /// When each job of the pipeline at hand ends.
    ends: Vec<Option<i64>>,
}

impl<'a> LookAhead<'a> {
    pub(super) fn new(durations: &'a Durations, pool: &'a str, now: Time) -> Self {
        Self {
            durations,
            pool,
            now,
            changes: Vec::new(),
            ahead: Ahead::default(),
            ends: Vec::new(),
        }
    }

    /// Adds a pipeline's jobs.
    pub(super) fn pipeline(&mut self, pipeline: &Pipeline, longest: i64) {
        let learnt = self.durations.get(&pipeline.project);
        let has_needs = pipeline.jobs.iter().any(|job| job.needs.is_some());
        let places: BTreeMap<u64, usize> = if has_needs {
            let jobs = pipeline.jobs.iter().enumerate();
            jobs.map(|(place, job)| (job.id, place)).collect()
        } else {
            BTreeMap::new()
        };
        self.ends.clear();
        let mut stages = Stages::default();
        for job in &pipeline.jobs {
            let samples = || learnt.and_then(|names| names.get(&job.name));
            stages.turn(job.stage);
            let start = match &job.needs {
                Some(needs) => self.after(needs, &places),
                None => stages.before,
            };
            let end = self.job(job, samples, start, longest);
            stages.ends(end);
            self.ends.push(end);
        }
    }

    /// When the last of these jobs ends; those that the pipeline has no more are over.
    fn after(&self, needs: &[u64], places: &BTreeMap<u64, usize>) -> Option<i64> {
        let mut last = 0;
        for need in needs {
            match places.get(need).map(|place| self.ends.get(*place)) {
                None => {}
                Some(Some(end)) => last = last.max((*end)?),
                // It stands later in the list: when it ends is not reckoned yet.
                Some(None) => return None,
            }
        }
        Some(last)
    }

    /// When the job ends, in milliseconds from now; what it changes is noted.
    fn job(
        &mut self,
        job: &Job,
        samples: impl Fn() -> Option<&'a Samples>,
        start: Option<i64>,
        longest: i64,
    ) -> Option<i64> {
        let ours = job.pool.as_deref() == Some(self.pool);
        let median = || Some(i64::from(samples()?.percentile(50)?) * 1000);
        match job.state {
            JobState::Running(since) => {
                let ran = self.now.since(since);
                let end = remaining(samples()?, ran);
                if ours && end <= longest {
                    self.changes.push((end, -1));
                }
                Some(end)
            }
            JobState::Pending(_) => median(),
            JobState::Created => {
                let Some(start) = start else {
                    self.ahead.untold += u32::from(ours);
                    return None;
                };
                if start > longest {
                    // When it ends makes no difference, and most jobs are such.
                    return Some(start);
                }
                let end = median().map(|median| start.saturating_add(median));
                if ours {
                    self.changes.push((start, 1));
                    if let Some(end) = end.filter(|end| *end <= longest) {
                        self.changes.push((end, -2));
                    }
                }
                end
            }
        }
    }

    /// What follows, for a horizon and for a longer one.
    pub(super) fn reckon(mut self, horizon: Duration, longer: Duration) -> Ahead {
        let (horizon, longer) = (offset(horizon), offset(longer));
        self.changes.sort_unstable();
        let mut level = 0i64;
        let mut ahead = self.ahead;
        for (at, change) in self.changes {
            if at > longer {
                break;
            }
            level += i64::from(change.signum());
            let above = u32::try_from(level).unwrap_or(0);
            ahead.keep = ahead.keep.max(above);
            if at <= horizon {
                ahead.peak = ahead.peak.max(above);
                ahead.starts += u32::from(change == 1);
                ahead.freed += u32::from(change == -1);
            }
        }
        ahead
    }
}

pub(super) fn offset(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// How long a job that has run for so long goes on: as the median of those of its name that ran longer;
/// none ran longer: half as long again.
fn remaining(samples: &Samples, ran: Duration) -> i64 {
    let ran = offset(ran);
    let seconds = u32::try_from(ran / 1000).unwrap_or(u32::MAX);
    match samples.median_above(seconds) {
        Some(total) => (i64::from(total) * 1000 - ran).max(0),
        None => ran / 2,
    }
}

/// When all jobs of the stages before the one at hand end.
#[derive(Debug)]
struct Stages {
    stage: u32,
    /// All before this stage.
    before: Option<i64>,
    /// With what is known of this stage.
    with: Option<i64>,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            stage: 0,
            before: Some(0),
            with: Some(0),
        }
    }
}

impl Stages {
    fn turn(&mut self, stage: u32) {
        if stage != self.stage {
            self.stage = stage;
            self.before = self.with;
        }
    }

    fn ends(&mut self, end: Option<i64>) {
        self.with = self.with.zip(end).map(|(with, end)| with.max(end));
    }
}
