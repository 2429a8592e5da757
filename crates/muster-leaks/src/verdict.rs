//! What is found: suspects with what speaks against them.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::site::Place;

/// Whether something leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing is suspected.
    Clean,
    /// Something grows as a leak does.
    Suspects,
    /// Something is proved to leak.
    Confirmed,
}

impl Status {
    /// For a program's end: 0 clean, 1 suspects, 2 confirmed.
    pub fn exit_code(self) -> u8 {
        self as u8
    }

    /// A lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Suspects => "suspects",
            Self::Confirmed => "confirmed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why something is held to be a leak, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// There are more of them in the second of two files.
    Rise,
    /// They grow evenly and never go back, for long; nobody has looked who survives.
    Growth,
    /// They grow evenly, and the same goroutines are still at the same place in a later dump.
    Survivors,
    /// They wait for what can never come, and grow.
    NeverEnds,
    /// Go's garbage collector found that nothing that lives can wake them.
    Proved,
}

impl Evidence {
    /// Whether no doubt is left.
    pub fn is_proof(self) -> bool {
        self >= Self::NeverEnds
    }

    /// The weight in the score.
    pub(crate) fn weight(self) -> f64 {
        match self {
            Self::Rise => 1.0,
            Self::Growth => 2.0,
            Self::Survivors | Self::NeverEnds => 3.0,
            Self::Proved => 4.0,
        }
    }

    /// A lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rise => "rise",
            Self::Growth => "growth",
            Self::Survivors => "survivors",
            Self::NeverEnds => "never ends",
            Self::Proved => "proved",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A line at which goroutines leak, or seem to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// The class of wait: `channel send`.
    pub class: &'static str,
    /// What it waits for, in words.
    pub waits_for: &'static str,
    /// The line that blocks.
    pub blocks_at: Place,
    /// The line of the `go` statement. Only dumps show it.
    pub started_at: Option<Place>,
    /// Goroutines there now.
    pub count: u64,
    /// How many more there are each hour; 0 for what does not grow.
    pub per_hour: f64,
    /// Whether it grew until the last sample.
    pub growing: bool,
    /// When the growth began, as far as is known.
    pub since: Option<Timestamp>,
    /// The age of the oldest in seconds, a lower bound.
    pub oldest_seconds: u64,
    /// What their stacks hold, in bytes; what they refer to comes on top.
    pub memory: Memory,
    /// The strongest of the reasons.
    pub evidence: Evidence,
    /// The reasons, one sentence each.
    pub why: Vec<String>,
    /// The cause, where the stack gives it away.
    pub cause: Option<&'static str>,
    /// What to look at next.
    pub look_at: &'static str,
    /// For the order: weight of the evidence, times the logarithm of the count, times the share of
    /// the growth.
    pub score: f64,
    /// The most frequent stack, leaf first.
    pub stack: Vec<Place>,
    /// How many different stacks lead to the line.
    pub variants: usize,
    /// Other sites that grew by the same: they come with this one and go with it.
    pub together_with: Vec<Companion>,
}

/// A site whose goroutines come in pairs with a suspect's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Companion {
    /// The class of wait.
    pub class: &'static str,
    /// The line.
    pub blocks_at: Place,
    /// Goroutines there now.
    pub count: u64,
}

/// An estimate of memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// With the smallest stacks that Go makes (2 KiB).
    pub low: u64,
    /// With stacks of 8 KiB.
    pub high: u64,
}

impl Memory {
    /// What the stacks of so many goroutines hold.
    pub fn of(goroutines: u64) -> Self {
        Self {
            low: goroutines.saturating_mul(2048),
            high: goroutines.saturating_mul(8192),
        }
    }
}

/// Something that grows and is not held to be a leak, yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// The class of wait.
    pub class: &'static str,
    /// The line.
    pub at: Place,
    /// Goroutines there now.
    pub count: u64,
    /// How many more there are each hour.
    pub per_hour: f64,
    /// Why it is only a note.
    pub why: &'static str,
}

/// What is known of one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The target.
    pub target: String,
    /// The time of the last sample.
    pub at: Option<Timestamp>,
    /// The strongest of all.
    pub status: Status,
    /// Goroutines in all.
    pub goroutines: u64,
    /// How many samples were taken since the start or the last restart.
    pub samples: u64,
    /// How often the target restarted.
    pub restarts: u64,
    /// How many goroutines are proved to be leaked; nothing if nobody asked Go's garbage collector.
    pub leaked: Option<u64>,
    /// What leaks, the worst first.
    pub suspects: Vec<Suspect>,
    /// What else grows.
    pub notes: Vec<Note>,
}

impl Verdict {
    /// Sets scores, order and status from what the suspects say.
    pub(crate) fn ranked(mut self) -> Self {
        let total: f64 = self.suspects.iter().map(|s| s.per_hour.max(0.0)).sum();
        for suspect in &mut self.suspects {
            // What does not grow is worth a tenth of what grows alone.
            let share = if total > 0.0 {
                suspect.per_hour.max(0.0) / total
            } else {
                0.0
            };
            let size = (suspect.count as f64 + 1.0).log2();
            suspect.score = suspect.evidence.weight() * size * share.max(0.1);
        }
        self.suspects.sort_by(|a, b| {
            let place = || a.blocks_at.cmp(&b.blocks_at);
            b.score.total_cmp(&a.score).then_with(place)
        });
        let proof = self.suspects.iter().any(|s| s.evidence.is_proof());
        self.status = match (self.suspects.is_empty(), proof) {
            (true, _) => Status::Clean,
            (_, false) => Status::Suspects,
            (_, true) => Status::Confirmed,
        };
        self
    }
}

/// The worst of several targets; [`Status::Clean`] if there are none.
pub fn worst<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Status {
    let statuses = verdicts.into_iter().map(|verdict| verdict.status);
    statuses.max().unwrap_or(Status::Clean)
}
