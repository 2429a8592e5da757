//! Walks the tree of tasks and judges what it sees.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LeakMonitorOptions;
use super::finding::{Finding, Verdict};
use super::growth::{Growth, Line, MOST_SAMPLES, Seen};
use crate::blocking;
use crate::group::{GroupInner, ORPHANED};
use crate::shared::EntryRef;
use crate::signal::{ABORT, BLOCKING};
use crate::snapshot::{Age, TaskInfo};

/// Spawn lines that are followed at most; a program has fewer.
const MOST_LINES: usize = 4096;

/// Tasks that a finding shows.
const SHOWN: usize = 3;

/// Aborted tasks that are remembered from one sample to the next.
const MOST_ABORTED: usize = 1000;

/// Tasks without a waker that are remembered from one sample to the next.
#[cfg(feature = "lost-waker")]
const MOST_LOST: usize = 10_000;

type Place = &'static Location<'static>;

/// What is remembered from one sample to the next.
#[derive(Default)]
pub(super) struct Sampler {
    /// The highest number of a task at each sample of the window, the oldest first.
    marks: VecDeque<u64>,
    lines: HashMap<Place, Line>,
    /// Tasks that were to be dropped at the last sample and were not.
    aborted: HashSet<u64>,
    /// Tasks that nobody could wake at the last sample, with their polls.
    #[cfg(feature = "lost-waker")]
    lost: HashMap<u64, u64>,
    /// Since when there is what is found.
    found: HashMap<(Verdict, Place), Instant>,
}

/// Tasks of one line with one verdict.
#[derive(Default)]
struct Case {
    live: usize,
    /// The oldest, the oldest first.
    oldest: Vec<EntryRef>,
    longest: Duration,
}

impl Case {
    fn add(&mut self, entry: &EntryRef, time: Duration) {
        self.live += 1;
        self.longest = self.longest.max(time);
        let at = self.oldest.partition_point(|other| other.id < entry.id);
        if at < SHOWN {
            self.oldest.insert(at, entry.clone());
            self.oldest.truncate(SHOWN);
        }
    }
}

#[derive(Default)]
struct Cases(HashMap<(Verdict, Place), Case>);

impl Cases {
    fn add(&mut self, verdict: Verdict, entry: &EntryRef, time: Duration) {
        let case = self.0.entry((verdict, entry.location)).or_default();
        case.add(entry, time);
    }
}

impl Sampler {
    /// Takes a sample; returns all that is found now, the strongest evidence first, each with
    /// whether it was not found at the last sample.
    pub(super) fn sample(
        &mut self,
        root: &Arc<GroupInner>,
        options: &LeakMonitorOptions,
    ) -> Vec<(bool, Finding)> {
        if self.marks.len() == MOST_SAMPLES {
            self.marks.pop_front();
            self.lines.values_mut().for_each(Line::forget_oldest);
        }
        let mut cases = Cases::default();
        let mut seen: HashMap<Place, (Seen, Case)> = HashMap::new();
        let mut aborted = HashSet::new();
        #[cfg(feature = "lost-waker")]
        let mut lost = HashMap::new();
        let mut highest = self.marks.back().copied().unwrap_or_default();
        root.walk(|group| {
            let resident = group.settings.resident;
            let orphaned = group.is(ORPHANED);
            let over_budget = group.is_over_budget();
            group.each_entry(|entry| {
                highest = highest.max(entry.id);
                let (polls, polling_for, since) = entry.poll_state();
                let bits = entry.signal.bits();
                let blocks = bits & BLOCKING != 0;
                if (bits & ABORT != 0 || orphaned) && aborted.len() < MOST_ABORTED {
                    aborted.insert(entry.id);
                    if self.aborted.contains(&entry.id) {
                        cases.add(Verdict::OutlivedGroup, entry, since);
                    }
                }
                if let Some(time) =
                    polling_for.filter(|time| !blocks && *time > options.stuck_after)
                {
                    cases.add(Verdict::StuckInPoll, entry, time);
                }
                if blocks && blocking::is_late(entry, options.stuck_after) {
                    cases.add(Verdict::BlockingTooLong, entry, since);
                }
                #[cfg(feature = "lost-waker")]
                if entry.has_lost_waker() && lost.len() < MOST_LOST {
                    lost.insert(entry.id, polls);
                    if self.lost.get(&entry.id) == Some(&polls) {
                        cases.add(Verdict::LostWaker, entry, since);
                    }
                }
                if over_budget {
                    cases.add(Verdict::OverBudget, entry, since);
                }
                let room = seen.len() < MOST_LINES || seen.contains_key(entry.location);
                if !resident && room {
                    let cohort = self.marks.partition_point(|mark| *mark < entry.id);
                    let (line, case) = seen
                        .entry(entry.location)
                        .or_insert_with(|| (vec![(0, 0); self.marks.len() + 1], Case::default()));
                    line[cohort].0 += 1;
                    line[cohort].1 += polls;
                    case.add(entry, since);
                }
            });
        });
        self.marks.push_back(highest);
        self.aborted = aborted;
        #[cfg(feature = "lost-waker")]
        {
            self.lost = lost;
        }
        let growing = self.follow(seen, options);
        self.report(cases, growing, options)
    }

    /// Takes the counts into the lines' histories; returns the lines that grow.
    fn follow(
        &mut self,
        mut seen: HashMap<Place, (Seen, Case)>,
        options: &LeakMonitorOptions,
    ) -> Vec<(Place, Growth, Case)> {
        let cohorts = self.marks.len();
        let mut growing = Vec::new();
        self.lines.retain(|place, line| {
            match seen.remove(place) {
                Some((seen, case)) => {
                    line.push(&seen);
                    let growth = line.growth(options.least_samples, options.least_growth);
                    growing.extend(growth.map(|growth| (*place, growth, case)));
                }
                None => line.push(&vec![(0, 0); cohorts]),
            }
            !line.is_empty()
        });
        for (place, (seen, _)) in seen {
            let mut line = Line::default();
            line.push(&seen);
            self.lines.insert(place, line);
        }
        growing
    }

    fn report(
        &mut self,
        cases: Cases,
        growing: Vec<(Place, Growth, Case)>,
        options: &LeakMonitorOptions,
    ) -> Vec<(bool, Finding)> {
        let now = Instant::now();
        let cases = cases.0.into_iter().map(|((verdict, place), case)| {
            let evidence = evidence(verdict, &case);
            (verdict, place, case, evidence, None)
        });
        let growing = growing.into_iter().map(|(place, growth, case)| {
            let per_hour = growth.per_sample * 3600.0 / options.every.as_secs_f64();
            let evidence = grown(&growth, per_hour, options.every);
            (Verdict::Growth, place, case, evidence, Some(per_hour))
        });
        let mut since = HashMap::new();
        let mut findings = Vec::new();
        for (verdict, place, case, evidence, per_hour) in cases.chain(growing) {
            let key = (verdict, place);
            let began = self.found.get(&key).copied().unwrap_or(now);
            since.insert(key, began);
            let Some(oldest) = case.oldest.first() else {
                continue;
            };
            let finding = Finding {
                verdict,
                location: place.into(),
                name: oldest.name.clone(),
                group: oldest.group.path(),
                live: case.live,
                per_hour,
                evidence,
                found_ago: now - began,
                tasks: case
                    .oldest
                    .iter()
                    .map(|entry| TaskInfo::of(entry))
                    .collect(),
            };
            findings.push((!self.found.contains_key(&key), finding));
        }
        findings.sort_by(|(_, a), (_, b)| {
            (a.verdict, b.live, &a.location).cmp(&(b.verdict, a.live, &b.location))
        });
        self.found = since;
        findings
    }
}

fn evidence(verdict: Verdict, case: &Case) -> String {
    let longest = Age(case.longest);
    match verdict {
        Verdict::OutlivedGroup => {
            format!("to be dropped at the last sample, and still there; last polled {longest} ago")
        }
        Verdict::LostWaker => {
            format!("waits, and nobody has a waker for it; last polled {longest} ago")
        }
        Verdict::StuckInPoll => format!("a poll goes on for {longest}"),
        Verdict::BlockingTooLong => format!("a thread works on it for {longest}"),
        Verdict::OverBudget => "the group has had more live tasks than it may have".to_owned(),
        Verdict::Growth => String::new(),
    }
}

fn grown(growth: &Growth, per_hour: f64, every: Duration) -> String {
    let window = Age(every * u32::try_from(growth.samples).unwrap_or(u32::MAX));
    let woken = if growth.still {
        ", and nobody wakes them"
    } else {
        ""
    };
    format!("{per_hour:.0} more each hour for {window}, none of those that stay has ended{woken}")
}
