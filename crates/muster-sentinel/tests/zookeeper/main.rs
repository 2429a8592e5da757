//! Checks and the publisher to ZooKeeper together, while everything around them fails: no check waits, no verdict is
//! lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod fleet;
mod nodes;
mod outages;
mod panics;
mod reader;
