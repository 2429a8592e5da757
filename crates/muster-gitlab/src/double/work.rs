//! Pipelines and jobs: what may run, who takes it, and how it ends.

use std::collections::HashMap;

use muster_scaler_core::Time;

use super::view::{job_hook, pipeline_hook};
use super::world::{Counts, Fate, JobSpec, JobView, Runner, World, secret};
use crate::{JobStatus, RunnerType};

/// Why a job failed that its runner did not let end.
const ENDED_BY_ITS_RUNNER: [&str; 3] = [
    "runner_system_failure",
    "stuck_or_timeout_failure",
    "job_execution_server_timeout",
];

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) project: u64,
    pub(super) stages: Vec<String>,
    pub(super) jobs: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) id: u64,
    pub(super) pipeline: u64,
    pub(super) project: u64,
    pub(super) spec: JobSpec,
    pub(super) stage: usize,
    /// IDs of what it needs, in place of all of earlier stages.
    pub(super) needs: Option<Vec<u64>>,
    pub(super) status: JobStatus,
    pub(super) reason: Option<String>,
    pub(super) token: String,
    pub(super) runner: Option<u64>,
    pub(super) system_id: String,
    pub(super) created: Time,
    pub(super) queued: Option<Time>,
    pub(super) started: Option<Time>,
    pub(super) finished: Option<Time>,
    heard: Time,
    pub(super) log: usize,
}

impl JobRow {
    fn fate(&self) -> Fate {
        let killed = |reason: &str| ENDED_BY_ITS_RUNNER.contains(&reason);
        match self.status {
            JobStatus::Success => Fate::Succeeded,
            JobStatus::Failed if self.reason.as_deref().is_some_and(killed) => Fate::Killed,
            JobStatus::Failed => Fate::Failed,
            JobStatus::Running => Fate::Running,
            JobStatus::Canceled => Fate::Canceled,
            JobStatus::Skipped => Fate::Skipped,
            _ => Fate::Waiting,
        }
    }

    fn lets_go_on(&self) -> bool {
        match self.status {
            JobStatus::Success => true,
            JobStatus::Failed => self.spec.allow_failure,
            _ => false,
        }
    }
}

impl World {
    #[expect(
        clippy::panic,
        reason = "whoever writes a demonstration or test made a mistake"
    )]
    pub(super) fn add_pipeline(&mut self, project: u64, specs: &[JobSpec], now: Time) -> u64 {
        if !self.projects.contains_key(&project) {
            panic!("there is no project {project}");
        }
        let mut stages: Vec<String> = Vec::new();
        for spec in specs {
            if !stages.contains(&spec.stage) {
                stages.push(spec.stage.clone());
            }
        }
        let place = |spec: &JobSpec| stages.iter().position(|stage| *stage == spec.stage);
        let mut specs: Vec<(usize, JobSpec)> = specs
            .iter()
            .map(|spec| (place(spec).unwrap_or_default(), spec.clone()))
            .collect();
        specs.sort_by_key(|(stage, _)| *stage);
        let id = self.next_id();
        let mut by_name: HashMap<String, u64> = HashMap::new();
        let mut jobs = Vec::new();
        for (stage, spec) in specs {
            let job = self.next_id();
            jobs.push(job);
            let needs = spec.needs.as_ref().map(|names| {
                let ids = names.iter().filter_map(|name| by_name.get(name));
                ids.copied().collect()
            });
            by_name.insert(spec.name.clone(), job);
            let row = JobRow {
                id: job,
                pipeline: id,
                project,
                spec,
                stage,
                needs,
                status: JobStatus::Created,
                reason: None,
                token: secret("glcbt-"),
                runner: None,
                system_id: String::new(),
                created: now,
                queued: None,
                started: None,
                finished: None,
                heard: now,
                log: 0,
            };
            self.jobs.insert(job, row);
        }
        let pipeline = Pipeline {
            project,
            stages,
            jobs: jobs.clone(),
        };
        self.pipelines.insert(id, pipeline);
        for job in jobs {
            self.tell(job, now);
        }
        self.advance(id, now);
        id
    }

    /// Lets the jobs of a pipeline wait for a runner whose turn it is.
    fn advance(&mut self, pipeline: u64, now: Time) {
        let mut changed = Vec::new();
        for id in self.pipelines[&pipeline].jobs.clone() {
            let job = &self.jobs[&id];
            if job.status != JobStatus::Created {
                continue;
            }
            let before: Vec<&JobRow> = match &job.needs {
                Some(needs) => needs.iter().map(|id| &self.jobs[id]).collect(),
                None => {
                    let ids = &self.pipelines[&pipeline].jobs;
                    let earlier = ids.iter().map(|id| &self.jobs[id]);
                    earlier.filter(|other| other.stage < job.stage).collect()
                }
            };
            let is_over = |other: &&JobRow| other.status.is_over();
            let next = if before.iter().all(|other| other.lets_go_on()) {
                JobStatus::Pending
            } else if before.iter().all(is_over) {
                JobStatus::Skipped
            } else {
                continue;
            };
            if let Some(job) = self.jobs.get_mut(&id) {
                job.status = next;
                match next {
                    JobStatus::Pending => job.queued = Some(now),
                    _ => job.finished = Some(now),
                }
            }
            changed.push(id);
        }
        for id in &changed {
            self.tell(*id, now);
        }
        let pipeline = pipeline_hook(self, pipeline, now);
        self.events.push(("Pipeline Hook", pipeline));
    }

    fn tell(&mut self, job: u64, now: Time) {
        let body = job_hook(self, job, now);
        self.events.push(("Job Hook", body));
    }

    fn may_take(&self, runner: &Runner, job: &JobRow) -> bool {
        let spec = &runner.spec;
        let tags = &job.spec.tags;
        let by_tags = if tags.is_empty() {
            spec.run_untagged
        } else {
            tags.iter().all(|tag| spec.tags.contains(tag))
        };
        let group = || {
            self.projects
                .get(&job.project)
                .and_then(|project| project.group)
        };
        let by_scope = match spec.runner_type {
            RunnerType::InstanceType => true,
            RunnerType::GroupType => spec.scope.is_some() && spec.scope == group(),
            RunnerType::ProjectType => spec.scope == Some(job.project),
        };
        by_tags && by_scope && (!spec.protected || job.spec.protected)
    }

    /// Gives the runner the first job that it may take.
    pub(super) fn take(&mut self, runner: u64, system_id: &str, now: Time) -> Option<u64> {
        let runner = self.runners.get(&runner)?;
        let mut pending = self
            .jobs
            .values()
            .filter(|job| job.status == JobStatus::Pending);
        let id = pending.find(|job| self.may_take(runner, job))?.id;
        let runner = runner.id;
        let job = self.jobs.get_mut(&id)?;
        job.status = JobStatus::Running;
        job.runner = Some(runner);
        system_id.clone_into(&mut job.system_id);
        job.started = Some(now);
        job.heard = now;
        self.tell(id, now);
        Some(id)
    }

    /// The job with that token if it runs; otherwise its status.
    pub(super) fn running_job(
        &mut self,
        id: u64,
        token: &str,
        now: Time,
    ) -> Result<u64, Option<JobStatus>> {
        let job = self.jobs.get_mut(&id).ok_or(None)?;
        if job.token != token {
            return Err(None);
        }
        if job.status != JobStatus::Running {
            return Err(Some(job.status));
        }
        job.heard = now;
        Ok(id)
    }

    /// Ends a running job.
    pub(super) fn finish(&mut self, id: u64, status: JobStatus, reason: Option<&str>, now: Time) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.status = status;
        job.reason = reason.map(str::to_owned);
        job.finished = Some(now);
        let pipeline = job.pipeline;
        self.tell(id, now);
        self.advance(pipeline, now);
    }

    /// Fails running jobs that were not heard of for long.
    pub(super) fn give_up_silent(&mut self, now: Time) {
        let silent: Vec<u64> = self
            .jobs
            .values()
            .filter(|job| job.status == JobStatus::Running && now.since(job.heard) > self.silence)
            .map(|job| job.id)
            .collect();
        for id in silent {
            self.finish(id, JobStatus::Failed, Some("stuck_or_timeout_failure"), now);
        }
    }

    pub(super) fn cancel_pipeline(&mut self, pipeline: u64, now: Time) {
        let Some(pipeline) = self.pipelines.get(&pipeline) else {
            return;
        };
        for id in pipeline.jobs.clone() {
            if !self.jobs[&id].status.is_over() {
                self.finish(id, JobStatus::Canceled, None, now);
            }
        }
    }

    /// The running jobs of a runner, or of one of its processes.
    pub(super) fn running_on(&self, runner: u64, system_id: Option<&str>) -> Vec<&JobRow> {
        self.jobs
            .values()
            .filter(|job| job.status == JobStatus::Running && job.runner == Some(runner))
            .filter(|job| system_id.is_none_or(|system_id| job.system_id == system_id))
            .collect()
    }

    pub(super) fn job_views(&self) -> Vec<JobView> {
        let view = |job: &JobRow| JobView {
            id: job.id,
            name: job.spec.name.clone(),
            stage: job.spec.stage.clone(),
            pipeline: job.pipeline,
            fate: job.fate(),
            status: job.status,
            runner: job.runner,
            queued: job.queued,
            started: job.started,
            finished: job.finished,
        };
        self.jobs.values().map(view).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for job in self.jobs.values() {
            let count = match job.fate() {
                Fate::Waiting if job.status == JobStatus::Pending => &mut counts.pending,
                Fate::Waiting => &mut counts.created,
                Fate::Running => &mut counts.running,
                Fate::Succeeded => &mut counts.succeeded,
                Fate::Failed => &mut counts.failed,
                Fate::Killed => &mut counts.killed,
                Fate::Canceled | Fate::Skipped => &mut counts.dropped,
            };
            *count += 1;
        }
        counts
    }

    /// As GitLab's exporter writes it: a count of zero is absent.
    pub(super) fn metrics(&self) -> String {
        let counts = self.counts();
        let mut out = String::new();
        for (name, count) in [
            ("ci_pending_builds", counts.pending),
            ("ci_running_builds", counts.running),
        ] {
            if count > 0 {
                out.push_str(&format!(
                    "# TYPE {name} gauge\n{name}{{shared_runners=\"yes\"}} {count}\n"
                ));
            }
        }
        out
    }
}
