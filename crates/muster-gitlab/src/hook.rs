//! Webhooks: what GitLab sends when a job or a pipeline changes.
//!
//! GitLab sends the event's kind in the header `X-Gitlab-Event` and the agreed word in
//! `X-Gitlab-Token`; the caller compares the word.

use std::time::Duration;

use serde::Deserialize;

use crate::JobStatus;
use crate::jobs::span;

/// A webhook that says something of jobs.
#[derive(Clone, Debug, PartialEq)]
pub enum Hook {
    /// A job changed.
    Job(JobEvent),
    /// A pipeline changed; with all its jobs.
    Pipeline(PipelineEvent),
    /// Something else.
    Other,
}

/// A job as a webhook tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobEvent {
    /// Its ID.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its stage's name.
    pub stage: String,
    /// How far it is.
    pub status: JobStatus,
    /// Its pipeline.
    pub pipeline: u64,
    /// Its project.
    pub project: u64,
    /// How long it has waited for a runner.
    pub queued: Option<Duration>,
    /// How long it has run.
    pub duration: Option<Duration>,
    /// The tags that it wants. Most GitLabs do not tell them: then a poll must.
    pub tags: Option<Vec<String>>,
    /// The runner that has or had it.
    pub runner: Option<u64>,
}

/// A pipeline as a webhook tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineEvent {
    /// Its ID.
    pub id: u64,
    /// Its project.
    pub project: u64,
    /// Its stages' names, in order.
    pub stages: Vec<String>,
    /// Its jobs.
    pub jobs: Vec<JobEvent>,
}

/// Failed to read a webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's body is not what GitLab sends: {0}")]
pub struct HookError(String);

/// Reads a webhook of that event (the value of `X-Gitlab-Event`).
///
/// # Errors
/// If the body is not what GitLab sends with this event.
pub fn parse(event: &str, body: &[u8]) -> Result<Hook, HookError> {
    match event {
        "Job Hook" | "Build Hook" => {
            let raw: RawJob = read(body)?;
            Ok(Hook::Job(raw.event()))
        }
        "Pipeline Hook" => {
            let raw: RawPipeline = read(body)?;
            Ok(Hook::Pipeline(raw.event()))
        }
        // A system hook is sent for the whole instance and names its kind in the body only.
        "System Hook" => {
            let kind: RawKind = read(body)?;
            match kind.object_kind.as_deref() {
                Some("build") => parse("Job Hook", body),
                Some("pipeline") => parse("Pipeline Hook", body),
                _ => Ok(Hook::Other),
            }
        }
        _ => Ok(Hook::Other),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, HookError> {
    serde_json::from_slice(body).map_err(|error| HookError(error.to_string()))
}

#[derive(Deserialize)]
struct RawKind {
    object_kind: Option<String>,
}

#[derive(Deserialize)]
struct RawId {
    id: u64,
}

#[derive(Deserialize)]
struct RawJob {
    build_id: u64,
    build_name: String,
    build_stage: String,
    build_status: JobStatus,
    build_duration: Option<f64>,
    build_queued_duration: Option<f64>,
    pipeline_id: u64,
    project_id: u64,
    tag_list: Option<Vec<String>>,
    runner: Option<RawId>,
}

impl RawJob {
    fn event(self) -> JobEvent {
        JobEvent {
            id: self.build_id,
            name: self.build_name,
            stage: self.build_stage,
            status: self.build_status,
            pipeline: self.pipeline_id,
            project: self.project_id,
            queued: self.build_queued_duration.map(span),
            duration: self.build_duration.map(span),
            tags: self.tag_list,
            runner: self.runner.map(|runner| runner.id),
        }
    }
}

#[derive(Deserialize)]
struct RawPipeline {
    object_attributes: RawAttributes,
    project: RawId,
    #[serde(default)]
    builds: Vec<RawBuild>,
}

#[derive(Deserialize)]
struct RawAttributes {
    id: u64,
    #[serde(default)]
    stages: Vec<String>,
}

#[derive(Deserialize)]
struct RawBuild {
    id: u64,
    stage: String,
    name: String,
    status: JobStatus,
    duration: Option<f64>,
    queued_duration: Option<f64>,
    tag_list: Option<Vec<String>>,
    runner: Option<RawId>,
}

impl RawPipeline {
    fn event(self) -> PipelineEvent {
        let (id, project) = (self.object_attributes.id, self.project.id);
        let job = |raw: RawBuild| JobEvent {
            id: raw.id,
            name: raw.name,
            stage: raw.stage,
            status: raw.status,
            pipeline: id,
            project,
            queued: raw.queued_duration.map(span),
            duration: raw.duration.map(span),
            tags: raw.tag_list,
            runner: raw.runner.map(|runner| runner.id),
        };
        PipelineEvent {
            id,
            project,
            stages: self.object_attributes.stages,
            jobs: self.builds.into_iter().map(job).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_hook_is_read() {
        let body = json!({
            "object_kind": "build", "ref": "main", "tag": false, "build_id": 1977,
            "build_name": "unit", "build_stage": "test", "build_status": "pending",
            "build_created_at": "2026-02-23T02:41:37.886Z", "build_started_at": null,
            "build_duration": null, "build_queued_duration": 12.5, "pipeline_id": 2366,
            "project_id": 380, "project_name": "group / project", "runner": null,
            "retries_count": 0, "environment": null,
        });
        let Hook::Job(job) = parse("Job Hook", body.to_string().as_bytes()).unwrap() else {
            panic!("no job");
        };
        assert_eq!((job.id, job.pipeline, job.project), (1977, 2366, 380));
        assert_eq!(job.status, JobStatus::Pending);
        assert_eq!(job.queued, Some(Duration::from_millis(12_500)));
        assert_eq!(job.tags, None);
        let system = parse("System Hook", body.to_string().as_bytes()).unwrap();
        assert_eq!(system, Hook::Job(job));
    }

    #[test]
    fn a_pipeline_hook_is_read() {
        let body = json!({
            "object_kind": "pipeline",
            "object_attributes": { "id": 31, "stages": ["build", "test"], "status": "running" },
            "project": { "id": 7 },
            "builds": [
                { "id": 380, "stage": "test", "name": "unit", "status": "created", "duration": null,
                  "queued_duration": null, "runner": null, "when": "on_success" },
                { "id": 379, "stage": "build", "name": "compile", "status": "a_word_of_tomorrow",
                  "duration": 3.0, "queued_duration": -0.1, "runner": { "id": 5 } },
            ],
        });
        let Hook::Pipeline(hook) = parse("Pipeline Hook", body.to_string().as_bytes()).unwrap()
        else {
            panic!("no pipeline");
        };
        assert_eq!((hook.id, hook.project, hook.stages.len()), (31, 7, 2));
        assert_eq!(hook.jobs[1].status, JobStatus::Other);
        assert_eq!(hook.jobs[1].queued, Some(Duration::ZERO));
        assert_eq!(hook.jobs[1].runner, Some(5));
    }

    #[test]
    fn other_events_are_none_and_broken_ones_are_errors() {
        assert_eq!(parse("Push Hook", b"{}").unwrap(), Hook::Other);
        assert_eq!(parse("System Hook", b"{}").unwrap(), Hook::Other);
        assert!(parse("Job Hook", b"{}").is_err());
        assert!(parse("Job Hook", b"[").is_err());
    }
}
