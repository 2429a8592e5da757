//! The decision over whole stories: a random world that answers it, and rules one by one.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod suite;
