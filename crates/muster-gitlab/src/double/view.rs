//! What is told of runners and jobs, in GitLab's shapes.

use muster_scaler_core::Time;
use serde_json::{Value, json};

use super::work::JobRow;
use super::world::{Manager, Project, Runner, World};
use crate::JobStatus;
use crate::moment::text;

fn time(at: Option<Time>) -> Value {
    at.map_or(Value::Null, |at| text(at).into())
}

/// Seconds from `from` to `to`, or to now if it is not over.
fn seconds(from: Option<Time>, to: Option<Time>, now: Time) -> Value {
    let Some(from) = from else {
        return Value::Null;
    };
    to.unwrap_or(now).since(from).as_secs_f64().into()
}

fn queued(job: &JobRow, now: Time) -> Value {
    seconds(job.queued, job.started.or(job.finished), now)
}

fn kind(runner: &Runner) -> Value {
    serde_json::to_value(runner.spec.runner_type).unwrap_or_default()
}

/// A runner in a list.
pub(super) fn runner_row(runner: &Runner) -> Value {
    let status = match runner.contacted {
        None => "never_contacted",
        Some(_) => "online",
    };
    json!({
        "id": runner.id, "description": runner.spec.description, "ip_address": "127.0.0.1",
        "active": !runner.spec.paused, "paused": runner.spec.paused,
        "is_shared": runner.spec.runner_type == crate::RunnerType::InstanceType,
        "runner_type": kind(runner), "name": null, "online": runner.contacted.is_some(),
        "status": status, "created_at": text(runner.created),
    })
}

/// A runner by itself.
pub(super) fn runner_details(runner: &Runner) -> Value {
    let mut value = runner_row(runner);
    let access = if runner.spec.protected {
        "ref_protected"
    } else {
        "not_protected"
    };
    let more = json!({
        "contacted_at": time(runner.contacted), "tag_list": runner.spec.tags,
        "run_untagged": runner.spec.run_untagged, "locked": false, "access_level": access,
        "maximum_timeout": null, "maintenance_note": runner.spec.note, "projects": [], "groups": [],
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// One process of a runner.
pub(super) fn manager(manager: &Manager, busy: bool) -> Value {
    json!({
        "id": manager.id, "system_id": manager.system_id, "version": "18.5.0",
        "revision": "00000000", "platform": "linux", "architecture": "amd64",
        "created_at": text(manager.created), "contacted_at": text(manager.contacted),
        "ip_address": "127.0.0.1", "status": "online",
        "job_execution_status": if busy { "active" } else { "idle" },
    })
}

/// A job in a list.
pub(super) fn job(job: &JobRow, now: Time) -> Value {
    json!({
        "id": job.id, "name": job.spec.name, "stage": job.spec.stage, "status": job.status,
        "tag_list": job.spec.tags, "allow_failure": job.spec.allow_failure, "ref": "main",
        "created_at": text(job.created), "started_at": time(job.started),
        "finished_at": time(job.finished), "duration": seconds(job.started, job.finished, now),
        "queued_duration": queued(job, now), "failure_reason": job.reason,
        "pipeline": { "id": job.pipeline, "project_id": job.project, "ref": "main" },
        "runner": job.runner.map(|id| json!({ "id": id })), "tag": false,
    })
}

pub(super) fn project(project: &Project) -> Value {
    json!({
        "id": project.id, "path_with_namespace": project.path, "jobs_enabled": project.has_ci,
        "repository_access_level": "enabled",
    })
}

/// The body of a job's webhook. No tags: GitLab does not tell them.
pub(super) fn job_hook(world: &World, id: u64, now: Time) -> Value {
    let job = &world.jobs[&id];
    let path = &world.projects[&job.project].path;
    json!({
        "object_kind": "build", "ref": "main", "tag": false, "build_id": job.id,
        "build_name": job.spec.name, "build_stage": job.spec.stage, "build_status": job.status,
        "build_created_at": text(job.created), "build_started_at": time(job.started),
        "build_finished_at": time(job.finished),
        "build_duration": seconds(job.started, job.finished, now),
        "build_queued_duration": queued(job, now), "build_allow_failure": job.spec.allow_failure,
        "build_failure_reason": job.reason.as_deref().unwrap_or("unknown_failure"),
        "retries_count": 0, "pipeline_id": job.pipeline, "project_id": job.project,
        "project_name": path, "commit": { "id": job.pipeline }, "runner": hook_runner(world, job),
        "environment": null,
    })
}

fn hook_runner(world: &World, job: &JobRow) -> Value {
    let Some(runner) = job.runner.and_then(|id| world.runners.get(&id)) else {
        return Value::Null;
    };
    json!({
        "id": runner.id, "description": runner.spec.description, "runner_type": kind(runner),
        "active": !runner.spec.paused, "tags": runner.spec.tags,
    })
}

/// The body of a pipeline's webhook.
pub(super) fn pipeline_hook(world: &World, id: u64, now: Time) -> Value {
    let pipeline = &world.pipelines[&id];
    let jobs = || pipeline.jobs.iter().map(|id| &world.jobs[id]);
    let any = |status: JobStatus| jobs().any(|job| job.status == status);
    let status = if any(JobStatus::Running) {
        "running"
    } else if any(JobStatus::Pending) {
        "pending"
    } else if any(JobStatus::Created) {
        "created"
    } else if any(JobStatus::Failed) {
        "failed"
    } else {
        "success"
    };
    let builds: Vec<Value> = jobs()
        .map(|job| {
            json!({
                "id": job.id, "stage": job.spec.stage, "name": job.spec.name, "status": job.status,
                "created_at": text(job.created), "started_at": time(job.started),
                "finished_at": time(job.finished),
                "duration": seconds(job.started, job.finished, now),
                "queued_duration": queued(job, now), "failure_reason": job.reason,
                "when": "on_success", "manual": false, "allow_failure": job.spec.allow_failure,
                "runner": hook_runner(world, job), "environment": null,
            })
        })
        .collect();
    json!({
        "object_kind": "pipeline",
        "object_attributes": {
            "id": id, "ref": "main", "tag": false, "source": "push", "status": status,
            "stages": pipeline.stages,
        },
        "project": { "id": pipeline.project,
            "path_with_namespace": world.projects[&pipeline.project].path },
        "builds": builds,
    })
}

/// A job as its runner is given it.
pub(super) fn received_job(world: &World, id: u64, now: Time) -> Value {
    let job = &world.jobs[&id];
    let seconds = job.spec.seconds;
    let waiting = world
        .jobs
        .values()
        .filter(|job| job.status == JobStatus::Pending)
        .count();
    let variable = |key: &str, value: String| {
        json!({
            "key": key, "value": value, "public": true, "masked": false, "file": false, "raw": true,
        })
    };
    let script = if job.spec.fails {
        vec![format!("sleep {seconds}"), "false".to_owned()]
    } else {
        vec![format!("sleep {seconds}")]
    };
    json!({
        "id": job.id, "token": job.token, "allow_git_fetch": true,
        "job_info": {
            "id": job.id, "name": job.spec.name, "stage": job.spec.stage,
            "project_id": job.project, "project_name": world.projects[&job.project].path,
            "time_in_queue_seconds": queued(job, now), "queue_size": waiting, "queue_depth": 0,
            "project_jobs_running_on_instance_runners_count": "0",
        },
        "git_info": { "repo_url": "", "ref": "main", "ref_type": "branch", "refspecs": [] },
        "runner_info": { "timeout": 3600 },
        "variables": [
            variable("CI", "true".to_owned()),
            variable("CI_JOB_ID", job.id.to_string()),
            variable("CI_JOB_NAME", job.spec.name.clone()),
            variable("JOB_SECONDS", seconds.to_string()),
            variable("JOB_FAILS", job.spec.fails.to_string()),
        ],
        "steps": [{
            "name": "script", "script": script, "timeout": 3600, "when": "on_success",
            "allow_failure": false,
        }],
        "image": null, "services": [], "artifacts": null, "cache": [], "credentials": [],
        "features": { "trace_sections": true }, "dependencies": [],
    })
}
