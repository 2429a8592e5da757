//! The jobs of a demonstration: few, then many, then none.

use std::time::Duration;

use muster_gitlab::double::{Double, JobSpec};

/// Pipelines come this far apart at first,
const SELDOM: Duration = Duration::from_secs(4);
/// and this far apart later.
const OFTEN: Duration = Duration::from_millis(1500);
/// The share of the time in which they come seldom.
const QUIET: f64 = 0.2;

/// Pipelines that come by and by.
#[derive(Debug)]
pub(super) struct Jobs {
    length: Duration,
    next: Duration,
    made: u32,
}

impl Jobs {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length,
            next: Duration::ZERO,
            made: 0,
        }
    }

    /// Whether no more come.
    pub(super) fn is_over(&self, elapsed: Duration) -> bool {
        elapsed >= self.length
    }

    /// Makes those whose time has come.
    pub(super) fn come(&mut self, gitlab: &Double, project: u64, elapsed: Duration) {
        while self.next <= elapsed && self.next < self.length {
            gitlab.add_pipeline(project, &pipeline(self.made));
            self.made += 1;
            let quiet = self.next < self.length.mul_f64(QUIET);
            self.next += if quiet { SELDOM } else { OFTEN };
        }
    }
}

/// A build, some tests, a deployment.
fn pipeline(number: u32) -> Vec<JobSpec> {
    let job = |stage: &str, name: String, seconds: f64| JobSpec {
        name,
        stage: stage.to_owned(),
        tags: vec!["docker".to_owned()],
        seconds,
        ..JobSpec::default()
    };
    let mut jobs = vec![job("build", "build".to_owned(), 2.0)];
    for test in 0..3 + number % 3 {
        let seconds = 3.0 + f64::from((number + test) % 4);
        jobs.push(job("test", format!("test-{test}"), seconds));
    }
    jobs.push(job("deploy", "deploy".to_owned(), 1.0));
    jobs
}
