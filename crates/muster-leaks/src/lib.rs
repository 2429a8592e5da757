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

mod growth;
pub mod ignore;
mod options;
mod patterns;
pub mod series;
pub mod site;
mod survival;
pub mod verdict;
pub mod watch;

pub use ignore::IgnoreRule;
pub use options::Options;
pub use site::{Place, Site};
pub use verdict::{Evidence, Status, Suspect, Verdict};
pub use watch::{Want, Watch};
