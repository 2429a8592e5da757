//! The public face of muster-config.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod dialect;
mod errors;
mod files;
mod filters;
mod ids;
mod plugins;
mod properties;
mod settings;
mod whole_files;
