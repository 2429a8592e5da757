//! Reads goroutine profiles and dumps, and finds which line of a service leaks.

pub mod dump;
pub mod grouped_text;
mod intern;
mod labels;
mod merge;
pub mod pprof;
pub mod profile;
mod read;

pub use dump::DumpReader;
pub use profile::{Format, Frame, Group, Label, LabelValue, Profile, Stack, WaitClass};
pub use read::ReadError;
