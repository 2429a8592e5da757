//! What jobs there are, folded from webhooks and polls.
//!
//! A poll of a project is right: it replaces what was known of that project's jobs, but for jobs
//! of which a webhook told after the poll had begun. Webhooks only make the book quicker.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use muster_scaler_core::{Job, JobRun, JobState, Jobs, Pipeline, Time};

use crate::hook::{Hook, JobEvent};
use crate::jobs::span;
use crate::limits::MOST_KEPT;
use crate::{JobInfo, JobStatus};

/// The states to poll for: those of jobs that are not over.
pub const OPEN: [JobStatus; 5] = [
    JobStatus::Created,
    JobStatus::WaitingForResource,
    JobStatus::Preparing,
    JobStatus::Pending,
    JobStatus::Running,
];

/// Which jobs a pool is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolRule {
    /// Its name.
    pub name: String,
    /// A job matches if all its tags are among these.
    pub tags: Vec<String>,
    /// Whether jobs without tags match.
    pub run_untagged: bool,
}

impl PoolRule {
    fn takes(&self, tags: &[String]) -> bool {
        if tags.is_empty() {
            return self.run_untagged;
        }
        tags.iter().all(|tag| self.tags.contains(tag))
    }
}

/// What a webhook meant to the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// Something changed.
    Changed,
    /// A job is not over whose tags are not known: this project should be polled now.
    Ask(u64),
}

/// What jobs there are.
#[derive(Debug, Default)]
pub struct JobBook {
    pools: Vec<PoolRule>,
    jobs: HashMap<u64, Entry>,
    stages: HashMap<u64, Vec<String>>,
    polled: BTreeMap<u64, Time>,
    /// Jobs that ended well and were not told of yet.
    ended: Vec<JobRun>,
    overflow: u64,
}

#[derive(Debug)]
struct Entry {
    project: u64,
    pipeline: u64,
    name: String,
    stage: String,
    /// None: it is over, and kept only so that an older poll does not bring it back.
    state: Option<JobState>,
    tags: Option<Vec<String>>,
    pool: Option<usize>,
    /// When it was last told of by a webhook.
    heard: Option<Time>,
}

impl JobBook {
    /// An empty book for these pools; a job belongs to the first that takes it.
    pub fn new(pools: Vec<PoolRule>) -> Self {
        Self {
            pools,
            ..Self::default()
        }
    }

    /// Notes a webhook that came at `now`.
    pub fn hook(&mut self, hook: &Hook, now: Time) -> Heard {
        match hook {
            Hook::Other => Heard::Nothing,
            Hook::Job(job) => self.event(job, now),
            Hook::Pipeline(pipeline) => {
                let mut heard = Heard::Nothing;
                for job in &pipeline.jobs {
                    match self.event(job, now) {
                        Heard::Nothing => {}
                        ask @ Heard::Ask(_) => heard = ask,
                        Heard::Changed if heard == Heard::Nothing => heard = Heard::Changed,
                        Heard::Changed => {}
                    }
                }
                if self.has_pipeline(pipeline.id) {
                    self.stages.insert(pipeline.id, pipeline.stages.clone());
                }
                heard
            }
        }
    }

    fn has_pipeline(&self, id: u64) -> bool {
        let mut jobs = self.jobs.values();
        jobs.any(|job| job.pipeline == id && job.state.is_some())
    }

    fn event(&mut self, event: &JobEvent, now: Time) -> Heard {
        let state = state_of(event.status, event.queued, event.duration, now);
        if !self.jobs.contains_key(&event.id) && self.is_full() {
            return Heard::Nothing;
        }
        let is_new_end = match self.jobs.get(&event.id) {
            Some(entry) => entry.state.is_some(),
            None => true,
        };
        if is_new_end && event.status == JobStatus::Success {
            self.note_end(event.project, &event.name, event.duration);
        }
        let changed = match self.jobs.get_mut(&event.id) {
            None if state.is_none() => {
                // Ended before anything was known of it. A poll that is under way may still have it.
                self.keep(event, None, now);
                return Heard::Nothing;
            }
            None => {
                self.keep(event, state, now);
                true
            }
            Some(entry) => {
                let changed = !same_kind(entry.state, state);
                // The moment of a state is that at which it was first told.
                if changed {
                    entry.state = state;
                }
                entry.heard = Some(now);
                if entry.tags.is_none() {
                    entry.tags.clone_from(&event.tags);
                    entry.pool = pool_of(&self.pools, entry.tags.as_deref());
                }
                changed
            }
        };
        let entry = &self.jobs[&event.id];
        match (&entry.state, &entry.tags) {
            (Some(_), None) => Heard::Ask(event.project),
            _ if changed => Heard::Changed,
            _ => Heard::Nothing,
        }
    }

    fn is_full(&mut self) -> bool {
        let full = self.jobs.len() >= MOST_KEPT;
        self.overflow += u64::from(full);
        full
    }

    fn keep(&mut self, event: &JobEvent, state: Option<JobState>, now: Time) {
        let entry = Entry {
            project: event.project,
            pipeline: event.pipeline,
            name: event.name.clone(),
            stage: event.stage.clone(),
            state,
            pool: pool_of(&self.pools, event.tags.as_deref()),
            tags: event.tags.clone(),
            heard: Some(now),
        };
        self.jobs.insert(event.id, entry);
    }

    fn note_end(&mut self, project: u64, name: &str, duration: Option<Duration>) {
        let Some(duration) = duration else {
            return;
        };
        if self.ended.len() >= MOST_KEPT {
            return;
        }
        let seconds = duration.as_secs_f64().round();
        self.ended.push(JobRun {
            project,
            name: name.to_owned(),
            seconds: seconds as u32,
        });
    }

    /// Jobs that ended well since this was asked last, each told once.
    pub fn take_ended(&mut self) -> Vec<JobRun> {
        std::mem::take(&mut self.ended)
    }

    /// Notes which of the jobs that a poll missed (see [`poll`](Self::poll)) ended well, from a
    /// list in which they may be.
    pub fn ended(&mut self, missed: &HashSet<u64>, project: u64, jobs: &[JobInfo]) {
        let found = jobs
            .iter()
            .filter(|job| missed.contains(&job.id) && job.status == JobStatus::Success);
        for job in found {
            self.note_end(project, &job.name, job.duration.map(span));
        }
    }

    /// Takes what a poll of a project for [`OPEN`] jobs gave, which was begun at `began` and ended
    /// at `now`. Gives the jobs that ended without a webhook: that waited or ran, and are missing.
    pub fn poll(&mut self, project: u64, began: Time, jobs: &[JobInfo], now: Time) -> HashSet<u64> {
        let there: HashSet<u64> = jobs.iter().map(|job| job.id).collect();
        let is_missed = |(id, entry): (&u64, &Entry)| {
            let waits_or_runs = matches!(
                entry.state,
                Some(JobState::Pending(_) | JobState::Running(_))
            );
            let stays = entry.heard.is_some_and(|heard| heard >= began);
            let missed = entry.project == project && waits_or_runs && !stays && !there.contains(id);
            missed.then_some(*id)
        };
        let missed = self.jobs.iter().filter_map(is_missed).collect();
        // What a webhook told since is newer; the rest is as the poll says.
        self.jobs.retain(|_, entry| {
            entry.project != project || entry.heard.is_some_and(|heard| heard >= began)
        });
        for job in jobs {
            let pool = pool_of(&self.pools, Some(&job.tag_list));
            if let Some(entry) = self.jobs.get_mut(&job.id) {
                entry.tags = Some(job.tag_list.clone());
                entry.pool = pool;
                continue;
            }
            let queued = job.queued_duration.map(span);
            let state = state_of(job.status, queued, job.duration.map(span), now);
            if state.is_none() || self.is_full() {
                continue;
            }
            let entry = Entry {
                project,
                pipeline: job.pipeline.map(|pipeline| pipeline.id).unwrap_or_default(),
                name: job.name.clone(),
                stage: job.stage.clone(),
                state,
                tags: Some(job.tag_list.clone()),
                pool,
                heard: None,
            };
            self.jobs.insert(job.id, entry);
        }
        self.polled.insert(project, began);
        if self.jobs.len() < MOST_KEPT {
            self.overflow = 0;
        }
        let open: HashSet<u64> = self.jobs.values().map(|entry| entry.pipeline).collect();
        self.stages.retain(|pipeline, _| open.contains(pipeline));
        missed
    }

    /// Forgets all of the projects that are not among these.
    pub fn keep_projects(&mut self, projects: &[u64]) {
        self.polled.retain(|project, _| projects.contains(project));
        self.jobs
            .retain(|_, entry| projects.contains(&entry.project));
    }

    /// When the poll was begun that is the oldest of each project's last; none if one of these
    /// projects was never polled, or there is none.
    pub fn as_of(&self, projects: &[u64]) -> Option<Time> {
        let polls = projects.iter().map(|project| self.polled.get(project));
        polls
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .min()
            .copied()
    }

    /// How many jobs were not kept because there were too many; zero again after a poll that found
    /// room.
    pub const fn overflow(&self) -> u64 {
        self.overflow
    }

    /// How many jobs are not over whose tags, and so whose pool, are not known.
    pub fn unresolved(&self) -> usize {
        let open = self.jobs.values().filter(|entry| entry.state.is_some());
        open.filter(|entry| entry.tags.is_none()).count()
    }

    /// The jobs of a pool.
    pub fn jobs(&self, pool: &str, now: Time) -> Jobs {
        let mut jobs = Jobs::default();
        for entry in self.jobs.values() {
            if entry.pool.is_none_or(|at| self.pools[at].name != pool) {
                continue;
            }
            match entry.state {
                Some(JobState::Pending(since)) => {
                    jobs.pending = jobs.pending.saturating_add(1);
                    jobs.oldest_wait = jobs.oldest_wait.max(now.since(since));
                }
                Some(JobState::Running(_)) => jobs.running = jobs.running.saturating_add(1),
                Some(JobState::Created) | None => {}
            }
        }
        jobs
    }

    /// The pipelines that move (some job waits for a runner or runs) and have a job for the pool,
    /// by ID. A pipeline in which no job does waits for somebody or something else, and what
    /// comes after is not ahead.
    pub fn pipelines(&self, pool: &str) -> Vec<Pipeline> {
        let mut by_pipeline: BTreeMap<u64, Vec<(u64, &Entry)>> = BTreeMap::new();
        for (id, entry) in self.jobs.iter().filter(|(_, entry)| entry.state.is_some()) {
            let jobs = by_pipeline.entry(entry.pipeline).or_default();
            jobs.push((*id, entry));
        }
        let moves = |state: Option<JobState>| {
            matches!(state, Some(JobState::Pending(_) | JobState::Running(_)))
        };
        let is_ours = |entry: &Entry| entry.pool.is_some_and(|at| self.pools[at].name == pool);
        let wanted = |jobs: &[(u64, &Entry)]| {
            jobs.iter().any(|(_, entry)| is_ours(entry))
                && jobs.iter().any(|(_, entry)| moves(entry.state))
        };
        by_pipeline
            .into_iter()
            .filter(|(_, jobs)| wanted(jobs))
            .map(|(id, jobs)| self.pipeline(id, &jobs))
            .collect()
    }

    fn pipeline(&self, id: u64, jobs: &[(u64, &Entry)]) -> Pipeline {
        // A pipeline's jobs are made in the order of its stages: where no webhook named that order,
        // a stage's first ID gives it.
        let mut firsts: HashMap<&str, u64> = HashMap::new();
        for (job, entry) in jobs {
            let first = firsts.entry(&entry.stage).or_insert(*job);
            *first = (*first).min(*job);
        }
        let named = self.stages.get(&id);
        let mut order: Vec<&str> = firsts.keys().copied().collect();
        order.sort_by_key(|stage| {
            let at = named.and_then(|names| names.iter().position(|name| name == stage));
            (at.unwrap_or(usize::MAX), firsts[stage])
        });
        let place = |stage: &str| order.iter().position(|name| *name == stage);
        let mut all: Vec<Job> = jobs
            .iter()
            .filter_map(|(job, entry)| {
                Some(Job {
                    id: *job,
                    name: entry.name.clone(),
                    stage: u32::try_from(place(&entry.stage)?).unwrap_or(u32::MAX),
                    pool: entry.pool.map(|at| self.pools[at].name.clone()),
                    state: entry.state?,
                    needs: None,
                })
            })
            .collect();
        all.sort_by_key(|job| (job.stage, job.id));
        Pipeline {
            id,
            project: jobs
                .first()
                .map(|(_, entry)| entry.project)
                .unwrap_or_default(),
            jobs: all,
        }
    }
}

fn pool_of(pools: &[PoolRule], tags: Option<&[String]>) -> Option<usize> {
    let tags = tags?;
    pools.iter().position(|pool| pool.takes(tags))
}

fn same_kind(one: Option<JobState>, other: Option<JobState>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::mem::discriminant(&one) == std::mem::discriminant(&other),
        (one, other) => one.is_none() == other.is_none(),
    }
}

/// The state at `now` of a job that has waited and run for so long. Spans count, not GitLab's
/// times: its clock need not be ours.
fn state_of(
    status: JobStatus,
    queued: Option<Duration>,
    run: Option<Duration>,
    now: Time,
) -> Option<JobState> {
    match status {
        JobStatus::Created
        | JobStatus::WaitingForResource
        | JobStatus::Preparing
        | JobStatus::WaitingForCallback => Some(JobState::Created),
        JobStatus::Pending => Some(JobState::Pending(now - queued.unwrap_or_default())),
        JobStatus::Running | JobStatus::Canceling => {
            Some(JobState::Running(now - run.unwrap_or_default()))
        }
        // `scheduled` and words of tomorrow: nothing that a runner could take soon.
        _ => None,
    }
}
