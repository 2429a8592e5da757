//! Runners: made, listed, looked at, paused, deleted.

use http::Method;
use muster_options::Secret;
use muster_scaler_core::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits::{MOST_JOBS_OF_A_RUNNER, MOST_RUNNERS};
use crate::{Error, Gitlab, JobInfo};

/// Whose jobs a runner takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerType {
    /// All of the instance; only an administrator's token makes these.
    #[default]
    InstanceType,
    /// Those of a group.
    GroupType,
    /// Those of a project.
    ProjectType,
}

/// A runner to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRunner {
    /// Whose jobs it takes.
    pub runner_type: RunnerType,
    /// The group or project, for the types that want one.
    pub scope: Option<u64>,
    /// Its description: here the server's name.
    pub description: String,
    /// Which jobs it takes.
    pub tags: Vec<String>,
    /// Whether it takes jobs without tags.
    pub run_untagged: bool,
    /// Whether it begins paused.
    pub paused: bool,
    /// Who made it and why; at most 1,024 characters.
    pub maintenance_note: String,
}

/// A runner that was made. The token is told only this once.
#[derive(Clone, Debug, Deserialize)]
pub struct Made {
    /// Its ID.
    pub id: u64,
    /// With which it asks for jobs.
    pub token: Secret,
}

/// A runner in a list. Lists have no tags and no maintenance note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerInfo {
    /// Its ID.
    pub id: u64,
    /// Its description.
    pub description: Option<String>,
    /// Whether it takes no jobs.
    pub paused: bool,
    /// `online`, `offline`, `stale` or `never_contacted`; up to two hours behind.
    pub status: String,
    /// `instance_type`, `group_type` or `project_type`.
    pub runner_type: String,
}

/// A runner, looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerDetails {
    /// Its ID.
    pub id: u64,
    /// Its description.
    pub description: Option<String>,
    /// Whether it takes no jobs.
    pub paused: bool,
    /// `online`, `offline`, `stale` or `never_contacted`; up to two hours behind.
    pub status: String,
    /// Which jobs it takes.
    pub tag_list: Vec<String>,
    /// Whether it takes jobs without tags.
    pub run_untagged: bool,
    /// Who made it and why.
    pub maintenance_note: Option<String>,
    /// When it was last heard of; written at most every 40 to 55 minutes, so no sign of life.
    #[serde(deserialize_with = "crate::moment::optional")]
    pub contacted_at: Option<Time>,
}

/// A process that runs with a runner's token: it appears when it first verifies itself or asks for
/// a job, which is the sign that a server has joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagerInfo {
    /// Its ID.
    pub id: u64,
    /// The name that it gave itself.
    pub system_id: String,
    /// When it first came.
    #[serde(deserialize_with = "crate::moment::optional")]
    pub created_at: Option<Time>,
    /// When it was last heard of; see [`RunnerDetails::contacted_at`].
    #[serde(deserialize_with = "crate::moment::optional")]
    pub contacted_at: Option<Time>,
    /// Its address.
    pub ip_address: Option<String>,
    /// `active` if it runs a job (also one that the token's user may not see), else `idle`; older
    /// GitLabs do not say it.
    pub job_execution_status: Option<String>,
}

impl ManagerInfo {
    /// Whether it runs a job, if GitLab says so.
    pub fn is_busy(&self) -> Option<bool> {
        self.job_execution_status
            .as_deref()
            .map(|status| status == "active")
    }
}

impl Gitlab {
    /// Makes a runner; POST /user/runners. Wants `create_runner`.
    ///
    /// # Errors
    /// [`Error`]. If [`may_have_happened`](Error::may_have_happened), the runner may exist with a
    /// token that nobody knows: list by description, delete it, and make another.
    pub async fn make_runner(&self, new: &NewRunner) -> Result<Made, Error> {
        let mut body = json!({
            "runner_type": new.runner_type,
            "description": new.description,
            "tag_list": new.tags.join(","),
            "run_untagged": new.run_untagged,
            "paused": new.paused,
            "locked": new.runner_type == RunnerType::ProjectType,
            "maintenance_note": new.maintenance_note,
        });
        let scope = match new.runner_type {
            RunnerType::InstanceType => None,
            RunnerType::GroupType => Some("group_id"),
            RunnerType::ProjectType => Some("project_id"),
        };
        if let (Some(name), Some(id)) = (scope, new.scope) {
            body[name] = id.into();
        }
        let call = self.call(Method::POST, "user/runners", "make a runner")?;
        self.json(call.body(&body)).await
    }

    /// The runners that the token's user owns, or with `all` those of the whole instance, which
    /// only an administrator may ask for; GET /runners or /runners/all, page by page. Wants
    /// `read_api`.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] beyond [`MOST_RUNNERS`].
    pub async fn runners(&self, all: bool) -> Result<Vec<RunnerInfo>, Error> {
        let path = if all { "runners/all" } else { "runners" };
        self.pages(path, &[], MOST_RUNNERS, "list the runners")
            .await
    }

    /// One runner; GET /runners/:id. Wants `manage_runner` or `read_api`, as all that follow here.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotFound`] if it is gone.
    pub async fn runner(&self, id: u64) -> Result<RunnerDetails, Error> {
        let path = format!("runners/{id}");
        self.json(self.call(Method::GET, &path, "look at the runner")?)
            .await
    }

    /// The managers of a runner; GET /runners/:id/managers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn managers(&self, id: u64) -> Result<Vec<ManagerInfo>, Error> {
        let path = format!("runners/{id}/managers");
        self.json(self.call(Method::GET, &path, "look at the runner's managers")?)
            .await
    }

    /// Pauses a runner, or lets it take jobs again; PUT /runners/:id. Running jobs go on. A job
    /// request that GitLab holds at that moment (up to 50 s) may still be given a job. Safe to
    /// repeat.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_paused(&self, id: u64, paused: bool) -> Result<RunnerDetails, Error> {
        let path = format!("runners/{id}");
        let what = if paused {
            "pause the runner"
        } else {
            "unpause the runner"
        };
        let call = self.call(Method::PUT, &path, what)?;
        self.json(call.body(&json!({ "paused": paused }))).await
    }

    /// The running jobs of a runner that the token's user may see, those of one manager if
    /// `system_id` is given; GET /runners/:id/jobs. Jobs of projects in which the user is not at
    /// least a reporter are missing: ask the [`managers`](Self::managers), too, before calling a
    /// runner empty.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn running_jobs(
        &self,
        id: u64,
        system_id: Option<&str>,
    ) -> Result<Vec<JobInfo>, Error> {
        let path = format!("runners/{id}/jobs");
        let mut query = vec![("status", "running")];
        query.extend(system_id.map(|system_id| ("system_id", system_id)));
        let what = "look at the runner's jobs";
        self.pages(&path, &query, MOST_JOBS_OF_A_RUNNER, what).await
    }

    /// Deletes a runner; DELETE /runners/:id. One that is gone already is deleted, too.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_runner(&self, id: u64) -> Result<(), Error> {
        let path = format!("runners/{id}");
        let call = self.call(Method::DELETE, &path, "delete the runner")?;
        match self.ok(call).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
