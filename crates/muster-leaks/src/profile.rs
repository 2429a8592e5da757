//! What every source yields: goroutines, grouped by where they are and what they wait for.
//!
//! Go shows its goroutines in three forms. They do not tell the same:
//!
//! | | [`Binary`](Format::Binary) | [`GroupedText`](Format::GroupedText) | [`Dump`](Format::Dump) |
//! |---|---|---|---|
//! | asked for with | nothing | `debug=1` | `debug=2`, a panic, SIGQUIT |
//! | count and stack | yes | yes | yes |
//! | [`class`](Group::class) | from the hidden runtime frames; nil channels look like others | locks, sleep and I/O only, from visible frames | from the printed wait reason |
//! | [`reason`](Group::reason) | no | no | yes |
//! | [`created_by`](Group::created_by) | no | no | yes |
//! | [`minutes`](Group::minutes), [`ids`](Group::ids), [`objects`](Group::objects) | no | no | yes |
//! | [`labels`](Group::labels) | yes | yes | Go 1.26 on request, from 1.27 on |
//! | [`leaked`](Group::leaked) | all of a `goroutineleak` profile | likewise | marked ones |
//! | [`build_id`](Profile::build_id) | yes | no | no |
//!
//! Stacks are brought into one form, so that the same goroutine has the same stack whatever the
//! source: leaf first; without the runtime's private frames (as in a dump), unless nothing else
//! would be left; without addresses and arguments; with the type arguments of generic functions
//! written `[...]`; names unescaped (`%2e` is a dot).

pub(crate) mod classify;
mod group;
pub(crate) mod names;
mod stack;
#[cfg(test)]
mod tests;
mod wait;

use std::sync::Arc;

pub use group::{
    Group, Ids, Label, LabelValue, MAX_IDS, MAX_LABELS, MAX_OBJECTS, Minutes, Objects,
};
pub use stack::{Frame, Stack};
pub use wait::WaitClass;

/// So many groups a profile has at most; goroutines of further ones are only counted.
pub const MAX_GROUPS: usize = 1 << 18;

/// A source that says more of one stack is wrong: no memory holds so many goroutines.
pub const MAX_COUNT: u64 = 1 << 40;

/// So many bad places of one input are described in [`Profile::problems`]; the rest is counted.
pub const MAX_PROBLEMS: usize = 16;

/// The form that a profile was read from; says what it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A profile in pprof's protobuf form.
    Binary,
    /// The text of `debug=1`: one record a stack.
    GroupedText,
    /// The text of `debug=2`, of `runtime.Stack` or of a panic: every goroutine by itself.
    Dump,
}

/// One look at all goroutines of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The form it was read from.
    pub format: Format,
    /// What was counted: `goroutine`, `goroutineleak`, `threadcreate`, or the name of a profile of
    /// the program's own. A dump is always `goroutine`.
    pub kind: Arc<str>,
    /// The goroutines, with those of the last, cut one of a dump. Negative counts of a delta
    /// profile count as 0.
    pub total: u64,
    /// The groups, by count descending, then in the order of the input. Their counts add up to
    /// `total`, less [`ungrouped`](Self::ungrouped).
    pub groups: Vec<Group>,
    /// Goroutines that are in `total` but in no group: their stack could not be read whole, or
    /// there were too many different groups.
    pub ungrouped: u64,
    /// The build of the main binary: another one means that the service was deployed anew. Binary
    /// profiles only, and only if the linker wrote one.
    pub build_id: Option<Arc<str>>,
    /// When it was taken, in nanoseconds since 1970 UTC. Binary profiles only.
    pub time_nanos: Option<i64>,
    /// The time that a delta profile covers, in nanoseconds. Binary profiles only.
    pub duration_nanos: Option<i64>,
    /// Where the input stops in the middle: a dump is cut by Go at 64 MiB. Then `total` is only a
    /// lower bound.
    pub cut: Option<Cut>,
    /// How many places could not be understood and were passed over.
    pub bad: u64,
    /// The first few of them, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

impl Profile {
    /// A profile without goroutines.
    pub fn empty(format: Format, kind: &str) -> Self {
        Self {
            format,
            kind: kind.into(),
            total: 0,
            groups: Vec::new(),
            ungrouped: 0,
            build_id: None,
            time_nanos: None,
            duration_nanos: None,
            cut: None,
            bad: 0,
            problems: Vec::new(),
        }
    }

    /// Counts a bad place and keeps its description, if there is room.
    pub(crate) fn note(&mut self, line: u64, offset: u64, message: impl Into<String>) {
        self.bad += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                line,
                offset,
                message: message.into(),
            });
        }
    }
}

/// Where an input stops in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The length of the input in bytes.
    pub at: u64,
    /// The goroutine that is not whole, if so much of it is there.
    pub goroutine: Option<u64>,
}

/// A place that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (byte {offset}): {message}")]
pub struct Problem {
    /// The line, from 1; 0 in a binary profile.
    pub line: u64,
    /// The byte, from 0; in text that of the line's start.
    pub offset: u64,
    /// What was expected, as a lower-case phrase; holds at most a short excerpt of the input.
    pub message: String,
}
