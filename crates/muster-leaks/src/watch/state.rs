//! What is remembered of one site.

use jiff::Timestamp;

use crate::growth::{self, Rise};
use crate::options::Options;
use crate::profile::{Frame, Stack, WaitClass};
use crate::series::Series;
use crate::site::Tally;
use crate::survival::{Look, Seen, Survival};
use crate::verdict::Evidence;

/// Growth this long makes it strange that nobody there waits for even a few minutes.
const LONG_SECONDS: f64 = 600.0;

/// Where there were fewer, who survived says little.
const FEWEST: u64 = 4;

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) series: Series,
    /// The most frequent stack.
    pub(super) sample: Stack,
    pub(super) variants: usize,
    /// Proved to be leaked, as of the last leak profile.
    pub(super) leaked: u64,
    /// What the last dump said.
    pub(super) dumped: Option<Dumped>,
    /// What the last two dumps say together.
    survival: Option<Survived>,
    /// It has begun to grow: worth a dump.
    early: Option<Rise>,
    /// It grows as a leak does.
    pub(super) rise: Option<Rise>,
    pub(super) named: Option<Named>,
}

/// What a dump said of the site.
#[derive(Clone, Debug)]
pub(super) struct Dumped {
    /// What they wait for; a profile may have hidden it.
    pub(super) class: WaitClass,
    /// Whether the channel is nil.
    pub(super) nil: bool,
    pub(super) creator: Option<Frame>,
    /// The longest wait in minutes; 0 if none is shown.
    pub(super) oldest: u64,
    pub(super) same_object: u64,
    /// Nobody waits for long, though the process shows the times of others and the growth is
    /// long: they are woken again and again.
    woken: bool,
}

/// Who survived until `at`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survived {
    at: Timestamp,
    survival: Survival,
    /// The lowest count around the earlier dump.
    lowest: u64,
}

impl Survived {
    /// Whether the earlier dump shows some of this rise: who survived from before says nothing.
    fn knows(&self, rise: Rise) -> bool {
        self.lowest >= rise.from + rise.by / 5
    }

    fn refutes(self) -> bool {
        self.survival.refutes(self.lowest)
    }
}

/// Held to be a leak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) evidence: Evidence,
    peak: u64,
}

/// What a judgement says of the site.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judged {
    pub(super) early: Option<Rise>,
    pub(super) rise: Option<Rise>,
    pub(super) evidence: Option<Evidence>,
    /// It is accepted, or refuted: no suspect, whatever was said before.
    pub(super) cleared: bool,
}

impl State {
    /// A site that had no goroutines in the samples of `total`.
    pub(super) fn unseen_in(total: &Series, tally: &Tally) -> Self {
        let mut series = Series::default();
        for (at, _) in total.points() {
            series.push(*at, 0);
        }
        Self {
            series,
            sample: tally.sample.clone(),
            variants: tally.variants,
            leaked: 0,
            dumped: None,
            survival: None,
            early: None,
            rise: None,
            named: None,
        }
    }

    pub(super) fn count(&mut self, at: Timestamp, tally: Tally) {
        self.series.push(at, tally.count);
        self.sample = tally.sample;
        self.variants = tally.variants;
        // A profile may carry the marks of the last leak profile, and new ones; it cannot take back.
        self.leaked = self.leaked.max(tally.leaked);
    }

    /// Takes what a dump says, and who survived since the one at the given time.
    pub(super) fn seen(
        &mut self,
        look: &Look,
        class: WaitClass,
        seen: &Seen,
        earlier: Option<(Timestamp, Survival)>,
    ) {
        // Their minutes are gone with the mark.
        self.leaked = self.leaked.max(seen.leaked);
        let points = self.series.points();
        let long = growth::since(points)
            .is_some_and(|since| look.at.duration_since(since).as_secs_f64() >= LONG_SECONDS);
        self.dumped = Some(Dumped {
            class,
            nil: seen.nil * 2 > seen.count,
            creator: seen.creator().cloned(),
            oldest: seen.oldest,
            same_object: seen.same_object,
            woken: long && self.leaked == 0 && look.oldest >= 5 && seen.oldest < 3,
        });
        if let Some((before, survival)) = earlier {
            let until = points.iter().rev().filter(|(at, _)| *at <= before);
            let lowest = until.take(3).map(|(_, count)| *count).min().unwrap_or(0);
            if lowest >= FEWEST {
                self.survival = Some(Survived {
                    at: look.at,
                    survival,
                    lowest,
                });
            }
        }
    }

    /// Who survived during this rise, if nearly all did.
    pub(super) fn survivors(&self, rise: Rise) -> Option<Survival> {
        let last = self
            .survival
            .filter(|last| last.survival.stay() && last.knows(rise));
        last.map(|last| last.survival)
    }

    /// Whether nearly all of those that were looked at last survived.
    pub(super) fn all_stay(&self) -> bool {
        self.survival.is_some_and(|last| last.survival.stay())
    }

    /// Whether most of those seen during this rise survived; nothing if none were looked at.
    pub(super) fn most_stay(&self, rise: Rise) -> Option<bool> {
        let last = self.survival.filter(|last| last.knows(rise))?;
        Some(last.survival.most_stay())
    }

    /// Whether dumps say that the goroutines there come and go.
    pub(super) fn refuted(&self) -> bool {
        self.survival.is_some_and(Survived::refutes)
            || self.dumped.as_ref().is_some_and(|d| d.woken)
    }

    pub(super) fn judged(&mut self, judged: Judged) {
        self.early = judged.early;
        self.rise = judged.rise;
        let count = self.series.last().max(self.leaked);
        self.named = match (self.named, judged.evidence) {
            (_, _) if judged.cleared => None,
            (before, Some(evidence)) => Some(Named {
                evidence: before.map_or(evidence, |named| named.evidence.max(evidence)),
                peak: before.map_or(count, |named| named.peak.max(count)),
            }),
            // A leak does not go away by itself; what does was none.
            (Some(named), None) if count * 10 >= named.peak * 7 => Some(named),
            _ => None,
        };
    }

    /// How it grows, as far as can be said.
    pub(super) fn growth(&self) -> Option<Rise> {
        self.rise.or(self.early)
    }

    pub(super) fn grows(&self) -> bool {
        self.early.is_some() || self.named.is_some()
    }

    /// Whether a dump now would tell something new of this site.
    pub(super) fn wants_dump(&self, at: Timestamp, options: &Options) -> bool {
        let waited = |last: Survived, dumps: f64| {
            at.duration_since(last.at).as_secs_f64() >= dumps * options.dump_every.as_secs_f64()
        };
        self.grows()
            && match (self.survival, self.early) {
                (None, _) => true,
                (Some(last), _) if !last.survival.stay() => waited(last, 5.0),
                (Some(last), Some(rise)) if !last.knows(rise) => true,
                (Some(last), _) => waited(last, 15.0),
            }
    }
}
