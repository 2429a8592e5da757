//! A small client of GitLab's API, for whoever brings and removes runners.
//!
//! - [`Gitlab`]: runners (make, list, look at, pause, delete), their jobs, projects' jobs by state,
//!   what the token may do. One request a call (one a page for lists), under a deadline, never
//!   repeated behind the caller's back.
//! - [`RunnerClient`]: the other side: what a runner itself asks for (verify, request a job, write
//!   its log, tell its end).
//! - [`hook`]: job and pipeline webhooks.
//! - [`JobBook`]: what jobs there are, folded from webhooks and polls; polls are right.
//! - `double` (feature `double`): a GitLab of our own with these calls, its faults and its limits,
//!   for demonstrations and tests;
//!
//! The token's scopes: `create_runner` to make runners, `manage_runner` to look at, pause and delete
//! single ones, and `read_api` to list runners and to look at jobs: GitLab takes `manage_runner`
//! only where the path names a runner.

mod account;
mod backoff;
pub mod book;
mod client;
mod error;
pub mod hook;
mod jobs;
pub mod limits;
mod moment;
mod runner_client;
mod runners;
mod token;

#[cfg(feature = "double")]
pub mod double;
#[cfg(feature = "double")]
pub mod fleet;

pub use account::{TokenInfo, Version, missing_scopes};
pub use backoff::Backoff;
pub use book::JobBook;
pub use client::{Gitlab, Options};
pub use error::Error;
pub use jobs::{JobInfo, JobStatus, ProjectInfo};
pub use runner_client::{JobRequest, JobUpdate, ReceivedJob, RunnerClient, TraceAnswer};
pub use runners::{Made, ManagerInfo, NewRunner, RunnerDetails, RunnerInfo, RunnerType};
pub use token::TokenSource;
