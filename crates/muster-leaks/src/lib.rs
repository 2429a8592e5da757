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
//! # Finding the line that leaks
//!
//! A [`Watch`] follows one target. It takes profiles with the times at which they were fetched, says
//! what else it would like to see, within a budget, and gives a [`Verdict`] at any time: suspects,
//! each with the line that blocks, the line of the `go` statement, numbers, and why it is held to be
//! a leak. It does no I/O; whoever fetches does this about once a minute:
//!
//! ```
//! use muster_leaks::{Options, Profile, Want, Watch, report};
//! # use jiff::Timestamp;
//! # fn fetch(path: &str) -> Option<Profile> {
//! #     Profile::read(b"goroutine profile: total 0\n").ok().filter(|_| path == "goroutine")
//! # }
//! # let now = Timestamp::now();
//!
//! let mut watch = Watch::new("http://shop:6060", Options::default());
//! // For each sample; `fetch` asks for what is under /debug/pprof/ of the target.
//! if let Some(profile) = fetch("goroutine") {
//!     watch.feed(now, &profile);
//! }
//! while let Some(want) = watch.want(now) {
//!     match fetch(want.path()) {
//!         Some(profile) => watch.feed(now, &profile),
//!         None if want == Want::LeakProfile => watch.no_leak_profile(),
//!         None => {}
//!     }
//! }
//! let verdict = watch.verdict();
//! assert_eq!(report::verdict(&verdict), "http://shop:6060: clean, 0 goroutines, 1 samples\n");
//! assert_eq!(verdict.status.exit_code(), 0);
//! ```
//!
//! How it decides, for each [`Site`] (what is waited for, and the blocking line):
//!
//! 1. Only waits that another goroutine must end can be leaks. What waits for the network, a timer
//!    or a system call is at most a [`Note`](verdict::Note).
//! 2. The count grows: the lowest counts of equal spans of time rise evenly and do not go back, over
//!    [`Options::samples`] spans of 1, 2, 4, ... samples.
//! 3. Two dumps show who survives. If nearly all goroutines of the first are at the same site in the
//!    second, it is a leak ([`Evidence::Survivors`]). If they come and go, it is load.
//! 4. Where there are no dumps, counts alone decide after longer ([`Evidence::Growth`]).
//! 5. Where Go has a leak profile (1.27, or 1.26 as an experiment), it is the proof
//!    ([`Evidence::Proved`]).
//!
//! What it cannot tell from a leak is a pool that grows evenly for all that time and whose idle
//! workers are never given anything to do: an [`IgnoreRule`] with a bound is for that. What it does
//! not see is a leak at a line that many more goroutines pass all the time, until it outweighs them.
//!
//! [`once`] compares files, [`Baseline`] what was with what is, [`top()`](top::top) only groups, and
//! [`report`] shows each of them.
//!
//! # Limits
//!
//! A [`Watch`] follows [`watch::MAX_SITES`] sites over [`series::MAX_POINTS`] points. Whatever comes in, reading takes time in proportion to its length and keeps within:
//!
//! | what | limit |
//! |---|---|
//! | binary profile after decompression | [`pprof::MAX_BINARY_BYTES`] |
//! | its strings, functions, locations with their lines, samples | [`pprof::MAX_ENTRIES`] |
//! | each of its strings | [`pprof::MAX_STRING_BYTES`] |
//! | frames of a stack | [`pprof::MAX_FRAMES`], [`grouped_text::MAX_FRAMES`], [`dump::MAX_FRAMES`] |
//! | frames of all stacks | [`pprof::MAX_TOTAL_FRAMES`], [`grouped_text::MAX_TOTAL_FRAMES`], [`dump::MAX_TOTAL_FRAMES`] |
//! | groups of a profile, of a dump | [`profile::MAX_GROUPS`], [`dump::MAX_GROUPS`] |
//! | goroutines of a stack | [`profile::MAX_COUNT`] |
//! | labels of a group | [`profile::MAX_LABELS`] |
//! | text of a dump that is kept | [`dump::MAX_TEXT_BYTES`] |
//! | IDs and objects of a group | [`profile::MAX_IDS`], [`profile::MAX_OBJECTS`] |
//! | described problems | [`profile::MAX_PROBLEMS`] |

pub mod baseline;
#[cfg(feature = "collector")]
pub mod collect;
pub mod dump;
pub mod grouped_text;
mod growth;
pub mod ignore;
mod intern;
mod labels;
mod merge;
mod options;
mod patterns;
pub mod pprof;
pub mod profile;
mod read;
pub mod report;
pub mod series;
pub mod site;
mod survival;
#[cfg(feature = "testing")]
pub mod testing;
pub mod top;
pub mod verdict;
pub mod watch;

pub use baseline::Baseline;
pub use dump::DumpReader;
pub use ignore::IgnoreRule;
pub use options::Options;
pub use profile::{Format, Frame, Group, Label, LabelValue, Profile, Stack, WaitClass};
pub use read::ReadError;
pub use site::{Place, Site};
pub use top::top;
pub use verdict::{Evidence, Status, Suspect, Verdict};
pub use watch::{Want, Watch, once};
