//! A log shipper that reloads: many prospectors (each looks for files and has harvesters that read them) are
//! checked, started and stopped at the same time.

pub mod crew;
pub mod prospector;

pub use crew::{Crew, ReloadError, Reloaded, check};
pub use prospector::{Spec, SpecError};
