//! The watch against simulated processes.

mod process;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::profile::{Frame, WaitClass};
use crate::verdict::{Evidence, Status};
use process::Process;

fn minute(n: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + n * 60).unwrap()
}

/// Feeds one sample and what is wanted beyond it.
fn step(watch: &mut Watch, process: &Process, at: Timestamp) {
    watch.feed(at, &process.profile());
    while let Some(want) = watch.want(at) {
        match want {
            Want::Dump => watch.feed(at, &process.dump()),
            Want::LeakProfile => watch.no_leak_profile(),
        }
    }
}

/// How a healthy site behaves.
#[derive(Clone, Debug)]
enum Healthy {
    /// Requests in flight: a random walk that is drawn back, all new each minute.
    Walk { level: f64, step: f64, pull: f64 },
    /// Requests in flight over a day that rises and falls, with bursts.
    Day { peak: f64, minutes: f64, burst: f64 },
    /// Workers of a pool that is resized in steps, half of which work elsewhere at a time.
    Pool { most: f64, minutes: f64, step: f64 },
    /// Workers that live as long as the process.
    Resident { count: u64 },
}

fn healthy() -> impl Strategy<Value = Healthy> {
    prop_oneof![
        (5.0..2000.0, 0.01..0.5, 0.05..0.5).prop_map(|(level, step, pull)| Healthy::Walk {
            level,
            step,
            pull
        }),
        (20.0..2000.0, 30.0..400.0, 0.0..0.5).prop_map(|(peak, minutes, burst)| Healthy::Day {
            peak,
            minutes,
            burst
        }),
        (8.0..300.0, 40.0..400.0, 1.0..32.0).prop_map(|(most, minutes, step)| Healthy::Pool {
            most,
            minutes,
            step
        }),
        (1..5000_u64).prop_map(|count| Healthy::Resident { count }),
    ]
}

impl Healthy {
    /// How many there are in a minute, given the last number and two random numbers of 0 to 1; and
    /// which share of the goroutines is still the same.
    fn next(&self, minute: i64, last: f64, random: f64, other: f64) -> (f64, f64) {
        let day =
            |minutes: f64| (1.0 - (minute as f64 / minutes * std::f64::consts::TAU).cos()) / 2.0;
        match *self {
            Self::Walk { level, step, pull } => {
                let drawn = last + (level - last) * pull;
                (drawn + level * step * (2.0 * random - 1.0), 0.0)
            }
            Self::Day {
                peak,
                minutes,
                burst,
            } => {
                let spike = if other < 0.05 { 1.0 } else { 0.0 };
                (peak * day(minutes) * (1.0 + burst * (random + spike)), 0.1)
            }
            Self::Pool {
                most,
                minutes,
                step,
            } => {
                let workers = (most * day(minutes) / step).floor() * step;
                (workers * (0.5 + 0.1 * random), 0.5)
            }
            Self::Resident { count } => (count as f64, 1.0),
        }
    }
}

/// A process with these healthy sites; `random` moves it on by a minute.
struct Town {
    process: Process,
    sites: Vec<(Healthy, f64)>,
    random: u64,
}

impl Town {
    fn new(sites: Vec<Healthy>, seed: u64) -> Self {
        let sites = sites.into_iter().map(|site| {
            let start = match site {
                Healthy::Walk { level, .. } => level,
                _ => 0.0,
            };
            (site, start)
        });
        Self {
            process: Process::default(),
            sites: sites.collect(),
            random: seed | 1,
        }
    }

    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn live(&mut self, minute: i64) {
        for index in 0..self.sites.len() {
            let (random, other) = (self.random(), self.random());
            let (site, last) = &mut self.sites[index];
            let (count, same) = site.next(minute, *last, random, other);
            *last = count.max(0.0);
            let count = *last as usize;
            let class = [WaitClass::Receive, WaitClass::Select, WaitClass::Send][index % 3];
            self.process.set(index as u32 + 1, class, count, same);
        }
    }
}

const LEAK: u32 = 100;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Load that comes and goes, pools that grow and shrink: no suspect in 200 samples.
    #[test]
    fn what_is_healthy_is_no_suspect(sites in prop::collection::vec(healthy(), 1..6), seed: u64) {
        let mut town = Town::new(sites, seed);
        let mut watch = Watch::new("town", Options::default());
        for n in 0..200 {
            town.live(n);
            step(&mut watch, &town.process, minute(n));
            let verdict = watch.verdict();
            prop_assert!(verdict.suspects.is_empty(), "sample {n}: {:#?}", verdict.suspects);
        }
    }

    /// A leak of any speed beside healthy sites: it is named within 10 samples, with both lines,
    /// and it alone.
    #[test]
    fn a_leak_is_named_within_ten_samples(
        sites in prop::collection::vec(healthy(), 0..4),
        seed: u64,
        rate in 5..500_usize,
        // With more there before, five a minute are not yet a fifth more after ten samples.
        there in 0..60_usize,
    ) {
        let verdict = leak_beside(sites, seed, rate, 0.0, there, 10);
        prop_assert_eq!(verdict.suspects.len(), 1, "{:#?}", verdict);
        let suspect = &verdict.suspects[0];
        prop_assert_eq!(suspect.blocks_at.line, LEAK);
        prop_assert_eq!(suspect.started_at.as_ref().map(|place| place.line), Some(LEAK + 1000));
        prop_assert_eq!(suspect.evidence, Evidence::Survivors);
        let exact = rate as f64 * 60.0;
        prop_assert!((suspect.per_hour - exact).abs() < exact * 0.1, "{}", suspect.per_hour);
        prop_assert_eq!(verdict.status, Status::Suspects);
    }

    /// The same where many more goroutines pass the line that leaks than leak there: it takes
    /// longer until who survives stands out.
    #[test]
    fn a_leak_at_a_busy_line_is_named_within_forty_samples(
        sites in prop::collection::vec(healthy(), 0..4),
        seed: u64,
        rate in 20..500_usize,
        noise in 0.0..0.6,
    ) {
        let verdict = leak_beside(sites, seed, rate, noise, 0, 40);
        prop_assert_eq!(verdict.suspects.len(), 1, "{:#?}", verdict);
        prop_assert_eq!(verdict.suspects[0].blocks_at.line, LEAK);
    }
}

/// A leak of `rate` goroutines a minute beside healthy sites, with up to `noise` times as many that
/// only pass, and some that were stuck before the first sample.
fn leak_beside(
    sites: Vec<Healthy>,
    seed: u64,
    rate: usize,
    noise: f64,
    there: usize,
    samples: i64,
) -> Verdict {
    let mut town = Town::new(sites, seed);
    let mut watch = Watch::new("town", Options::default());
    for n in 0..samples {
        town.live(n);
        let passing = (town.random() * noise * rate as f64) as usize;
        let leaked = there + rate * n as usize;
        town.process.leak(LEAK, WaitClass::Send, leaked, passing);
        step(&mut watch, &town.process, minute(n));
    }
    watch.verdict()
}

/// Runs a leak of `rate` goroutines a minute until it is named, and says in which sample.
fn named_after(options: Options, rate: f64, class: WaitClass, until: i64) -> Option<i64> {
    let mut process = Process::default();
    let mut watch = Watch::new("one", options);
    for n in 0..until {
        process.leak(LEAK, class, (rate * n as f64) as usize, 0);
        step(&mut watch, &process, minute(n));
        if !watch.verdict().suspects.is_empty() {
            return Some(n + 1);
        }
    }
    None
}

#[test]
fn a_slow_leak_is_named_later() {
    let named = |rate| named_after(Options::default(), rate, WaitClass::Receive, 400);
    let one_a_minute = named(1.0).unwrap();
    assert!(one_a_minute <= 30, "{one_a_minute}");
    let one_in_ten = named(0.1).unwrap();
    assert!(
        one_in_ten > one_a_minute && one_in_ten <= 250,
        "{one_in_ten}"
    );
}

/// So many have leaked that ten more samples add next to nothing to them.
#[test]
fn what_has_leaked_for_long_is_named_by_who_survives() {
    let long_ago = |options: Options| {
        let mut process = Process::default();
        let mut watch = Watch::new("old", options);
        for n in 0..12 {
            process.leak(LEAK, WaitClass::Send, 18_700 + 10 * n as usize, 0);
            step(&mut watch, &process, minute(n));
        }
        watch.verdict()
    };
    let verdict = long_ago(Options::default());
    assert_eq!(verdict.suspects.len(), 1, "{verdict:#?}");
    assert_eq!(verdict.suspects[0].evidence, Evidence::Survivors);
    // Without dumps it is worth a note.
    let unseen = long_ago(Options {
        dumps_an_hour: 0,
        ..Options::default()
    });
    assert!(unseen.suspects.is_empty(), "{unseen:#?}");
    assert_eq!(unseen.notes.len(), 1, "{unseen:#?}");
}

#[test]
fn without_dumps_it_takes_longer() {
    let options = Options {
        dumps_an_hour: 0,
        ..Options::default()
    };
    let named = named_after(options, 60.0, WaitClass::Mutex, 100).unwrap();
    assert!((20..=25).contains(&named), "{named}");
}

#[test]
fn ci_names_after_five_samples() {
    assert_eq!(
        named_after(Options::ci(), 10.0, WaitClass::Send, 10),
        Some(6)
    );
}

/// With four samples a second and two dumps, no dump is within the last five samples.
#[test]
fn ci_with_fewer_dumps_than_samples_names_survivors() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::ci());
    for n in 0..8 {
        process.leak(LEAK, WaitClass::Send, 10 * n as usize, 0);
        let at = minute(0) + jiff::SignedDuration::from_millis(250 * n);
        step(&mut watch, &process, at);
    }
    let verdict = watch.verdict();
    assert_eq!(verdict.suspects[0].evidence, Evidence::Survivors);
    let why = verdict.suspects[0].why.join("\n");
    assert!(why.contains("still there"), "{why}");
}

#[test]
fn what_waits_outside_is_a_note() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    for n in 0..30 {
        process.leak(LEAK, WaitClass::IoWait, 60 * n, 0);
        // Each connection has a writer.
        process.leak(LEAK + 1, WaitClass::Select, 60 * n, 0);
        step(&mut watch, &process, minute(n as i64));
    }
    let verdict = watch.verdict();
    assert_eq!(verdict.status, Status::Clean, "{verdict:#?}");
    let lines: Vec<u32> = verdict.notes.iter().map(|note| note.at.line).collect();
    assert_eq!(lines, [LEAK, LEAK + 1]);
}

#[test]
fn pairs_are_one_finding_and_the_sender_is_its_root() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    for n in 0..12 {
        process.leak(LEAK, WaitClass::Select, 40 * n, 0);
        process.leak(LEAK + 1, WaitClass::Send, 40 * n, 0);
        process.leak(LEAK + 2, WaitClass::Send, 90 * n, 0);
        step(&mut watch, &process, minute(n as i64));
    }
    let verdict = watch.verdict();
    let found: Vec<(u32, usize)> = verdict
        .suspects
        .iter()
        .map(|s| (s.blocks_at.line, s.together_with.len()))
        .collect();
    assert_eq!(found, [(LEAK + 2, 0), (LEAK + 1, 1)]);
    assert_eq!(verdict.suspects[1].together_with[0].blocks_at.line, LEAK);
}

#[test]
fn a_leak_profile_proves() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    let mut asked = 0;
    for n in 0..25 {
        process.leak(LEAK, WaitClass::Send, 60 * n, 0);
        process.leak(LEAK + 1, WaitClass::Receive, 3, 0);
        let at = minute(n as i64);
        watch.feed(at, &process.profile());
        while let Some(want) = watch.want(at) {
            match want {
                Want::Dump => watch.feed(at, &process.dump()),
                Want::LeakProfile => {
                    asked += 1;
                    watch.feed(at, &process.leak_profile(&[LEAK, LEAK + 1]));
                }
            }
        }
    }
    assert_eq!(asked, 1, "proved once, it is not asked for again");
    let verdict = watch.verdict();
    assert_eq!(verdict.status, Status::Confirmed);
    let found: Vec<_> = verdict
        .suspects
        .iter()
        .map(|s| (s.blocks_at.line, s.growing, s.evidence))
        .collect();
    let proved = Evidence::Proved;
    assert_eq!(found, [(LEAK, true, proved), (LEAK + 1, false, proved)]);
}

/// Somebody else may have asked for the leak profile: the marks stay in dumps, without minutes.
#[test]
fn marks_in_a_dump_prove() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    for n in 0..3 {
        process.leak(LEAK, WaitClass::Send, 10 + n, 0);
        watch.feed(minute(n as i64), &process.profile());
    }
    assert_eq!(watch.verdict().leaked, None);
    let mut dump = process.dump();
    dump.groups[0].leaked = true;
    watch.feed(minute(2), &dump);
    let verdict = watch.verdict();
    assert_eq!(verdict.leaked, Some(12));
    assert_eq!(verdict.suspects[0].evidence, Evidence::Proved);
}

/// What is proved to be leaked never ends: with fewer of them the process is another one, though
/// nobody saw it restart.
#[test]
fn fewer_than_were_proved_are_another_process() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    process.leak(LEAK, WaitClass::Send, 40, 3);
    watch.feed(minute(0), &process.profile());
    process.leak(LEAK, WaitClass::Send, 40, 0);
    watch.feed(minute(0), &process.leak_profile(&[LEAK]));
    watch.feed(minute(1), &process.profile());
    let verdict = watch.verdict();
    assert_eq!((verdict.status, verdict.restarts), (Status::Confirmed, 0));
    process.leak(LEAK, WaitClass::Send, 39, 0);
    watch.feed(minute(2), &process.profile());
    let verdict = watch.verdict();
    assert_eq!((verdict.status, verdict.restarts), (Status::Clean, 1));
    assert_eq!((verdict.samples, verdict.leaked), (1, None));
}

#[test]
fn a_rule_that_comes_later_hides_what_was_proved() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    process.leak(LEAK, WaitClass::Send, 40, 0);
    watch.feed(minute(0), &process.profile());
    watch.feed(minute(0), &process.leak_profile(&[LEAK]));
    assert_eq!(watch.verdict().status, Status::Confirmed);
    watch.set_options(Options {
        ignore: vec!["main.site100".parse().unwrap()],
        ..Options::default()
    });
    watch.feed(minute(1), &process.profile());
    let verdict = watch.verdict();
    assert_eq!((verdict.status, verdict.restarts), (Status::Clean, 0));
}

#[test]
fn a_new_build_is_asked_for_its_leak_profile_again() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    let mut asked = Vec::new();
    for n in 0..40 {
        let (build, since) = if n < 20 { ("old", 0) } else { ("new", 20) };
        process.build_id = Some(build.into());
        process.leak(LEAK, WaitClass::Send, 60 * (n - since), 0);
        let at = minute(n as i64);
        watch.feed(at, &process.profile());
        while let Some(want) = watch.want(at) {
            if want == Want::LeakProfile {
                asked.push(build);
                watch.no_leak_profile();
            }
        }
    }
    assert_eq!(asked, ["old", "new"]);
}

/// Who is missing in it may live all the same.
#[test]
fn a_dump_that_is_cut_refutes_nothing() {
    let mut process = Process::default();
    let mut dumps = Vec::new();
    for n in 1..3 {
        process.leak(LEAK, WaitClass::Send, 40 * n, 0);
        dumps.push(process.dump());
    }
    dumps[1].cut = Some(crate::profile::Cut {
        at: 64 << 20,
        goroutine: None,
    });
    // The first 60 were in the lost part.
    dumps[1].groups[0].ids = (61..=120).collect();
    dumps[1].groups[0].count = 60;
    let verdict = once(&dumps, Options::default());
    assert_eq!(verdict.suspects[0].evidence, Evidence::Rise);
}

#[test]
fn a_nil_channel_that_grows_is_certain() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    for n in 0..10 {
        process.leak(LEAK, WaitClass::NilChannel, 20 * n, 0);
        step(&mut watch, &process, minute(n as i64));
    }
    let verdict = watch.verdict();
    assert_eq!(verdict.status, Status::Confirmed, "{verdict:#?}");
    assert_eq!(verdict.suspects[0].evidence, Evidence::NeverEnds);
}

#[test]
fn a_suspect_that_goes_away_was_none_and_one_that_stops_remains() {
    let mut process = Process::default();
    let mut watch = Watch::new("one", Options::default());
    let mut run = |from: i64, count: &dyn Fn(i64) -> usize| {
        for n in from..from + 20 {
            process.leak(LEAK, WaitClass::Send, count(n), 0);
            step(&mut watch, &process, minute(n));
        }
        watch.verdict()
    };
    assert_eq!(run(0, &|n| 60 * n as usize).suspects.len(), 1);
    let level = run(20, &|_| 1140);
    assert!(!level.suspects[0].growing);
    assert_eq!(level.suspects[0].per_hour, 0.0);
    assert_eq!(run(40, &|_| 100).status, Status::Clean);
}

#[test]
fn a_restart_begins_anew() {
    let mut process = Process::default();
    process.build_id = Some("one".into());
    let mut watch = Watch::new("one", Options::default());
    for n in 0..12 {
        process.leak(LEAK, WaitClass::Send, 60 * n, 0);
        step(&mut watch, &process, minute(n as i64));
    }
    assert_eq!(watch.verdict().suspects.len(), 1);
    process.build_id = Some("two".into());
    step(&mut watch, &process, minute(12));
    let verdict = watch.verdict();
    assert_eq!((verdict.restarts, verdict.samples), (1, 1));
    assert_eq!(verdict.status, Status::Clean);
}

#[test]
fn the_budget_of_dumps_is_kept() {
    let mut process = Process::default();
    let options = Options {
        dumps_an_hour: 3,
        ..Options::default()
    };
    let mut watch = Watch::new("one", options);
    let mut dumps = Vec::new();
    for n in 0..60 {
        // Each time other goroutines: every dump says that they come and go.
        process.set(LEAK, WaitClass::Send, 10 + 60 * n as usize, 0.0);
        let at = minute(n);
        watch.feed(at, &process.profile());
        while let Some(want) = watch.want(at) {
            match want {
                Want::Dump => dumps.push(n),
                Want::LeakProfile => watch.no_leak_profile(),
            }
        }
    }
    assert_eq!(dumps.len(), 3);
    assert!(
        dumps.windows(2).all(|pair| pair[1] - pair[0] >= 2),
        "{dumps:?}"
    );
    let mut huge = Watch::new("huge", Options::default());
    for n in 0..20 {
        process.set(LEAK, WaitClass::Send, 20_000 + 6_000 * n as usize, 1.0);
        huge.feed(minute(n), &process.profile());
        assert_ne!(huge.want(minute(n)), Some(Want::Dump));
    }
}

#[test]
fn sites_are_bounded_and_large_ones_stay() {
    let mut watch = Watch::new("many", Options::default());
    for n in 0..10 {
        let mut process = Process::default();
        process.set(LEAK, WaitClass::Send, 100, 1.0);
        for site in 0..400 {
            process.set(10_000 + n * 400 + site, WaitClass::Receive, 1, 1.0);
        }
        step(&mut watch, &process, minute(n.into()));
    }
    assert!(watch.sites.len() <= MAX_SITES);
    let leak = Frame::new("main.site100", "main.go", LEAK);
    assert!(
        watch
            .sites()
            .any(|(site, series)| site.frame == leak && series.last() == 100)
    );
}

#[test]
fn two_files_show_who_grew_and_survived() {
    let mut process = Process::default();
    let mut profiles = Vec::new();
    for n in 1..3 {
        process.leak(LEAK, WaitClass::Send, 40 * n, 0);
        process.set(LEAK + 1, WaitClass::Receive, 50 * n, 0.0);
        process.leak(LEAK + 2, WaitClass::IoWait, 70 * n, 0);
        process.leak(LEAK + 3, WaitClass::Mutex, 100, 0);
        profiles.push((process.profile(), process.dump()));
    }
    let found = |profiles: &[Profile]| -> Vec<(u32, Evidence)> {
        let suspects = once(profiles, Options::default()).suspects;
        suspects
            .iter()
            .map(|s| (s.blocks_at.line, s.evidence))
            .collect()
    };
    let dumps: Vec<Profile> = profiles.iter().map(|(_, dump)| dump.clone()).collect();
    assert_eq!(found(&dumps), [(LEAK, Evidence::Survivors)]);
    let binary: Vec<Profile> = profiles.iter().map(|(binary, _)| binary.clone()).collect();
    assert_eq!(
        found(&binary),
        [(LEAK + 1, Evidence::Rise), (LEAK, Evidence::Rise)]
    );
    assert_eq!(found(&dumps[1..]), []);
    assert_eq!(found(&[]), []);
    let leaks = [process.leak_profile(&[LEAK + 3])];
    assert_eq!(found(&leaks), [(LEAK + 3, Evidence::Proved)]);
    let rise = once(&binary, Options::default()).suspects[0].why.join("\n");
    assert!(
        rise.contains("50 more of them in the last of 2 profiles than in the first"),
        "two show no trend: {rise}"
    );
}

#[test]
fn a_leak_profile_alone_says_how_many_are_proved() {
    let mut process = Process::default();
    process.leak(LEAK, WaitClass::Send, 7, 0);
    let first = process.leak_profile(&[LEAK]);
    let told = |profiles: &[Profile]| {
        let verdict = once(profiles, Options::default());
        let growing = verdict.suspects.iter().map(|s| s.growing).collect();
        let text = crate::report::verdict(&verdict);
        (text.lines().next().unwrap().to_owned(), growing)
    };
    let check = |profiles: &[Profile], want: &str, growing: Vec<bool>| {
        assert_eq!(told(profiles), (format!("files: {want}"), growing));
    };
    check(
        std::slice::from_ref(&first),
        "confirmed, 7 goroutines, 1 samples, 7 proved to be leaked",
        vec![false],
    );
    process.leak(LEAK, WaitClass::Send, 30, 0);
    let second = process.leak_profile(&[LEAK]);
    check(
        &[first, second.clone()],
        "confirmed, 30 goroutines, 2 samples, 30 proved to be leaked",
        vec![true],
    );
    check(
        &[process.leak_profile(&[])],
        "clean, 0 goroutines, 1 samples, 0 proved to be leaked",
        vec![],
    );
    process.set(LEAK + 1, WaitClass::IoWait, 12, 1.0);
    check(
        &[process.profile(), second],
        "confirmed, 42 goroutines, 1 samples, 30 proved to be leaked",
        vec![false],
    );
}

/// `debug=1` does not tell what most wait for: that one file knows it and the other does not is
/// no growth.
#[test]
fn files_of_different_forms_are_compared_by_what_both_know() {
    let mut process = Process::default();
    process.leak(LEAK, WaitClass::Send, 50, 0);
    let grouped = |process: &Process| {
        let mut profile = process.profile();
        profile.format = Format::GroupedText;
        let groups = profile.groups.iter_mut();
        groups.for_each(|group| group.class = WaitClass::Unknown);
        profile
    };
    let first = grouped(&process);
    let found = |profiles: &[Profile]| once(profiles, Options::default()).suspects;
    for other in [process.profile(), process.dump()] {
        assert_eq!(found(&[first.clone(), other.clone()]), []);
        assert_eq!(found(&[other, first.clone()]), []);
    }
    process.leak(LEAK, WaitClass::Send, 100, 0);
    let grown = found(&[first, process.dump()]);
    assert_eq!((grown.len(), grown[0].class), (1, "channel send"));
    assert_eq!(grown[0].count, 100);
}
