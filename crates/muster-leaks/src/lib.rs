//! Reads goroutine profiles and dumps, and finds which line of a service leaks.
//!
//! [`Profile::read`] takes any form in which Go shows its goroutines, told by its first bytes: the
//! binary profile ([`pprof`]), the text of `debug=1` ([`grouped_text`]), and the one of `debug=2`, of
//! `runtime.Stack` and of panics ([`dump`]), alone or in a log. All become the same: groups of
//! goroutines at the same place ([`profile`] says which source knows what).
//!
//! ```
//! use muster_leaks::{Profile, WaitClass};
//!
//! let log = "2024/01/02 serving
//! fatal error: all goroutines are asleep - deadlock!
//!
//! goroutine 18 [chan send, 9 minutes]:
//! main.ask(0xc000012345)
//! \t/src/ask.go:41 +0x2d
//! created by main.apply in goroutine 7
//! \t/src/apply.go:88 +0x9b
//! ";
//! let profile = Profile::read(log.as_bytes())?;
//! let group = &profile.groups[0];
//! assert_eq!((group.count, group.class), (1, WaitClass::Send));
//! assert_eq!(group.stack[0].to_string(), "main.ask /src/ask.go:41");
//! assert_eq!(group.created_by.as_ref().map(|frame| frame.line), Some(88));
//! # Ok::<(), muster_leaks::ReadError>(())
//! ```
//!
//! # Limits
//!
//! Whatever comes in, reading takes time in proportion to its length and keeps within:
//!
//! | what | limit |
//! |---|---|
//! | binary profile after decompression | [`pprof::MAX_BINARY_BYTES`] |
//! | its strings, functions, locations, samples | [`pprof::MAX_ENTRIES`] |
//! | frames of a stack | [`pprof::MAX_FRAMES`], [`grouped_text::MAX_FRAMES`], [`dump::MAX_FRAMES`] |
//! | frames of all stacks | [`pprof::MAX_TOTAL_FRAMES`], [`dump::MAX_TOTAL_FRAMES`] |
//! | groups of a dump | [`dump::MAX_GROUPS`] |
//! | text of a dump that is kept | [`dump::MAX_TEXT_BYTES`] |
//! | IDs and objects of a group | [`profile::MAX_IDS`], [`profile::MAX_OBJECTS`] |
//! | described problems | [`profile::MAX_PROBLEMS`] |

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

pub mod baseline;
mod growth;
pub mod ignore;
mod options;
mod patterns;
pub mod report;
pub mod series;
pub mod site;
mod survival;
pub mod top;
pub mod verdict;
pub mod watch;

pub use baseline::Baseline;
pub use ignore::IgnoreRule;
pub use options::Options;
pub use site::{Place, Site};
pub use top::top;
pub use verdict::{Evidence, Status, Suspect, Verdict};
pub use watch::{Want, Watch, once};
