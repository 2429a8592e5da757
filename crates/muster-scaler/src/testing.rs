//! For tests: a provider and a GitLab that misbehave as told, and a harness that kills the scaler
//! between any two of its effects and looks at what is left.
//!
//! [`Trial`] plays lives of a scaler on a [`Ground`], which is any provider whose truth can be seen.

mod cloud;
mod fuse;
mod gitlab;
mod trial;

pub use cloud::ModelCloud;
pub use fuse::{Fuse, Fused};
pub use gitlab::ModelGitlab;
pub use trial::{Ground, Outcome, Trial, TrialOptions};
