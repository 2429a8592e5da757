//! HTTP API, persisted intent and authorization.
//!
//! The [`Controller`] owns the desired state. A change is decided ([`change`]), prepared by the
//! engine, persisted ([`Store`]) and committed, in this order and one at a time. [`api`] puts it on
//! HTTP, [`Sockets`] on a unix socket and on loopback, and [`access`] decides who may do what.

pub mod access;
pub mod api;
pub mod change;
mod controller;
pub mod desired;
mod own_metrics;
mod server;
mod state_dir;
mod store;

pub use api::Api;
pub use controller::{Controller, Difference, Reload};
pub use server::{ListenError, SOCKET_NAME, Sockets};
pub use state_dir::{StateDir, StateDirError};
pub use store::{KEPT_CHANGES, Record, Store, StoreError, Stored, parse_id};
