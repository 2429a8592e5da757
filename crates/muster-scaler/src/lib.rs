//! Watches whether the GitLab runners can bear their jobs, and brings servers when they cannot.

mod runners;

pub use runners::{MakeAnswer, OwnedRunner, RunnerListing, RunnerSpec, Runners, RunnersError};
