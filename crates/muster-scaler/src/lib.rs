//! Watches whether the GitLab runners can bear their jobs, and brings servers when they cannot.

mod clock;
pub mod cloud_init;
mod controller;
mod counters;
mod desk;
mod lease;
mod listings;
mod observer;
mod reconcile;
mod records;
mod runners;
mod status;
mod store;
mod word;

pub use clock::Clock;
pub use controller::{Controller, Setup, StartError};
pub use counters::Counts;
pub use desk::{Decide, Desk, DeskError};
pub use lease::{Lease, LeaseError};
pub use listings::ProviderSetup;
pub use observer::{Observe, Seen};
pub use records::{ReadError, Recorded, Records};
pub use runners::{MakeAnswer, OwnedRunner, RunnerListing, RunnerSpec, Runners, RunnersError};
pub use status::{ProviderHealth, Status};
pub use store::StoreError;
