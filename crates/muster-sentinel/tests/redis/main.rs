//! Checks of real Redis servers: each way of failing gets its state and its reason, and is got over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod component;
mod discovery;
mod fakes;
mod faults;
mod replicas;
mod tls;
mod watched;
