//! What leaks, from all that is remembered.

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;

use super::state::{Judged, State};
use crate::growth::{self, Demand, Rise};
use crate::ignore::idle_by_design;
use crate::options::Options;
use crate::patterns;
use crate::profile::WaitClass;
use crate::site::{Place, Site};
use crate::verdict::{Companion, Evidence, Memory, Note, Suspect, Verdict};

pub(super) struct Judge<'a> {
    pub(super) options: &'a Options,
    pub(super) sites: &'a HashMap<Site, State>,
    /// When the first sample was taken.
    pub(super) began: Option<Timestamp>,
    /// Whether there was a dump within the last hour.
    pub(super) dumps_come: bool,
}

impl Judge<'_> {
    /// What is to be said of each site now.
    pub(super) fn all(&self) -> HashMap<Site, Judged> {
        let mut all = HashMap::new();
        for (site, state) in self.sites {
            let judged = self.site(site, state);
            if judged.rise.is_some()
                || judged.early.is_some()
                || judged.evidence.is_some()
                || judged.cleared
            {
                all.insert(site.clone(), judged);
            }
        }
        all
    }

    pub(super) fn site(&self, site: &Site, state: &State) -> Judged {
        if self.accepted(site, state) {
            return Judged {
                cleared: true,
                ..Judged::default()
            };
        }
        let rise = self.telling_rise(state);
        let class = real_class(site, state);
        let blocked = class.is_blocked_on_goroutine();
        let hidden = class == WaitClass::Unknown;
        let early = Demand {
            marks: self.options.samples.saturating_sub(3).max(5),
            span: self.options.span / 2,
            rise: self.options.rise / 2,
            factor: 1.1,
        };
        let early = rise.or_else(|| growth::rise(self.warm(state), early));
        let evidence = self.evidence(site, state, rise);
        Judged {
            early: early.filter(|_| blocked || hidden),
            rise,
            evidence,
            cleared: evidence.is_none() && state.refuted(),
        }
    }

    /// Whether the user or the design says that this is no leak.
    pub(super) fn accepted(&self, site: &Site, state: &State) -> bool {
        let count = state.series.last().max(state.leaked);
        let creator = state.dumped.as_ref().and_then(|d| d.creator.as_ref());
        let mut rules = self.options.ignore.iter();
        idle_by_design(&state.sample, count)
            || rules.any(|rule| rule.hides_site(site, &state.sample, creator, count))
    }

    fn evidence(&self, site: &Site, state: &State, rise: Option<Rise>) -> Option<Evidence> {
        if state.leaked > 0 {
            return Some(Evidence::Proved);
        }
        let rise = rise?;
        let class = real_class(site, state);
        if !class.is_blocked_on_goroutine() {
            return None;
        }
        if class == WaitClass::EmptySelect || is_nil(state) {
            return Some(Evidence::NeverEnds);
        }
        if state.refuted() || self.carried(site, state) {
            return None;
        }
        if state.survivors(rise).is_some() {
            return Some(Evidence::Survivors);
        }
        let long = self.rise(state, self.options.samples_without_dumps)?;
        if long.small {
            return None;
        }
        // Where dumps come, counts alone do not decide.
        let stay = state.most_stay(long).unwrap_or(!self.dumps_come);
        stay.then_some(Evidence::Growth)
    }

    /// Whether the growth is that of something that waits for the network, a timer or a system
    /// call: a service with more connections has more goroutines that serve them. What waits to
    /// send or for a lock is not excused by that.
    fn carried(&self, site: &Site, state: &State) -> bool {
        let Some(rise) = self.rise(state, self.options.samples) else {
            return false;
        };
        let may_be = matches!(
            real_class(site, state),
            WaitClass::Receive | WaitClass::Select | WaitClass::Cond
        );
        may_be
            && patterns::cause(&state.sample).is_none()
            && self.sites.iter().any(|(other, carrier)| {
                waits_outside(other.class)
                    && self
                        .rise(carrier, self.options.samples)
                        .is_some_and(|other| other.by * 2 >= rise.by)
            })
    }

    /// The growth on the shortest scale; on the longer one if the dumps that show who survives are
    /// too far apart for the shortest.
    fn telling_rise(&self, state: &State) -> Option<Rise> {
        let rise = self.rise(state, self.options.samples)?;
        let tells = |rise: &Rise| state.survivors(*rise).is_some();
        if tells(&rise) {
            return Some(rise);
        }
        let long = self.rise(state, self.options.samples_without_dumps);
        long.filter(tells).or(Some(rise))
    }

    fn rise(&self, state: &State, marks: usize) -> Option<Rise> {
        let demand = Demand {
            marks,
            span: self.options.span,
            rise: self.options.rise,
            factor: 1.2,
        };
        growth::rise(self.warm(state), demand)
    }

    /// The counts after the warm-up.
    fn warm<'s>(&self, state: &'s State) -> &'s [(Timestamp, u64)] {
        let points = state.series.points();
        let Some(began) = self.began else {
            return points;
        };
        let warm_up = self.options.warm_up.as_secs_f64();
        let cold = |(at, _): &&(Timestamp, u64)| at.duration_since(began).as_secs_f64() < warm_up;
        &points[points.iter().take_while(cold).count()..]
    }

    /// Fills in suspects and notes.
    pub(super) fn verdict(&self, mut verdict: Verdict) -> Verdict {
        let mut named: Vec<(&Site, &State)> = self
            .sites
            .iter()
            .filter(|(_, state)| state.named.is_some())
            .collect();
        named
            .sort_by_key(|(site, state)| (rank(real_class(site, state)), Place::from(&site.frame)));
        let mut companions: Vec<&Site> = Vec::new();
        for (site, state) in named {
            if companions.contains(&site) {
                continue;
            }
            let with: Vec<_> = self.together(site, state, &companions);
            companions.extend(with.iter().map(|(site, _)| *site));
            companions.push(site);
            verdict.suspects.extend(self.suspect(site, state, &with));
        }
        for (site, state) in self.sites {
            if !companions.contains(&site)
                && !self.accepted(site, state)
                && let Some(rise) = state
                    .rise
                    .or_else(|| self.rise(state, self.options.samples))
            {
                verdict.notes.push(Note {
                    class: real_class(site, state).as_str(),
                    at: (&site.frame).into(),
                    count: state.series.last(),
                    per_hour: rise.per_hour,
                    why: why_only_a_note(real_class(site, state), state),
                });
            }
        }
        verdict
            .notes
            .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.at.cmp(&b.at)));
        verdict.ranked()
    }

    /// Sites that grew by the same as this one, less those that are taken.
    fn together<'s>(
        &'s self,
        site: &Site,
        state: &State,
        taken: &[&Site],
    ) -> Vec<(&'s Site, &'s State)> {
        let pairs = |other: &&Site, with: &&State| {
            *other != site
                && !taken.contains(other)
                && growth::together(state.series.points(), with.series.points())
        };
        let all = self.sites.iter();
        let mut found: Vec<_> = all.filter(|(other, with)| pairs(other, with)).collect();
        found.sort_by_key(|(site, _)| Place::from(&site.frame));
        found
    }

    fn suspect(&self, site: &Site, state: &State, with: &[(&Site, &State)]) -> Option<Suspect> {
        let named = state.named?;
        let class = real_class(site, state);
        let nil = is_nil(state);
        let points = state.series.points();
        let now = points.last().map(|(at, _)| *at);
        let since = growth::since(points);
        let grown = now
            .zip(since)
            .map_or(0.0, |(now, since)| now.duration_since(since).as_secs_f64());
        let minutes = state.dumped.as_ref().map_or(0, |dumped| dumped.oldest);
        let count = state.series.last().max(state.leaked);
        let known = patterns::cause(&state.sample);
        Some(Suspect {
            class: class.as_str(),
            waits_for: patterns::waits_for(class, nil),
            blocks_at: (&site.frame).into(),
            started_at: state
                .dumped
                .as_ref()
                .and_then(|dumped| dumped.creator.as_ref())
                .map(Place::from),
            count,
            per_hour: state.growth().map_or(0.0, |rise| rise.per_hour),
            growing: state.growth().is_some(),
            since,
            oldest_seconds: (minutes * 60).max(grown as u64),
            memory: Memory::of(count + with.iter().map(|(_, s)| s.series.last()).sum::<u64>()),
            evidence: named.evidence,
            why: self.why(class, nil, state),
            cause: known.map(|(cause, _)| cause),
            look_at: known.map_or_else(|| patterns::look_at(class, nil), |(_, next)| next),
            score: 0.0,
            stack: state.sample.iter().map(Place::from).collect(),
            variants: state.variants,
            together_with: with
                .iter()
                .map(|(site, state)| Companion {
                    class: real_class(site, state).as_str(),
                    blocks_at: (&site.frame).into(),
                    count: state.series.last(),
                })
                .collect(),
        })
    }

    fn why(&self, class: WaitClass, nil: bool, state: &State) -> Vec<String> {
        let mut why = Vec::new();
        if state.leaked > 0 {
            let (leaked, fixed) = (state.leaked, state.growth().is_none());
            let level = if fixed {
                "; their number does not grow"
            } else {
                ""
            };
            why.push(format!(
                "Go's garbage collector found that nothing can wake {leaked} of them{level}"
            ));
        }
        if nil || class == WaitClass::EmptySelect {
            why.push("this wait never ends, whatever happens".to_owned());
        } else {
            why.push("only another goroutine can end this wait".to_owned());
        }
        if let Some(rise) = state.growth() {
            let Rise { by, samples, .. } = rise;
            why.push(if rise.even {
                format!("they grew evenly by {by} over the last {samples} samples and did not go back")
            } else {
                format!("there are {by} more of them in the last of {samples} profiles than in the first")
            });
        }
        if let Some(last) = state.growth().and_then(|rise| state.survivors(rise)) {
            let (of, alive) = (last.of, last.alive);
            let after = last.after.as_secs();
            why.push(format!(
                "{alive} of {of} goroutines that were looked at are still there {after} s later"
            ));
        }
        let same = state.dumped.as_ref().map_or(0, |dumped| dumped.same_object);
        if same > 1 {
            why.push(format!("{same} of them have the same object in hand"));
        }
        why
    }
}

/// What is waited for: the dump knows best.
pub(super) fn real_class(site: &Site, state: &State) -> WaitClass {
    match &state.dumped {
        Some(dumped) if site.class == WaitClass::Unknown => dumped.class,
        _ => site.class,
    }
}

pub(super) fn is_nil(state: &State) -> bool {
    state.dumped.as_ref().is_some_and(|dumped| dumped.nil)
}

fn waits_outside(class: WaitClass) -> bool {
    matches!(
        class,
        WaitClass::IoWait | WaitClass::Sleep | WaitClass::Syscall
    )
}

/// Of sites that grow together, the lowest is the root: what sends or locks holds the others up.
fn rank(class: WaitClass) -> u8 {
    match class {
        WaitClass::Receive | WaitClass::Cond => 1,
        WaitClass::Select => 2,
        class if class.is_blocked_on_goroutine() => 0,
        _ => 3,
    }
}

fn why_only_a_note(class: WaitClass, state: &State) -> &'static str {
    match class {
        WaitClass::IoWait => "more connections: more load, or connections that nobody closes",
        WaitClass::Sleep => "more sleepers: timers or retry loops that nobody stops",
        WaitClass::Syscall => "more system calls at a time: files or programs that do not answer",
        WaitClass::Runnable | WaitClass::Running => "more to do than there are processors",
        _ if state.refuted() => "it grows, but the goroutines there come and go",
        _ if class.is_blocked_on_goroutine() => {
            "it grows, and so do the connections; or it is too early to say"
        }
        _ => "it grows",
    }
}
