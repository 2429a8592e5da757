//! Simulates days of GitLab jobs under the scaler and under other rules.
//!
//! A [`Load`] is the jobs of some days: drawn from a seed ([`Synthetic`]), read from a [`table`], or
//! taken from recorded decisions ([`replay`]). A [`World`] has hosts, servers that can be had, and what
//! goes wrong. A [`Policy`] decides how many servers there shall be; [`policy::Muster`] is the product
//! itself, whose real `decide` is asked. [`simulate`] runs the one through the other and gives
//! [`Measured`]; [`frontier`] does so for many [`Rule`]s and seeds, to be shown as [`text`] or as a
//! picture ([`plot`]).
//!
//! No clock and no input or output in here, and no chance but that of seeds: the same arguments give
//! the same figures.
//!
//! ```
//! use muster_scaler_simulator::frontier::{Options, frontier};
//! use muster_scaler_simulator::{Rule, Synthetic, text};
//!
//! let options = Options {
//!     synthetic: Synthetic { days: 1, jobs_per_day: 300.0, ..Synthetic::default() },
//!     rules: vec![Rule::Taskscaler(300), Rule::Muster(Default::default())],
//!     seeds: 2,
//!     ..Options::default()
//! };
//! let frontier = frontier(&options, None, &mut |progress| progress.done < progress.all + 1)
//!     .expect("it was not ended early");
//! assert_eq!(frontier.points[1].runs[0].killed, 0);
//! print!("{}", text::table(&frontier));
//! ```

pub mod frontier;
mod load;
mod measure;
pub mod plot;
pub mod policy;
mod queue;
mod random;
pub mod replay;
mod rule;
mod servers;
mod simulation;
mod state;
mod synthetic;
pub mod table;
pub mod text;
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
