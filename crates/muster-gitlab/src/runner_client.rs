//! What a runner itself asks of GitLab.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use muster_options::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, Gitlab};

/// GitLab as a runner sees it, with the runner's own token.
#[derive(Debug)]
pub struct RunnerClient {
    gitlab: Gitlab,
    token: Secret,
    system_id: String,
}

/// What came of asking for a job.
#[derive(Debug)]
pub enum JobRequest {
    /// A job, which is this runner's now.
    Job(Box<ReceivedJob>),
    /// None. The word to ask with next: GitLab holds that request until something may have
    /// changed.
    Nothing(Option<String>),
}

/// A job that was received.
#[derive(Clone, Debug, Deserialize)]
pub struct ReceivedJob {
    /// Its ID.
    pub id: u64,
    /// With which its log and state are written.
    pub token: Secret,
    /// Its name, stage and project, and how long it waited.
    pub job_info: Value,
    /// Its variables.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// What to run.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// A variable of a job.
#[derive(Clone, Debug, Deserialize)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: Option<Secret>,
}

/// A step of a job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Step {
    /// `script` or `after_script`.
    pub name: String,
    /// Its lines.
    pub script: Vec<String>,
}

impl ReceivedJob {
    /// The value of a variable.
    pub fn variable(&self, key: &str) -> Option<&str> {
        let found = self.variables.iter().find(|variable| variable.key == key)?;
        found.value.as_ref().map(Secret::expose)
    }

    /// How long it waited for a runner, if GitLab says so (16.4 and later).
    pub fn queued(&self) -> Option<Duration> {
        let seconds = self.job_info.get("time_in_queue_seconds")?.as_f64()?;
        Some(crate::jobs::span(seconds))
    }
}

/// How a job stands, for its update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobUpdate {
    /// It runs: a sign of life.
    Running,
    /// It ended well.
    Success,
    /// It ended badly, for that reason: `script_failure`, `runner_system_failure`, ...
    Failed(&'static str),
}

/// What came of writing to a job's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceAnswer {
    /// Whether the job was cancelled and shall stop.
    pub canceled: bool,
    /// How often GitLab wants to be written to.
    pub interval: Option<Duration>,
}

impl RunnerClient {
    /// A client for the runner with this token. `system_id` names the process; GitLab takes up to
    /// 64 characters.
    ///
    /// # Errors
    /// As [`Gitlab::new`].
    pub fn new(
        url: &str,
        token: Secret,
        system_id: &str,
        timeout: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            gitlab: Gitlab::anonymous(url, timeout)?,
            token,
            system_id: system_id.to_owned(),
        })
    }

    fn info(&self) -> Value {
        json!({
            "name": "muster", "version": env!("CARGO_PKG_VERSION"), "executor": "shell",
            "platform": std::env::consts::OS, "architecture": std::env::consts::ARCH,
            "features": { "refspecs": true, "cancelable": true, "return_exit_code": true },
        })
    }

    /// Shows itself, which makes the manager's record; POST /runners/verify. Gives the runner's ID.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Forbidden`] if the runner is deleted or the token wrong.
    pub async fn verify(&self) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Verified {
            id: u64,
        }
        let body = json!({
            "token": self.token.expose(), "system_id": self.system_id, "info": self.info(),
        });
        let call = self
            .gitlab
            .call(Method::POST, "runners/verify", "verify the runner")?;
        let verified: Verified = self.gitlab.json(call.body(&body)).await?;
        Ok(verified.id)
    }

    /// Asks for a job; POST /jobs/request. With `last_update` from the answer before, GitLab may
    /// hold the request up to 50 s; `timeout` must allow for that.
    ///
    /// If the answer is lost, a job may be this runner's that it does not know of.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Forbidden`] if the runner is deleted.
    pub async fn request_job(
        &self,
        last_update: Option<&str>,
        timeout: Duration,
    ) -> Result<JobRequest, Error> {
        let mut body = json!({
            "token": self.token.expose(), "system_id": self.system_id, "info": self.info(),
        });
        if let Some(word) = last_update {
            body["last_update"] = word.into();
        }
        let call = self
            .gitlab
            .call(Method::POST, "jobs/request", "request a job")?;
        let answer = self.gitlab.ok(call.body(&body).within(timeout)).await?;
        if answer.status == StatusCode::CREATED {
            return Ok(JobRequest::Job(Box::new(self.gitlab.read(&answer)?)));
        }
        let word = answer.header("x-gitlab-last-update");
        Ok(JobRequest::Nothing(word.map(str::to_owned)))
    }

    /// Tells how a job stands; PUT /jobs/:id. False if the job is not this runner's to write any
    /// more: cancelled, or given up by GitLab.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn update_job(&self, job: &ReceivedJob, update: JobUpdate) -> Result<bool, Error> {
        let (state, reason) = match update {
            JobUpdate::Running => ("running", None),
            JobUpdate::Success => ("success", None),
            JobUpdate::Failed(reason) => ("failed", Some(reason)),
        };
        let mut body = json!({ "token": job.token.expose(), "state": state });
        if let Some(reason) = reason {
            body["failure_reason"] = reason.into();
        }
        let path = format!("jobs/{}", job.id);
        let call = self.gitlab.call(Method::PUT, &path, "update the job")?;
        match self.gitlab.ok(call.body(&body)).await {
            Ok(_) => Ok(true),
            Err(Error::Forbidden { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Appends to a job's log at that place; PATCH /jobs/:id/trace.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn trace(
        &self,
        job: &ReceivedJob,
        at: usize,
        text: &str,
    ) -> Result<TraceAnswer, Error> {
        let canceled = TraceAnswer {
            canceled: true,
            interval: None,
        };
        let range = format!("{at}-{}", at + text.len().max(1) - 1);
        let mut headers = HeaderMap::new();
        let value =
            |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        headers.insert("JOB-TOKEN", value(job.token.expose()));
        headers.insert(http::header::CONTENT_RANGE, value(&range));
        headers.insert(http::header::CONTENT_TYPE, value("text/plain"));
        let path = format!("jobs/{}/trace", job.id);
        let call = self
            .gitlab
            .call(Method::PATCH, &path, "write the job's log")?;
        let call = call.raw(headers, text.as_bytes().to_vec());
        let answer = match self.gitlab.ok(call).await {
            Ok(answer) => answer,
            Err(Error::Forbidden { .. }) => return Ok(canceled),
            Err(error) => return Err(error),
        };
        let interval = answer.header("x-gitlab-trace-update-interval");
        let interval = interval.and_then(|text| text.parse().ok());
        Ok(TraceAnswer {
            canceled: matches!(answer.header("job-status"), Some("canceled" | "canceling")),
            interval: interval.map(Duration::from_secs),
        })
    }
}
