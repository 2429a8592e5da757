//! What the scaler asks of GitLab's runner objects. One object a server, so that each can be paused
//! and removed alone.

use std::fmt;

use async_trait::async_trait;
use muster_options::Secret;
use muster_scaler_core::ServerName;

/// A runner object to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSpec {
    /// Its server: the object's description.
    pub name: ServerName,
    /// The scaler that owns it: written into the object with the description, so that
    /// [`Runners::list_owned`] finds it even when the answer that made it was lost.
    pub owner: String,
    /// The server's pool.
    pub pool: String,
    /// The tags of the jobs that it takes.
    pub tags: Vec<String>,
    /// Whether it takes jobs without tags.
    pub run_untagged: bool,
}

/// How making a runner object went.
#[derive(Clone, Debug)]
pub enum MakeAnswer {
    /// It is there.
    Made {
        /// Its ID.
        id: u64,
        /// Its token, which is shown once only.
        token: Secret,
    },
    /// There is none, for certain, and why.
    Refused(String),
    /// Nobody knows: the request may have been taken. What was made without our knowledge is found
    /// in a listing and deleted.
    Unknown(String),
}

/// One runner object of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRunner {
    /// Its ID.
    pub id: u64,
    /// The server for which it was made.
    pub name: ServerName,
    /// Whether it is paused.
    pub paused: bool,
}

/// The runner objects of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerListing {
    /// Those found. Only objects that say that they are this owner's.
    pub runners: Vec<OwnedRunner>,
    /// Whether these are all: every page came.
    pub complete: bool,
}

/// Failed to ask GitLab; the message completes "failed to ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RunnersError(pub String);

/// GitLab's runner objects.
///
/// Every method may be dropped at any moment, which closes its connection; the caller sets the
/// deadline. None tries again by itself. None logs or returns a secret but `make_runner` its token.
#[async_trait]
pub trait Runners: Send + Sync + fmt::Debug {
    /// Makes a runner object, not paused.
    async fn make_runner(&self, spec: &RunnerSpec) -> MakeAnswer;

    /// Lets it take no new jobs; done already is done.
    ///
    /// # Errors
    /// If it is not certain that it is paused now.
    async fn pause(&self, runner: u64) -> Result<(), RunnersError>;

    /// Lets it take jobs again; done already is done.
    ///
    /// # Errors
    /// If it is not certain that it takes jobs now.
    async fn unpause(&self, runner: u64) -> Result<(), RunnersError>;

    /// Deletes it; gone already is done.
    ///
    /// # Errors
    /// If it is not certain that it is gone.
    async fn delete(&self, runner: u64) -> Result<(), RunnersError>;

    /// Looks at one; `None` if there is none with that ID, or it is not ours by its description.
    ///
    /// # Errors
    /// If GitLab could not be asked.
    async fn view(&self, runner: u64) -> Result<Option<OwnedRunner>, RunnersError>;

    /// Whether there is one with that ID, ours or not.
    ///
    /// # Errors
    /// If GitLab could not be asked.
    async fn exists(&self, runner: u64) -> Result<bool, RunnersError>;

    /// All runner objects of an owner.
    ///
    /// # Errors
    /// If GitLab could not be asked at all. Part of an answer is a listing that is not complete.
    async fn list_owned(&self, owner: &str) -> Result<RunnerListing, RunnersError>;
}
