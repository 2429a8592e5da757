use muster_metric::Timestamp;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A machine with a clock that the test moves.
struct World {
    machine: Machine,
    now: Duration,
}

impl World {
    fn new(thresholds: Thresholds) -> Self {
        let now = Duration::ZERO;
        Self {
            machine: Machine::new(Arc::new(thresholds), moment(now)),
            now,
        }
    }

    /// A check that ends a second later.
    fn see(&mut self, reason: Reason) -> Option<Transition> {
        self.see_late(reason, SECOND, Duration::ZERO)
    }

    fn see_late(&mut self, reason: Reason, step: Duration, late: Duration) -> Option<Transition> {
        self.now += step;
        let answer = Outcome::new(reason, "").into();
        self.machine.observe(moment(self.now), answer, late)
    }

    fn see_all(&mut self, reasons: &[Reason]) -> Vec<(State, Reason)> {
        let look = |reason: &Reason| {
            self.see(*reason);
            let status = self.machine.status();
            (status.state, status.reason)
        };
        reasons.iter().map(look).collect()
    }
}

fn moment(steady: Duration) -> Moment {
    let wall = Timestamp::from_seconds(1_700_000_000).saturating_add(steady);
    Moment { steady, wall }
}

#[track_caller]
fn check(seen: &[(Reason, State, Reason)]) {
    let mut world = World::new(Thresholds::default());
    for (at, (reason, state, shown)) in seen.iter().enumerate() {
        world.see(*reason);
        let status = world.machine.status();
        assert_eq!(
            (status.state, status.reason),
            (*state, *shown),
            "result {at}"
        );
    }
}

use Reason::{Auth, Busy, Dns, Hung, Loading, Local, Ok, Refused};
use State::{Degraded, Down, Rising, Suspect, Unknown, Up};

#[test]
fn one_good_result_is_enough_at_first() {
    check(&[(Ok, Up, Ok), (Ok, Up, Ok)]);
}

#[test]
fn at_first_only_failures_count() {
    check(&[
        (Refused, Unknown, Refused),
        (Refused, Unknown, Refused),
        (Refused, Down, Refused),
    ]);
}

#[test]
fn goes_down_and_rises_again() {
    check(&[
        (Ok, Up, Ok),
        (Hung, Suspect, Hung),
        (Hung, Suspect, Hung),
        (Refused, Down, Refused),
        (Hung, Down, Hung),
        (Ok, Rising, Hung),
        (Refused, Down, Refused),
        (Ok, Rising, Refused),
        (Ok, Up, Ok),
    ]);
}

#[test]
fn one_good_result_clears_a_suspicion() {
    check(&[
        (Ok, Up, Ok),
        (Hung, Suspect, Hung),
        (Hung, Suspect, Hung),
        (Ok, Up, Ok),
        (Hung, Suspect, Hung),
    ]);
}

#[test]
fn a_living_server_is_degraded_whatever_it_says() {
    check(&[
        (Ok, Up, Ok),
        (Busy, Degraded, Busy),
        (Auth, Degraded, Auth),
        (Busy, Degraded, Busy),
        (Busy, Degraded, Busy),
        (Ok, Rising, Busy),
        (Ok, Up, Ok),
    ]);
    check(&[
        (Refused, Unknown, Refused),
        (Refused, Unknown, Refused),
        (Refused, Down, Refused),
        (Loading, Degraded, Loading),
        (Ok, Rising, Loading),
        (Ok, Up, Ok),
    ]);
}

#[test]
fn our_own_faults_say_nothing() {
    check(&[
        (Ok, Up, Ok),
        (Local, Up, Local),
        (Dns, Up, Dns),
        (Local, Unknown, Local),
        (Ok, Up, Ok),
    ]);
    // They stand between failures without counting for or against.
    check(&[
        (Ok, Up, Ok),
        (Hung, Suspect, Hung),
        (Local, Suspect, Local),
        (Hung, Suspect, Hung),
        (Hung, Down, Hung),
        (Local, Down, Local),
        (Local, Down, Local),
        (Local, Unknown, Local),
        (Ok, Unknown, Local),
        (Ok, Up, Ok),
    ]);
}

#[test]
fn a_policy_makes_a_reason_count_as_down() {
    let mut world = World::new(Thresholds {
        down_on: vec![Reason::Maxclients],
        ..Thresholds::default()
    });
    let seen = world.see_all(&[
        Ok,
        Reason::Maxclients,
        Reason::Maxclients,
        Reason::Maxclients,
    ]);
    assert_eq!(seen[3], (Down, Reason::Maxclients));
}

#[test]
fn silence_must_last_for_down_after() {
    let mut world = World::new(Thresholds {
        interval: SECOND / 10,
        ..Thresholds::default()
    });
    world.see_late(Ok, SECOND, Duration::ZERO);
    for check in 1..30 {
        world.see_late(Hung, SECOND / 10, Duration::ZERO);
        assert_eq!(world.machine.status().state, Suspect, "{check}");
    }
    world.see_late(Hung, SECOND / 10, Duration::ZERO);
    assert_eq!(world.machine.status().state, Down);
}

#[test]
fn a_stand_still_freezes_everything() {
    let mut world = World::new(Thresholds::default());
    world.see_all(&[Ok, Hung, Hung]);
    let tilt = world.see_late(Hung, SECOND * 9, SECOND * 8).unwrap();
    assert_eq!(
        (tilt.reason, tilt.from, tilt.to),
        (Reason::Tilt, Suspect, Suspect)
    );
    for _ in 0..5 {
        assert_eq!(world.see(Hung), None);
        assert!(world.machine.status().tilt);
    }
    // Six seconds later counting starts anew: three more failures and three seconds.
    assert_eq!(
        world.see_all(&[Hung, Hung, Hung, Hung]),
        [
            (Suspect, Hung),
            (Suspect, Hung),
            (Suspect, Hung),
            (Down, Hung)
        ]
    );
    assert!(!world.machine.status().tilt);
}

#[test]
fn flapping_is_told_and_forgotten() {
    let mut world = World::new(Thresholds::default());
    world.see(Ok);
    let cycle = [Hung, Hung, Hung, Ok, Ok];
    world.see_all(&cycle);
    world.see_all(&cycle);
    let status = world.machine.status();
    assert_eq!(
        (status.state, status.verdict),
        (State::Flapping, Verdict::Up)
    );
    assert_eq!(status.flaps, 4);
    assert!(!status.is_up());
    for _ in 0..300 {
        world.see(Ok);
    }
    assert_eq!(world.machine.status().state, Up);
}

#[test]
fn since_is_when_the_verdict_came() {
    let mut world = World::new(Thresholds::default());
    world.see_all(&[Ok, Hung, Ok, Hung, Ok]);
    assert_eq!(world.machine.status().since, moment(SECOND).wall);
    world.see_all(&[Hung, Hung, Hung, Ok]);
    assert_eq!(world.machine.status().since, moment(SECOND * 8).wall);
}

/// One result, how long after the one before, and how late our own loop was.
type Seen = (Reason, u64, u64);

fn any_seen() -> impl Strategy<Value = Vec<Seen>> {
    let reason = proptest::sample::select(Reason::ALL);
    let late = prop_oneof![20 => Just(0_u64), 1 => Just(5000)];
    proptest::collection::vec((reason, 50_u64..3000, late), 1..200)
}

fn any_thresholds() -> impl Strategy<Value = Thresholds> {
    let reasons = proptest::sample::subsequence(Reason::ALL, 0..3);
    (100_u64..1500, 1_u32..5, 1_u32..5, 0_u64..5000, reasons).prop_map(
        |(interval, rise, fall, down_after, down_on)| Thresholds {
            interval: Duration::from_millis(interval),
            rise,
            fall,
            down_after: Duration::from_millis(down_after),
            down_on,
        },
    )
}

proptest! {
    /// What must hold whatever comes, told from the results alone.
    #[test]
    fn keeps_its_promises(thresholds in any_thresholds(), results in any_seen()) {
        let mut world = World::new(thresholds.clone());
        let (mut fails, mut oks, mut local) = (0, 0, 0);
        let mut heard = None;
        for (at, (reason, step, late)) in results.into_iter().enumerate() {
            let before = world.machine.status().clone();
            let late = Duration::from_millis(late);
            let told = world.see_late(reason, Duration::from_millis(step), late);
            let status = world.machine.status().clone();
            prop_assert_eq!(status.seq, at as u64 + 1);
            if status.tilt {
                prop_assert_eq!((status.verdict, status.state), (before.verdict, before.state));
                prop_assert!(told.is_none_or(|t| t.reason == Reason::Tilt));
                (fails, oks, local) = (0, 0, 0);
                heard = heard.map(|_| world.now);
                continue;
            }
            let class = thresholds.class(reason);
            match class {
                Class::Ok => (fails, oks, local, heard) = (0, oks + 1, 0, Some(world.now)),
                Class::Degraded => (fails, oks, local, heard) = (0, 0, 0, Some(world.now)),
                Class::Fail => (fails, oks, local) = (fails + 1, 0, 0),
                Class::Local => (oks, local) = (0, local + 1),
            }
            let silence = heard.map(|heard: Duration| world.now - heard);
            let changed = before.verdict != status.verdict;
            match status.verdict {
                Verdict::Down if changed => {
                    prop_assert!(class == Class::Fail && fails >= thresholds.fall);
                    prop_assert!(silence.is_none_or(|s| s >= thresholds.down_after));
                }
                Verdict::Up if changed => {
                    let first = before.verdict == Verdict::Unknown;
                    prop_assert!(class == Class::Ok && (first || oks >= thresholds.rise));
                }
                Verdict::Degraded if changed => prop_assert_eq!(class, Class::Degraded),
                Verdict::Unknown if changed => prop_assert!(local >= thresholds.fall),
                _ => {}
            }
            // A living server is never down, nor suspected of it.
            if class == Class::Degraded {
                prop_assert_eq!(status.verdict, Verdict::Degraded);
            }
            if class == Class::Ok {
                prop_assert!(status.state != State::Suspect && status.state != State::Down);
            }
            // Whatever changes is told, and what is told has changed.
            let differs = (before.state, before.reason) != (status.state, status.reason);
            prop_assert_eq!(told.is_some(), differs);
            if let Some(told) = told {
                prop_assert_eq!((told.from, told.to), (before.state, status.state));
                prop_assert_eq!(told.reason, status.reason);
            }
            prop_assert_eq!(status.fails, fails);
        }
    }

    /// The same results give the same transitions.
    #[test]
    fn replays(thresholds in any_thresholds(), results in any_seen()) {
        let run = || {
            let mut world = World::new(thresholds.clone());
            let see = |(reason, step, late): &Seen| {
                world.see_late(*reason, Duration::from_millis(*step), Duration::from_millis(*late))
            };
            results.iter().map(see).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }

    /// Enough good results heal everything but flapping; quiet heals that too.
    #[test]
    fn good_results_heal(thresholds in any_thresholds(), results in any_seen()) {
        let mut world = World::new(thresholds.clone());
        for (reason, step, late) in results {
            world.see_late(reason, Duration::from_millis(step), Duration::from_millis(late));
        }
        // Over the end of a tilt, then as many as are needed.
        world.see_late(Ok, thresholds.down_after * 2, Duration::ZERO);
        for _ in 0..=thresholds.rise {
            world.see(Ok);
        }
        prop_assert_eq!(world.machine.status().verdict, Verdict::Up);
        world.see_late(Ok, Duration::from_secs(301), Duration::ZERO);
        prop_assert_eq!(world.machine.status().state, Up);
    }
}
