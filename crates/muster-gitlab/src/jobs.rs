//! Projects and their jobs.

use std::time::Duration;

use http::Method;
use muster_net::path_segment;
use muster_scaler_core::Time;
use serde::{Deserialize, Serialize};

use crate::limits::{MOST_JOBS, MOST_PAST_JOBS, MOST_PROJECTS, PER_PAGE};
use crate::{Error, Gitlab};

/// How far a job is, in GitLab's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waits for jobs before it.
    Created,
    /// Waits for a resource group.
    WaitingForResource,
    /// Is being prepared.
    Preparing,
    /// Waits for a callback.
    WaitingForCallback,
    /// Waits for a runner.
    Pending,
    /// Runs.
    Running,
    /// Is being cancelled; still runs.
    Canceling,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Was cancelled.
    Canceled,
    /// Will not run.
    Skipped,
    /// Waits for somebody.
    Manual,
    /// Waits for a time.
    Scheduled,
    /// A word that is not known here.
    #[default]
    #[serde(other)]
    Other,
}

impl JobStatus {
    /// Whether the job is over for good or until somebody starts it.
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Canceled | Self::Skipped | Self::Manual
        )
    }

    /// GitLab's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::WaitingForResource => "waiting_for_resource",
            Self::Preparing => "preparing",
            Self::WaitingForCallback => "waiting_for_callback",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Canceling => "canceling",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
            Self::Other => "other",
        }
    }
}

/// A job in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobInfo {
    /// Its ID.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its stage's name.
    pub stage: String,
    /// How far it is.
    pub status: JobStatus,
    /// Which runners may take it; empty: those that run untagged jobs.
    pub tag_list: Vec<String>,
    /// When it was made.
    #[serde(deserialize_with = "crate::moment::optional")]
    pub created_at: Option<Time>,
    /// When it began to run.
    #[serde(deserialize_with = "crate::moment::optional")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(deserialize_with = "crate::moment::optional")]
    pub finished_at: Option<Time>,
    /// How long it has run, in seconds; until now if it runs.
    pub duration: Option<f64>,
    /// How long it has waited for a runner, in seconds; until now if it waits.
    pub queued_duration: Option<f64>,
    /// Its pipeline.
    pub pipeline: Option<PipelineRef>,
    /// The runner that has or had it.
    pub runner: Option<RunnerRef>,
}

/// The pipeline of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineRef {
    /// Its ID.
    pub id: u64,
    /// Its project.
    pub project_id: u64,
}

/// The runner of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerRef {
    /// Its ID.
    pub id: u64,
}

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectInfo {
    /// Its ID.
    pub id: u64,
    /// Its path with that of its group.
    pub path_with_namespace: String,
    /// Whether it has CI, if GitLab says so.
    pub jobs_enabled: Option<bool>,
    /// Who may see its repository, in GitLab's words; `disabled`: it has none.
    pub repository_access_level: Option<String>,
}

impl ProjectInfo {
    /// Whether it can have jobs. Where it cannot, GitLab refuses to list them (403).
    pub fn may_have_jobs(&self) -> bool {
        self.jobs_enabled != Some(false)
            && self.repository_access_level.as_deref() != Some("disabled")
    }
}

/// Seconds as GitLab tells them; what is negative or no number is nothing.
pub(crate) fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

impl Gitlab {
    /// A project by ID or path; GET /projects/:id. Wants `read_api`, as all that follow here.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn project(&self, project: &str) -> Result<ProjectInfo, Error> {
        let path = format!("projects/{}", path_segment(project));
        self.json(self.call(Method::GET, &path, "look at the project")?)
            .await
    }

    /// The projects of a group and of its subgroups that are not archived; GET
    /// /groups/:id/projects.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] beyond [`MOST_PROJECTS`].
    pub async fn group_projects(&self, group: &str) -> Result<Vec<ProjectInfo>, Error> {
        let path = format!("groups/{}/projects", path_segment(group));
        let query = [
            ("include_subgroups", "true"),
            ("archived", "false"),
            ("with_shared", "false"),
        ];
        let what = "list the group's projects";
        self.pages(&path, &query, MOST_PROJECTS, what).await
    }

    /// The jobs of a project in these states; GET /projects/:id/jobs. GitLab has no such call for
    /// a group or the instance.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] beyond [`MOST_JOBS`].
    pub async fn jobs(&self, project: u64, states: &[JobStatus]) -> Result<Vec<JobInfo>, Error> {
        let path = format!("projects/{project}/jobs");
        let query: Vec<(&str, &str)> = states
            .iter()
            .map(|state| ("scope[]", state.word()))
            .collect();
        let what = "list the project's jobs";
        self.pages_by_id(&path, &query, MOST_JOBS, what, |_| true)
            .await
    }

    /// The jobs of a project in these states that were made at `since` or later, newest first.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] beyond [`MOST_PAST_JOBS`].
    pub async fn jobs_since(
        &self,
        project: u64,
        states: &[JobStatus],
        since: Time,
    ) -> Result<Vec<JobInfo>, Error> {
        let path = format!("projects/{project}/jobs");
        let query: Vec<(&str, &str)> = states
            .iter()
            .map(|state| ("scope[]", state.word()))
            .collect();
        let what = "list the project's past jobs";
        let wants = |job: &JobInfo| job.created_at.is_none_or(|made| made >= since);
        let mut jobs = self
            .pages_by_id(&path, &query, MOST_PAST_JOBS, what, wants)
            .await?;
        jobs.retain(wants);
        Ok(jobs)
    }

    /// The newest jobs of a project in these states, one page of them: the first
    /// [`PER_PAGE`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn newest_jobs(
        &self,
        project: u64,
        states: &[JobStatus],
    ) -> Result<Vec<JobInfo>, Error> {
        let path = format!("projects/{project}/jobs");
        let per_page = PER_PAGE.to_string();
        let mut query: Vec<(&str, &str)> = states
            .iter()
            .map(|state| ("scope[]", state.word()))
            .collect();
        query.push(("per_page", &per_page));
        let call = self.call(Method::GET, &path, "list the project's jobs")?;
        self.json(call.query(&query)).await
    }

    /// The jobs of a pipeline, whatever their state; GET /projects/:id/pipelines/:pipeline/jobs.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] beyond [`MOST_JOBS`].
    pub async fn pipeline_jobs(&self, project: u64, pipeline: u64) -> Result<Vec<JobInfo>, Error> {
        let path = format!("projects/{project}/pipelines/{pipeline}/jobs");
        self.pages(&path, &[], MOST_JOBS, "list the pipeline's jobs")
            .await
    }
}
