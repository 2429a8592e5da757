//! HTTP API, persisted intent and authorization.
//!
//! The [`Controller`] owns the desired state. A change is decided ([`change`]), prepared by the
//! engine, persisted ([`Store`]) and committed, in this order and one at a time.

pub mod change;
mod controller;
pub mod desired;
mod state_dir;
mod store;

pub use controller::{Controller, Difference, Reload};
pub use state_dir::{StateDir, StateDirError};
pub use store::{KEPT_CHANGES, Record, Store, StoreError, Stored, parse_id};
