//! What the leak monitor found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Name;
use crate::panic::CodeLocation;
use crate::snapshot::{Age, TaskInfo};

/// Why tasks are held to leak, the strongest evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Verdict {
    /// Alive although its group was stopped, aborted, or given up by everybody.
    OutlivedGroup,
    /// Nothing can wake it any more. Needs the feature `lost-waker`.
    LostWaker,
    /// Inside one poll for longer than allowed: it keeps a worker thread from everything else.
    StuckInPoll,
    /// A blocking thread past its time limit, or past its cancellation.
    BlockingTooLong,
    /// More and more of them, and none ends.
    Growth,
    /// More live tasks in a group than [`max_live`](crate::GroupBuilder::max_live) allows.
    OverBudget,
}

impl Verdict {
    /// All verdicts, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::OutlivedGroup,
        Self::LostWaker,
        Self::StuckInPoll,
        Self::BlockingTooLong,
        Self::Growth,
        Self::OverBudget,
    ];

    /// The verdict in lower case, words joined by underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutlivedGroup => "outlived_group",
            Self::LostWaker => "lost_waker",
            Self::StuckInPoll => "stuck_in_poll",
            Self::BlockingTooLong => "blocking_too_long",
            Self::Growth => "growth",
            Self::OverBudget => "over_budget",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OutlivedGroup => "alive after its group's end",
            Self::LostWaker => "nothing can wake it any more",
            Self::StuckInPoll => "stuck in one poll",
            Self::BlockingTooLong => "blocking past its time",
            Self::Growth => "more and more, and none ends",
            Self::OverBudget => "more than the group's budget",
        })
    }
}

/// Tasks of one spawn line that leak, or seem to.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// Why they are held to leak.
    pub verdict: Verdict,
    /// The line that spawned them.
    pub location: CodeLocation,
    /// The name of the oldest of them.
    pub name: Name,
    /// The path of its group.
    pub group: Arc<str>,
    /// How many there are now.
    pub live: usize,
    /// How many more there are each hour; only for [`Verdict::Growth`].
    pub per_hour: Option<f64>,
    /// What was seen, in a sentence.
    pub evidence: String,
    /// How long ago it was found.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "found_ago_seconds",
            serialize_with = "crate::snapshot::as_seconds::duration"
        )
    )]
    pub found_ago: Duration,
    /// The oldest of them, at most three.
    pub tasks: Vec<TaskInfo>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verdict,
            location,
            name,
            group,
            live,
            evidence,
            ..
        } = self;
        write!(
            f,
            "{live} x {group}/{name}, spawned at {location}: {verdict}; {evidence}"
        )?;
        if let Some(oldest) = self.tasks.first() {
            write!(f, "; the oldest is {} old", Age(oldest.age))?;
            if !oldest.label.is_empty() {
                write!(f, " and waits at \"{}\"", oldest.label)?;
            }
        }
        Ok(())
    }
}
