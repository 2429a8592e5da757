//! The verdict on files.

use jiff::Timestamp;

use super::state::Judged;
use super::{Judge, State, Watch, is_nil, real_class};
use crate::growth::Rise;
use crate::options::Options;
use crate::profile::{Format, Profile, WaitClass, classify};
use crate::site::Site;
use crate::verdict::{Evidence, Verdict};

/// What profiles of one process tell that were taken one after the other, the earliest first. They
/// may be of any form, best all of the same: those of several forms are compared by what all of them
/// know.
///
/// Two files show no trend: what has more goroutines in the last than in the first, by a fifth and
/// by [`Options::rise`], and waits for another goroutine, is suspected ([`Evidence::Rise`]). Two
/// dumps show also who survived. One file alone shows only what is marked as leaked and what waits
/// on nil channels. Of `goroutineleak` profiles alone those that are leaked are all that is counted.
///
/// Binary profiles say when they were taken; without that there is no growth per hour.
pub fn once(profiles: &[Profile], options: Options) -> Verdict {
    let times: Option<Vec<Timestamp>> = profiles
        .iter()
        .map(|profile| Timestamp::from_nanosecond(i128::from(profile.time_nanos?)).ok())
        .collect();
    let times = times.filter(|times| times.is_sorted_by(|a, b| a < b));
    let dated = times.is_some();
    let index = |at: usize| Timestamp::from_second(at as i64).unwrap_or_default();
    let times = times.unwrap_or_else(|| (0..profiles.len()).map(index).collect());

    let is_leaks = |profile: &Profile| &*profile.kind == "goroutineleak";
    let only_leaks = profiles.iter().all(is_leaks);
    let is_text = |profile: &Profile| profile.format == Format::GroupedText;
    let mixed = profiles.iter().any(is_text) && !profiles.iter().all(is_text);

    let mut watch = Watch::new("files", options);
    for (at, profile) in times.iter().zip(profiles) {
        let alike = mixed.then(|| with_visible_classes(profile));
        let counted = alike.as_ref().unwrap_or(profile);
        if is_leaks(profile) {
            watch.prove(counted);
        } else if profile.format == Format::Dump {
            watch.look(*at, profile);
        }
        if only_leaks || !is_leaks(profile) {
            watch.count(*at, counted);
        }
        watch.judge();
    }
    let judging = watch.judging();
    let judged: Vec<(Site, Judged)> = watch
        .sites
        .iter()
        .map(|(site, state)| (site.clone(), judge(&judging, site, state)))
        .collect();
    for (site, judged) in judged {
        if let Some(state) = watch.sites.get_mut(&site) {
            state.judged(judged);
        }
    }
    let mut verdict = watch.verdict();
    if !dated {
        verdict.at = None;
        for suspect in &mut verdict.suspects {
            suspect.per_hour = 0.0;
            suspect.since = None;
            suspect.oldest_seconds = suspect.oldest_seconds / 60 * 60;
        }
        verdict
            .notes
            .iter_mut()
            .for_each(|note| note.per_hour = 0.0);
    }
    verdict
}

/// The profile with the classes that grouped text knows: what others know more is not compared.
fn with_visible_classes(profile: &Profile) -> Profile {
    let mut profile = profile.clone();
    for group in &mut profile.groups {
        let functions = group.stack.iter().map(|frame| &*frame.function);
        group.class = classify::by_visible_frames(functions);
    }
    profile
}

fn judge(judging: &Judge<'_>, site: &Site, state: &State) -> Judged {
    let options = judging.options;
    let points = state.series.points();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return judging.site(site, state);
    };
    let enough = last.1 as f64 >= first.1 as f64 * 1.2 + options.rise as f64;
    let rise = (points.len() > 1 && enough).then(|| {
        let hours = last.0.duration_since(first.0).as_secs_f64() / 3600.0;
        let by = last.1 - first.1;
        Rise {
            from: first.1,
            by,
            per_hour: by as f64 / hours,
            samples: points.len(),
            even: false,
            small: false,
        }
    });
    let class = real_class(site, state);
    let blocked = class.is_blocked_on_goroutine() || class == WaitClass::Unknown;
    let evidence = if state.leaked > 0 {
        Some(Evidence::Proved)
    } else if is_nil(state) && last.1 > 1 {
        Some(Evidence::NeverEnds)
    } else {
        rise.filter(|_| blocked && !state.refuted()).map(|_| {
            if class == WaitClass::EmptySelect {
                Evidence::NeverEnds
            } else if state.all_stay() {
                Evidence::Survivors
            } else {
                Evidence::Rise
            }
        })
    };
    Judged {
        early: None,
        rise,
        evidence: evidence.filter(|_| !judging.accepted(site, state)),
        cleared: evidence.is_none() || judging.accepted(site, state),
    }
}
