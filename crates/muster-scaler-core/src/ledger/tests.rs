//! The life of a server as a table, and the ledger under whatever comes.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::memory::{MOST_HOSTS, RUNS, Samples};
use crate::server::ServerState as S;

const NOW: Time = Time::from_secs(1_000_000);

fn server(state: S) -> Server {
    let provider = "pool/0".parse().unwrap();
    let mut server = Server::plan(ServerName("s".to_owned()), "pool", provider, NOW);
    server.state = state;
    server.decision = 1;
    if !matches!(state, S::Planned) {
        server.requested = Some(NOW);
    }
    if matches!(state, S::Joined | S::Quarantined | S::Draining) {
        server.joined = Some(NOW);
    }
    if state == S::Draining {
        let mut drain = Drain::new(NOW + Duration::from_secs(1000), "", true, Duration::ZERO);
        drain.paused = Some(NOW);
        server.drain = Some(drain);
    }
    server
}

const fn letter(state: S) -> char {
    match state {
        S::Planned => 'P',
        S::Requested => 'R',
        S::Unknown => 'U',
        S::Booting => 'B',
        S::Joined => 'J',
        S::Quarantined => 'Q',
        S::Draining => 'D',
        S::Removing => 'X',
        S::Stuck => 'S',
    }
}

/// The states that follow on those of `PRUBJQDXS`; `-` where it cannot happen.
fn check(what: &Happening, follow: &str) {
    let found: String = S::ALL
        .iter()
        .map(|state| {
            let mut server = server(*state);
            let before = server.clone();
            match server.happens(NOW, what) {
                Ok(()) => letter(server.state),
                Err(_) => {
                    assert_eq!(server, before, "a refused happening changed something");
                    '-'
                }
            }
        })
        .collect();
    assert_eq!(found, follow, "{}", what.word());
}

#[test]
fn each_state_allows_what_can_happen_in_it() {
    let why = || "why".to_owned();
    let drain = Drain::new(NOW, "", true, Duration::ZERO);
    check(&Happening::RunnerMade(1), "PRUBJQDXS");
    check(&Happening::NotYet(why()), "P--------");
    check(&Happening::Requesting, "R--------");
    check(&Happening::Exists(why()), "-BBBJQDXS");
    check(&Happening::Address(why()), "PRUBJQDXS");
    check(&Happening::AnswerLost(why()), "-UUBJQDXS");
    check(&Happening::Refused(Refusal::Quota, why()), "-XX----XS");
    check(&Happening::Absent(NOW), "-RUBJQDXS");
    check(&Happening::Joined, "-JJJJQDXS");
    check(&Happening::BootFailed(why()), "--XX-----");
    check(&Happening::Idle(None), "----JQD--");
    check(&Happening::Down(Some(NOW)), "----JQD--");
    check(&Happening::Quarantined(why()), "----Q----");
    check(&Happening::Recovered, "-----J---");
    check(&Happening::Draining(drain), "---DDDD--");
    check(&Happening::DrainPaused, "------D--");
    check(&Happening::DrainLooked(true), "------D--");
    check(&Happening::Undrained, "------J--");
    // Servers that joined are not deleted before their drain ended.
    check(&Happening::Removing(why()), "X-XX-----");
    check(&Happening::DeleteAccepted, "-------XX");
    check(&Happening::DeleteFailed(why()), "-------XS");
    check(&Happening::Removed, "-------XS");
}

#[test]
fn a_drain_ends_with_two_empty_looks_or_its_deadline() {
    let look = |server: &mut Server, second: u64, empty| {
        let at = NOW + Duration::from_secs(second);
        server.happens(at, &Happening::DrainLooked(empty)).unwrap();
        at
    };
    let may_go = |server: &Server, at| {
        let removing = Happening::Removing(String::new());
        server.clone().happens(at, &removing).is_ok()
    };
    let mut server = server(S::Draining);
    server.drain.as_mut().unwrap().hold = Duration::from_secs(50);
    let at = look(&mut server, 51, true);
    assert!(!may_go(&server, at), "one look");
    look(&mut server, 100, false);
    look(&mut server, 110, true);
    let at = look(&mut server, 200, true);
    assert!(may_go(&server, at));
    look(&mut server, 210, false);
    assert!(!may_go(&server, at), "a job came");
    assert!(
        may_go(&server, NOW + Duration::from_secs(1000)),
        "the deadline"
    );
}

#[test]
fn failed_deletions_go_on_for_ever_ever_more_slowly() {
    let mut ledger = Ledger::default();
    let mut server = server(S::Removing);
    server.provider_id = Some("id".to_owned());
    let name = server.name.clone();
    ledger.apply(&Event::Adopted(Box::new(server))).unwrap();
    let mut at = NOW;
    let mut waits = Vec::new();
    for _ in 0..40 {
        let failed = Happening::DeleteFailed("no".to_owned());
        ledger.apply(&Event::server(&name, at, failed)).unwrap();
        let next = ledger.servers[&name].next_try;
        waits.push(next.since(at).as_secs());
        at = next;
    }
    assert_eq!((waits[0], waits[1], waits[39]), (10, 20, 600));
    assert_eq!(ledger.servers[&name].state, S::Stuck);
}

#[test]
fn refusals_and_failed_boots_close_a_provider() {
    let mut memory = Memory::default();
    let id: crate::ProviderId = "pool/0".parse().unwrap();
    let mut happen = |state, what: &Happening, at| {
        let mut server = server(state);
        let before = server.state;
        server.happens(at, what).unwrap();
        memory.happened(&server, before, at, what);
        memory.providers[&id].clone()
    };
    let refused = Happening::Refused(Refusal::Capacity, "full".to_owned());
    let (mut waits, mut at) = (Vec::new(), NOW);
    for _ in 0..7 {
        let next = happen(S::Requested, &refused, at).not_before;
        // What was asked for together is refused together.
        let again = happen(S::Requested, &refused, at + Duration::from_secs(1));
        assert_eq!(
            (again.not_before, again.refusals),
            (next, waits.len() as u32 + 1)
        );
        waits.push(next.since(at).as_secs());
        at = next;
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 1800]);
    let exists = Happening::Exists("id".to_owned());
    assert_eq!(happen(S::Requested, &exists, NOW).refusals, 0);
    let failed = Happening::BootFailed("late".to_owned());
    for _ in 0..3 {
        assert!(!happen(S::Booting, &failed, NOW).is_broken());
    }
    let broken = happen(S::Booting, &failed, NOW);
    assert!(broken.is_broken() && broken.broken_until > NOW);
    let joined = happen(
        S::Booting,
        &Happening::Joined,
        NOW + Duration::from_secs(30),
    );
    assert!(!joined.is_broken());
    assert_eq!(joined.boot_seconds.percentile(90), Some(30));
}

#[test]
fn durations_are_the_median_of_the_last_and_bounded() {
    let mut samples = Samples::default();
    for value in 1..=100 {
        samples.push(value, NOW);
    }
    assert_eq!((samples.last.len(), samples.sorted.len()), (RUNS, RUNS));
    assert_eq!(samples.percentile(50), Some(90));
    assert_eq!(samples.percentile(90), Some(98));
    assert_eq!(samples.median_above(95), Some(98));
    assert_eq!(samples.median_above(100), None);
    let mut memory = Memory::default();
    for name in 0..crate::memory::MOST_JOBS + 10 {
        let run = JobRun {
            project: (name % 7) as u64,
            name: name.to_string(),
            seconds: 1,
        };
        memory.learn(NOW + Duration::from_secs(name as u64), &[run]);
    }
    assert!(memory.job_names <= crate::memory::MOST_JOBS);
    assert!(memory.job_names > crate::memory::MOST_JOBS / 2);
    let counted: usize = memory.durations.values().map(BTreeMap::len).sum();
    assert_eq!(memory.job_names, counted);
    assert!(
        !memory.durations[&0].contains_key("0"),
        "the oldest is forgotten"
    );
}

fn happening() -> impl Strategy<Value = Happening> {
    let why = || "[a-z]{1,6}";
    prop_oneof![
        (0u64..9).prop_map(Happening::RunnerMade),
        why().prop_map(Happening::NotYet),
        Just(Happening::Requesting),
        "[ab]".prop_map(Happening::Exists),
        why().prop_map(Happening::Address),
        why().prop_map(Happening::AnswerLost),
        why().prop_map(|why| Happening::Refused(Refusal::Quota, why)),
        Just(Happening::Absent(NOW)),
        Just(Happening::Joined),
        why().prop_map(Happening::BootFailed),
        any::<bool>().prop_map(|idle| Happening::Idle(idle.then_some(NOW))),
        any::<bool>().prop_map(|down| Happening::Down(down.then_some(NOW))),
        why().prop_map(Happening::Quarantined),
        Just(Happening::Recovered),
        (0u64..2000, any::<bool>()).prop_map(|(seconds, may_return)| {
            let deadline = NOW + Duration::from_secs(seconds);
            Happening::Draining(Drain::new(
                deadline,
                "",
                may_return,
                Duration::from_secs(50),
            ))
        }),
        Just(Happening::DrainPaused),
        any::<bool>().prop_map(Happening::DrainLooked),
        Just(Happening::Undrained),
        why().prop_map(Happening::Removing),
        Just(Happening::DeleteAccepted),
        why().prop_map(Happening::DeleteFailed),
        Just(Happening::Removed),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Plan(u8),
    Happen(u8, Happening),
    Host(u8, Option<bool>),
    Decide(bool),
    Ran(u8, u32),
    Pause(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0u8..4).prop_map(Step::Plan),
        20 => (0u8..4, happening()).prop_map(|(name, what)| Step::Happen(name, what)),
        1 => (0u8..4, any::<Option<bool>>()).prop_map(|(host, memory)| Step::Host(host, memory)),
        1 => any::<bool>().prop_map(Step::Decide),
        1 => (0u8..4, 0u32..1000).prop_map(|(job, seconds)| Step::Ran(job, seconds)),
        1 => (0u8..4, any::<bool>()).prop_map(|(host, paused)| Step::Pause(host, paused)),
    ]
}

fn event(step: Step, ledger: &Ledger, at: Time) -> Event {
    let name = |number: u8| ServerName(format!("s{number}"));
    match step {
        Step::Plan(number) => {
            let provider = "pool/0".parse().unwrap();
            Event::Planned(Box::new(Server::plan(name(number), "pool", provider, at)))
        }
        Step::Happen(number, what) => Event::server(&name(number), at, what),
        Step::Host(host, memory) => Event::Host {
            pool: "pool".to_owned(),
            instance: host.to_string(),
            memory: memory.map(|down| HostMemory {
                down_since: down.then_some(at),
                ..HostMemory::default()
            }),
        },
        Step::Decide(follows) => Event::Decided(ledger.decisions + u64::from(follows)),
        Step::Ran(job, seconds) => Event::JobsRan {
            at,
            runs: vec![JobRun {
                project: 1,
                name: job.to_string(),
                seconds,
            }],
        },
        Step::Pause(host, true) => Event::HostPaused(PausedHost {
            runner: u64::from(host),
            instance: host.to_string(),
            pool: "pool".to_owned(),
            since: at,
            until: at,
        }),
        Step::Pause(host, false) => Event::HostUnpaused(u64::from(host)),
    }
}

fn is_sound(ledger: &Ledger) {
    for (name, server) in &ledger.servers {
        assert_eq!(*name, server.name);
        match server.state {
            S::Planned => assert_eq!(server.requested, None),
            S::Joined | S::Quarantined => {
                assert!(server.joined.is_some() && server.drain.is_none());
            }
            S::Draining => assert!(server.drain.is_some()),
            S::Requested | S::Unknown | S::Booting => {
                assert!(server.requested.is_some() && server.joined.is_none());
            }
            S::Removing | S::Stuck => {}
        }
    }
    for pool in ledger.memory.pools.values() {
        assert!(pool.hosts.len() <= MOST_HOSTS);
        let minute = |times: &std::collections::VecDeque<Time>| match (times.front(), times.back())
        {
            (Some(first), Some(last)) => last.since(*first) < Duration::from_secs(60),
            _ => true,
        };
        assert!(minute(&pool.creates) && minute(&pool.deletes));
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_ledger_stays_sound(steps in prop::collection::vec((step(), 0u64..30), 1..200)) {
        let mut ledger = Ledger::default();
        let mut at = NOW;
        for (step, seconds) in steps {
            at = at + Duration::from_secs(seconds);
            let event = event(step, &ledger, at);
            let before = ledger.clone();
            // What goes to disk and comes back is the same event.
            let text = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), &event);
            match ledger.apply(&event) {
                Err(_) => prop_assert_eq!(&ledger, &before),
                Ok(()) => is_sound(&ledger),
            }
        }
        let text = serde_json::to_string(&ledger).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }
}
