//! Scheduler, pipeline and queues: from desired to observed state.
//!
//! The [`Engine`] runs components. A change goes through two steps: [`Engine::prepare`] builds and
//! starts everything new beside what runs, and may fail; [`Engine::commit`] swaps it in, and cannot
//! fail. Whoever owns the desired state persists it in between.
//!
//! ```text
//! input task --Batch--> refine --> processors --> [aggregators] --> outlets --> queue --> writer task
//! ```

mod aggregation;
mod core;
mod dead_letter;
mod engine;
mod health;
mod input;
mod link;
mod once;
mod output;
mod pipeline;
mod prepare;
mod queue;
mod refine;
mod schedule;
mod stats;
mod tap;
mod telemetry;
mod window;

pub use core::States;
pub use engine::{Change, Component, Engine, Refusal, Stopped};
pub use health::{Health, State};
pub use once::Round;
pub use prepare::Prepared;
pub use queue::QueueCounts;
pub use stats::{LastError, Observed};
