//! Watches whether the GitLab runners can bear their jobs, and brings servers when they cannot.

mod clock;
pub mod cloud_init;
mod component;
mod controller;
mod counters;
mod desk;
mod http;
mod lease;
mod listings;
mod metrics;
pub mod observe;
mod observer;
mod reap;
mod reconcile;
mod records;
mod runners;
mod status;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod word;

use muster_options::Options;
use muster_plugin::{Build, FormatUse, PluginRow};
use muster_scaler_core::Config;

/// The scaler.
pub const PLUGINS: &[PluginRow] = &[PluginRow {
    name: "scaler",
    summary: "brings servers when the GitLab runners cannot bear their jobs, and removes them again",
    options: Config::describe,
    format: FormatUse::None,
    build: Build::Scaler(|cx| Ok(Box::new(Scaler::build(cx)?))),
}];

pub use clock::{Clock, Moment};
pub use component::{OrderError, Scaler, Scalers, providers};
pub use controller::{Controller, Setup, StartError};
pub use counters::{Counts, Decided};
pub use desk::{Decide, Desk, DeskError};
pub use lease::{Lease, LeaseError};
pub use listings::ProviderSetup;
pub use metrics::write as write_metrics;
pub use observer::{Observe, Seen};
pub use reap::{Deleting, Done, Reaped, Reaping, reap};
pub use records::{ReadError, Recorded, Records};
pub use runners::{MakeAnswer, OwnedRunner, RunnerListing, RunnerSpec, Runners, RunnersError};
pub use status::{ProviderHealth, Status};
pub use store::StoreError;
