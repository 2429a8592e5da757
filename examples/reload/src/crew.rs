//! All prospectors of one configuration, and the change to the next.

use std::time::Duration;

use muster_tasks::{Fault, Group, StopOptions, StopReport, TaskSet};

use crate::prospector::{Spec, SpecError, harvest, look};

/// The prospectors that run.
#[derive(Debug)]
pub struct Crew {
    group: Group,
    /// Each prospector's own group.
    running: Vec<Group>,
}

/// What a reload has done.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// How many prospectors were stopped.
    pub stopped: usize,
    /// How many tasks these had.
    pub tasks: usize,
    /// How long the slowest of them took.
    pub slowest: Duration,
    /// How long all of them would have taken one after another.
    pub one_by_one: Duration,
    /// How many were started.
    pub started: usize,
}

/// Why a reload was given up. What ran before runs on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    /// A prospector cannot be started; the looks of the others were cancelled.
    #[error("{error} ({cancelled} other prospectors were not looked at to the end)")]
    Spec {
        /// What is wrong.
        error: SpecError,
        /// How many looks were cancelled.
        cancelled: usize,
    },
    /// Something else.
    #[error("failed to look at the new configuration: {0}")]
    Other(String),
}

impl Crew {
    /// A crew without prospectors.
    #[must_use]
    pub fn new(root: &Group) -> Self {
        Self {
            group: root.group("prospectors"),
            running: Vec::new(),
        }
    }

    /// How many prospectors run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Goes over to other prospectors. All are looked at in parallel; **the first error cancels the rest**, and
    /// what runs is not touched. Then all that run are stopped in parallel and waited for, and only
    /// then, because two must not read one file, the new ones are started.
    ///
    /// # Errors
    /// [`ReloadError`] with the first thing that is wrong.
    pub async fn reload(&mut self, specs: Vec<Spec>) -> Result<Reloaded, ReloadError> {
        let total = specs.len();
        let specs =
            looks(&self.group, specs)?
                .all_ok()
                .await
                .map_err(|error| match error.first {
                    Some((_, _, Fault::Error(first))) => ReloadError::Spec {
                        error: first,
                        cancelled: total - error.values.len() - 1,
                    },
                    _ => ReloadError::Other(error.to_string()),
                })?;
        let reports = self.stop().await;
        let times = reports.iter().map(|report| report.elapsed);
        for spec in &specs {
            let started = harvest(&self.group, spec);
            self.running.push(started.map_err(|_| ending(spec))?);
        }
        Ok(Reloaded {
            stopped: reports.len(),
            tasks: reports.iter().map(|report| report.asked).sum(),
            slowest: times.clone().max().unwrap_or_default(),
            one_by_one: times.sum(),
            started: self.running.len(),
        })
    }

    /// Stops all prospectors in parallel and waits for all.
    pub async fn stop(&mut self) -> Vec<StopReport> {
        let reports = Group::stop_all(&self.running, StopOptions::default()).await;
        self.running.clear();
        reports
    }
}

fn ending(spec: &Spec) -> ReloadError {
    ReloadError::Spec {
        error: SpecError::Ending(spec.name.clone()),
        cancelled: 0,
    }
}

/// Looks at all prospectors in parallel, each in a task of its own.
fn looks(group: &Group, specs: Vec<Spec>) -> Result<TaskSet<Result<Spec, SpecError>>, ReloadError> {
    let mut looks = group.task_set("looks");
    for spec in specs {
        let name = spec.name.clone();
        let failed = ending(&spec);
        let look = async move { look(&spec).await.map(|()| spec) };
        looks.spawn(name, look).map_err(|_| failed)?;
    }
    Ok(looks)
}

/// Says **everything** that is wrong, not only what comes first.
///
/// # Errors
/// [`ReloadError`] if the program ends.
pub async fn check(group: &Group, specs: Vec<Spec>) -> Result<Vec<SpecError>, ReloadError> {
    let collected = looks(group, specs)?.collect().await;
    Ok(collected.values().filter_map(Result::err).collect())
}
