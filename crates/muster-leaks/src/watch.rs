//! A target over time.

mod judge;
mod once;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;

use crate::options::Options;
use crate::profile::{Format, Profile};
use crate::series::Series;
use crate::site::{Site, Tally, tally};
use crate::survival::{Look, Survival};
use crate::verdict::Verdict;
use judge::{Judge, is_nil, real_class};
use state::State;

pub use once::once;

/// So many sites of a target are followed; those with the fewest goroutines give way.
pub const MAX_SITES: usize = 512;

/// A site without goroutines for so many samples is forgotten.
const FORGET_AFTER: usize = 30;

/// What a [`Watch`] would like to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// `/debug/pprof/goroutine?debug=2`: who survives, and the line of the `go` statement.
    Dump,
    /// `/debug/pprof/goroutineleak`: the proof. Where the target has none (404), say so with
    /// [`Watch::no_leak_profile`].
    LeakProfile,
}

impl Want {
    /// What to fetch: the path after `/debug/pprof/`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Dump => "goroutine?debug=2",
            Self::LeakProfile => "goroutineleak",
        }
    }
}

/// Follows one target: takes its profiles, says what it would like to see, and what leaks.
///
/// It does no I/O and has no clock: whoever fetches the profiles passes the time along. What it
/// holds is bounded: [`MAX_SITES`] sites of [`MAX_POINTS`](crate::series::MAX_POINTS) counts, about
/// 3 MB at most, and the sites of one dump.
#[derive(Debug)]
pub struct Watch {
    target: String,
    options: Options,
    sites: HashMap<Site, State>,
    total: Series,
    /// The form that is counted; the first one.
    counted: Option<Format>,
    build_id: Option<std::sync::Arc<str>>,
    samples: u64,
    restarts: u64,
    look: Option<Look>,
    dumps: Budget,
    leak_profiles: Budget,
    /// Whether the target is known to have no leak profile.
    unprovable: bool,
    /// Whether a leak profile was seen.
    proved: bool,
}

impl Watch {
    /// Begins to follow a target. The name is for reports only.
    pub fn new(target: impl Into<String>, options: Options) -> Self {
        Self {
            target: target.into(),
            dumps: Budget::new(options.dump_every, options.dumps_an_hour),
            leak_profiles: Budget::new(options.leak_profile_every, u32::MAX),
            options,
            sites: HashMap::new(),
            total: Series::default(),
            counted: None,
            build_id: None,
            samples: 0,
            restarts: 0,
            look: None,
            unprovable: false,
            proved: false,
        }
    }

    /// Takes a profile that was fetched at `at`.
    ///
    /// A `goroutineleak` profile proves, a dump shows who survives; every other one counts, and so
    /// does a dump if the first profile was one. Samples are to be evenly spaced, about; one that
    /// is not later than the last is left out.
    ///
    /// A profile of another build begins a new life, as [`restarted`](Self::restarted) does; and so
    /// does one with fewer goroutines at a site than were proved to be leaked there, which never end.
    pub fn feed(&mut self, at: Timestamp, profile: &Profile) {
        if &*profile.kind == "goroutineleak" {
            self.prove(profile);
            self.judge();
            return;
        }
        if profile.build_id.is_some() {
            let other = self.build_id.is_some() && self.build_id != profile.build_id;
            self.build_id.clone_from(&profile.build_id);
            if other {
                self.restarted();
            }
        }
        if profile.format == Format::Dump {
            self.look(at, profile);
        }
        if *self.counted.get_or_insert(profile.format) == profile.format {
            self.count(at, profile);
        }
        self.judge();
    }

    /// Says that the target's process is another one now. All that was seen is forgotten, also that
    /// it has no leak profile, and the warm-up begins again.
    pub fn restarted(&mut self) {
        self.sites.clear();
        self.total = Series::default();
        self.look = None;
        self.unprovable = false;
        self.proved = false;
        self.samples = 0;
        self.restarts += 1;
    }

    /// Says that the target has no `goroutineleak` profile: it is not asked for again.
    pub fn no_leak_profile(&mut self) {
        self.unprovable = true;
    }

    /// What would help now, if anything. Each is asked for once, and counts against the budget
    /// of the [`Options`] even if it then cannot be fetched. So: fetch and feed, until there is
    /// nothing wanted.
    pub fn want(&mut self, at: Timestamp) -> Option<Want> {
        if self.total.last() <= self.options.dump_up_to
            && self
                .sites
                .values()
                .any(|state| state.wants_dump(at, &self.options))
            && self.dumps.take(at)
        {
            return Some(Want::Dump);
        }
        let unproved = |state: &State| state.grows() && state.leaked == 0;
        let worth = !self.unprovable && self.sites.values().any(unproved);
        (worth && self.leak_profiles.take(at)).then_some(Want::LeakProfile)
    }

    /// What is known now.
    pub fn verdict(&self) -> Verdict {
        let leaked: u64 = self.sites.values().map(|state| state.leaked).sum();
        self.judging().verdict(Verdict {
            target: self.target.clone(),
            at: self.total.points().last().map(|(at, _)| *at),
            status: crate::Status::Clean,
            goroutines: self.total.last(),
            samples: self.samples,
            restarts: self.restarts,
            leaked: (self.proved || leaked > 0).then_some(leaked),
            suspects: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The name of the target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Goroutines in all, over time.
    pub fn total(&self) -> &Series {
        &self.total
    }

    /// The sites that have goroutines now, with their counts over time, in no order.
    pub fn sites(&self) -> impl Iterator<Item = (&Site, &Series)> {
        let sites = self.sites.iter().map(|(site, state)| (site, &state.series));
        sites.filter(|(_, series)| series.last() > 0)
    }

    /// Judges by other options from now on. What was seen is kept.
    pub fn set_options(&mut self, options: Options) {
        self.dumps.every = options.dump_every;
        self.dumps.an_hour = options.dumps_an_hour;
        self.leak_profiles.every = options.leak_profile_every;
        self.options = options;
    }

    fn count(&mut self, at: Timestamp, profile: &Profile) {
        if self
            .total
            .points()
            .last()
            .is_some_and(|(last, _)| *last >= at)
        {
            return;
        }
        let whole = profile.ungrouped == 0 && profile.cut.is_none();
        if whole && self.has_lost_leaked(profile) {
            self.restarted();
        }
        self.samples += 1;
        let mut now = tally(profile, &self.options.ignore);
        for (site, state) in &mut self.sites {
            match now.remove(site) {
                Some(tally) => state.count(at, tally),
                None => {
                    state.series.push(at, 0);
                    state.leaked = 0;
                }
            }
        }
        let ended = |state: &State| state.leaked == 0 && state.series.gone_for(FORGET_AFTER);
        self.sites.retain(|_, state| !ended(state));
        let mut new: Vec<(Site, Tally)> = now.into_iter().collect();
        new.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count));
        for (site, tally) in new {
            if self.make_room(tally.count) {
                let mut state = State::unseen_in(&self.total, &tally);
                state.count(at, tally);
                self.sites.insert(site, state);
            }
        }
        self.total.push(at, profile.total);
    }

    /// Whether a site that was counted has fewer goroutines now than were proved to be leaked.
    fn has_lost_leaked(&self, profile: &Profile) -> bool {
        let counted = |(_, state): &(&Site, &State)| state.leaked > 0 && state.series.last() > 0;
        let mut leaked = self.sites.iter().filter(counted).peekable();
        if leaked.peek().is_none() {
            return false;
        }
        // Those that a new rule hides live on.
        let now = tally(profile, &[]);
        leaked.any(|(site, state)| now.get(site).map_or(0, |tally| tally.count) < state.leaked)
    }

    /// Whether a site of so many goroutines can be followed, too.
    fn make_room(&mut self, count: u64) -> bool {
        if self.sites.len() < MAX_SITES {
            return true;
        }
        let free = self.sites.iter().filter(|(_, state)| state.named.is_none());
        let smallest = free.min_by_key(|(_, state)| state.series.last());
        let Some((site, _)) = smallest.filter(|(_, state)| state.series.last() < count) else {
            return false;
        };
        let site = site.clone();
        self.sites.remove(&site);
        true
    }

    fn prove(&mut self, profile: &Profile) {
        self.proved = true;
        let mut leaked = tally(profile, &self.options.ignore);
        for (site, state) in &mut self.sites {
            state.leaked = leaked.remove(site).map_or(0, |tally| tally.leaked);
        }
        for (site, tally) in leaked {
            if self.make_room(tally.leaked) {
                let mut state = State::unseen_in(&self.total, &tally);
                state.leaked = tally.leaked;
                self.sites.insert(site, state);
            }
        }
    }

    fn look(&mut self, at: Timestamp, dump: &Profile) {
        let look = Look::new(at, dump, &self.options.ignore);
        for (site, state) in &mut self.sites {
            let Some((real, seen)) = look.site(site) else {
                continue;
            };
            // Who is missing in a dump that is cut may live all the same.
            let last = self.look.as_ref().filter(|_| dump.cut.is_none());
            let earlier = last.and_then(|last| {
                let (_, before) = last.site(site)?;
                Some((last.at, Survival::between((last.at, before), (at, seen))?))
            });
            state.seen(&look, real.class, seen, earlier);
        }
        self.look = Some(look);
    }

    fn judge(&mut self) {
        let judged = self.judging().all();
        for (site, state) in &mut self.sites {
            state.judged(judged.get(site).copied().unwrap_or_default());
        }
    }

    fn judging(&self) -> Judge<'_> {
        Judge {
            options: &self.options,
            sites: &self.sites,
            began: self.total.points().first().map(|(at, _)| *at),
            dumps_come: self.look.as_ref().is_some_and(|look| {
                let last = self.total.points().last().map_or(look.at, |(at, _)| *at);
                last.duration_since(look.at).as_secs_f64() < 3600.0
            }),
        }
    }
}

/// How often something may be asked for.
#[derive(Debug)]
struct Budget {
    every: Duration,
    an_hour: u32,
    last: Option<Timestamp>,
    hour: Option<Timestamp>,
    used: u32,
}

impl Budget {
    fn new(every: Duration, an_hour: u32) -> Self {
        Self {
            every,
            an_hour,
            last: None,
            hour: None,
            used: 0,
        }
    }

    fn take(&mut self, at: Timestamp) -> bool {
        let within = |from: Option<Timestamp>, span: f64| {
            from.is_some_and(|from| at.duration_since(from).as_secs_f64() < span)
        };
        if within(self.last, self.every.as_secs_f64()) {
            return false;
        }
        if !within(self.hour, 3600.0) {
            self.hour = Some(at);
            self.used = 0;
        }
        if self.used >= self.an_hour {
            return false;
        }
        self.last = Some(at);
        self.used += 1;
        true
    }
}
