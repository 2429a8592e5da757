//! Decides, purely, how many temporary GitLab runner servers there shall be, which to drain and
//! which to remove.
//!
//! No clock, no chance and no input or output in here: [`decide`] is a function of the
//! [`Config`], the [`Observation`], the [`Ledger`] and the time that it is handed. What it wants is
//! a list of [`Event`]s, which the caller makes durable in the ledger first, and of [`Action`]s,
//! which the caller carries out then; how they went comes back as events.
//!
//! ```text
//! observation ─┐                     ┌─ events ──> ledger (on disk) ─┐
//! ledger ──────┼──> decide ──────────┼─ actions ─> provider, GitLab ─┼─> events
//! config, now ─┘                     └─ explanation ─> record        │
//!      ^──────────────────────────────────────────────────────────────┘
//! ```

pub mod config;
mod decide;
mod decision;
pub mod explanation;
mod ledger;
pub mod memory;
mod observation;
pub mod provider;
mod reading;
mod server;
pub mod spend;
mod time;

pub use config::Config;
pub use decide::decide;
pub use decision::{Action, Alarm, Decision};
pub use explanation::{Explanation, Gate, GateResult, PoolExplanation};
pub use ledger::{Event, Happening, Ledger, Misfit, PausedHost};
pub use memory::JobRun;
pub use observation::{
    Host, Job, JobState, Jobs, Observation, Pipeline, PoolObservation, RunnerView,
};
pub use provider::ProviderId;
pub use reading::Reading;
pub use server::{ABSENCES, Drain, STUCK_AFTER, Server, ServerName, ServerState};
pub use time::Time;

/// A mark of a text, the same for ever (FNV-1a, 32 bits).
fn mark(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |mark, byte| {
        (mark ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
