//! Liveness checks of Redis and other services, and who is told of their state.

mod clock;
mod machine;
pub mod resp;
mod status;
mod words;

pub use clock::{Clock, Moment};
pub use machine::{Machine, Thresholds};
pub use status::{
    Answer, CheckKind, Class, Facts, Instance, Loading, Outcome, Reason, Replication, State,
    Status, Target, Transition, Verdict,
};
