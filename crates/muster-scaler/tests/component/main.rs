//! The scaler as the agent runs it, with sources that hang, fail and tell on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod bad_input;
mod hangs;
mod scene;
mod secrets;
