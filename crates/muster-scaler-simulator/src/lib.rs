//! Simulates a day of GitLab jobs under the scaler and under other rules.

mod load;
mod measure;
pub mod policy;
mod queue;
mod random;
mod rule;
mod servers;
mod simulation;
mod state;
mod synthetic;
pub mod table;
mod world;

pub use load::{Job, Load, Names, Pipeline};
pub use measure::{Measured, Spread, Wait};
pub use policy::Policy;
pub use rule::Rule;
pub use simulation::simulate;
pub use synthetic::{PROFILE, START, Synthetic};
pub use world::{Fault, FaultKind, Pool, World};

#[cfg(test)]
mod tests;
