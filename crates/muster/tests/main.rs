//! The real binary against real servers: what the README promises, shown.
//!
//! One binary for all, so that it is linked once. Tests that load the machine run alone
//! ([`suite::support::alone`]); the others run beside each other.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "these tests drive the agent from outside, with plain threads"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod suite;
