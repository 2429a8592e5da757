//! Which jobs there are in GitLab: polls now and then, and webhooks between.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use muster_gitlab::book::{Heard, OPEN, PoolRule};
use muster_gitlab::hook::Hook;
use muster_gitlab::{Backoff, Error, JobBook, JobStatus};
use muster_scaler_core::config::GitlabConfig;
use muster_scaler_core::{JobRun, Jobs, Pipeline, Reading, Time};
use parking_lot::Mutex;

use super::gitlab::{AT_ONCE, GitlabRunners};

/// How long the projects of groups are remembered.
const PROJECTS_KEPT: Duration = Duration::from_secs(600);

/// How long all requests of one poll may take, in timeouts of one.
const POLL_TIMEOUTS: u32 = 6;

/// The jobs of the configured projects.
#[derive(Debug)]
pub(super) struct JobPoll {
    runners: Arc<GitlabRunners>,
    projects: Vec<String>,
    groups: Vec<String>,
    every: Duration,
    within: Duration,
    lookahead: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: JobBook,
    /// The projects' IDs, and since when they are known.
    projects: Option<(Vec<u64>, Time)>,
    /// When the next poll of all projects is due.
    next: Time,
    /// Projects that a webhook wants to be polled at once.
    asked: BTreeSet<u64>,
    backoff: Backoff,
    /// What went wrong in the last poll.
    error: Option<String>,
}

/// What a poll failed with, and at which project.
#[derive(Debug)]
struct Failed {
    project: Option<u64>,
    error: Error,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            project: None,
            error,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.project {
            Some(project) => write!(f, "project {project}: {}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl JobPoll {
    pub(super) fn new(
        runners: Arc<GitlabRunners>,
        config: &GitlabConfig,
        rules: Vec<PoolRule>,
    ) -> Self {
        Self {
            runners,
            projects: config.projects.clone(),
            groups: config.groups.clone(),
            every: config.poll.get(),
            within: config.timeout.get() * POLL_TIMEOUTS,
            lookahead: config.lookahead,
            state: Mutex::new(State {
                book: JobBook::new(rules),
                projects: None,
                next: Time::default(),
                asked: BTreeSet::new(),
                backoff: Backoff::default(),
                error: None,
            }),
        }
    }

    pub(super) fn hook(&self, hook: &Hook, now: Time) -> Heard {
        let mut state = self.state.lock();
        let project = match hook {
            Hook::Job(job) => job.project,
            Hook::Pipeline(pipeline) => pipeline.project,
            Hook::Other => return Heard::Nothing,
        };
        // Others' projects are nobody's business here. Before the first poll nothing is known.
        let known = state
            .projects
            .as_ref()
            .is_some_and(|(projects, _)| projects.contains(&project));
        if !known {
            return Heard::Nothing;
        }
        let heard = state.book.hook(hook, now);
        if let Heard::Ask(project) = heard {
            state.asked.insert(project);
        }
        heard
    }

    /// Polls what is due: all projects, or those of which a webhook told too little.
    pub(super) async fn poll_if_due(&self, clock: &(dyn Fn() -> Time + Sync)) {
        let began = clock();
        let polled = muster_tasks::timeout(self.within, self.poll(clock)).await;
        let why = match polled {
            Ok(Ok(())) => return,
            Ok(Err(failed)) => {
                let mut state = self.state.lock();
                let pause = state.backoff.failed(&failed.error).max(self.every);
                state.next = began + pause;
                // It may have been removed, or have no CI any more.
                if matches!(
                    failed.error,
                    Error::NotFound { .. } | Error::Forbidden { .. }
                ) {
                    state.projects = None;
                }
                failed.to_string()
            }
            Err(late) => {
                self.state.lock().next = began + self.every;
                format!("list the jobs: {late}")
            }
        };
        self.state.lock().error = Some(why);
    }

    async fn poll(&self, clock: &(dyn Fn() -> Time + Sync)) -> Result<(), Failed> {
        let now = clock();
        let (all, asked) = {
            let mut state = self.state.lock();
            (now >= state.next, std::mem::take(&mut state.asked))
        };
        if !all && asked.is_empty() {
            return Ok(());
        }
        let projects: Vec<u64> = if all {
            self.projects(now).await?
        } else {
            asked.into_iter().collect()
        };
        let poll = |project: u64| async move {
            let polled = self.poll_project(project, clock).await;
            polled.map_err(|error| Failed {
                project: Some(project),
                error,
            })
        };
        let mut polls = std::pin::pin!(stream::iter(projects).map(poll).buffer_unordered(AT_ONCE));
        while let Some(polled) = polls.next().await {
            polled?;
        }
        let mut state = self.state.lock();
        if all {
            state.next = now + self.every;
        }
        state.backoff.clear();
        state.error = None;
        Ok(())
    }

    async fn poll_project(
        &self,
        project: u64,
        clock: &(dyn Fn() -> Time + Sync),
    ) -> Result<(), Error> {
        let began = clock();
        let gitlab = self.runners.gitlab();
        let jobs = gitlab.jobs(project, &OPEN).await?;
        let missed = self.state.lock().book.poll(project, began, &jobs, clock());
        if self.lookahead && !missed.is_empty() {
            let ended = gitlab.newest_jobs(project, &[JobStatus::Success]).await?;
            self.state.lock().book.ended(&missed, project, &ended);
        }
        Ok(())
    }

    /// The IDs of all projects, asked for anew now and then.
    async fn projects(&self, now: Time) -> Result<Vec<u64>, Error> {
        let known = self.state.lock().projects.clone();
        if let Some((projects, since)) = known
            && now.since(since) < PROJECTS_KEPT
        {
            return Ok(projects);
        }
        let gitlab = self.runners.gitlab();
        let mut ids = BTreeSet::new();
        for project in &self.projects {
            ids.insert(gitlab.project(project).await?.id);
        }
        for group in &self.groups {
            let projects = gitlab.group_projects(group).await?;
            let with_jobs = projects.iter().filter(|project| project.may_have_jobs());
            ids.extend(with_jobs.map(|project| project.id));
        }
        let ids: Vec<u64> = ids.into_iter().collect();
        let mut state = self.state.lock();
        state.book.keep_projects(&ids);
        state.projects = Some((ids.clone(), now));
        Ok(ids)
    }

    /// The jobs of a pool, as of the oldest of the projects' last polls.
    pub(super) fn jobs(&self, pool: &str, now: Time) -> Reading<Jobs> {
        let state = self.state.lock();
        match as_of(&state) {
            Ok(at) => Reading::known(state.book.jobs(pool, now), at),
            Err(why) => Reading::unknown(why),
        }
    }

    pub(super) fn pipelines(&self, pool: &str) -> Reading<Vec<Pipeline>> {
        if !self.lookahead {
            return Reading::unknown("`lookahead` is off");
        }
        let state = self.state.lock();
        match as_of(&state) {
            Ok(at) => Reading::known(state.book.pipelines(pool), at),
            Err(why) => Reading::unknown(why),
        }
    }

    pub(super) fn take_ended(&self) -> Vec<JobRun> {
        self.state.lock().book.take_ended()
    }
}

fn as_of(state: &State) -> Result<Time, String> {
    let projects = state.projects.as_ref().map(|(projects, _)| projects);
    if state.book.overflow() > 0 {
        return Err("GitLab has more jobs than are kept".to_owned());
    }
    let at = projects.and_then(|projects| state.book.as_of(projects));
    at.ok_or_else(|| match &state.error {
        Some(error) => error.clone(),
        None => "GitLab was not asked yet, or the groups have no project".to_owned(),
    })
}
