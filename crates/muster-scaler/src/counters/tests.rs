use std::time::Duration;

use muster_scaler_core::{ProviderId, Server, ServerName, Time};

use super::*;

const NOW: Time = Time::from_millis(1_700_000_000_000);

fn ledger() -> (Ledger, ServerName) {
    let name = ServerName("ci-1".to_owned());
    let provider = ProviderId {
        pool: "docker".to_owned(),
        at: 0,
    };
    let mut server = Server::plan(name.clone(), "docker", provider, NOW);
    server.state = ServerState::Draining;
    let mut ledger = Ledger::default();
    ledger.servers.insert(name.clone(), server);
    (ledger, name)
}

fn job(seconds: u32) -> Event {
    let run = JobRun {
        project: 7,
        name: "build".to_owned(),
        seconds,
    };
    Event::JobsRan {
        at: NOW,
        runs: vec![run],
    }
}

#[test]
fn drains_are_timed_and_reasons_counted() {
    let (ledger, name) = ledger();
    let counters = Counters::default();
    let at = NOW + Duration::from_secs(90);
    let removed = || Event::server(&name, at, Happening::Removing("it is drained".to_owned()));
    let failed = Event::server(&name, at, Happening::BootFailed("kaputt".to_owned()));
    counters.committed(&ledger, &[removed(), failed]);
    // One that was not draining is no drain.
    counters.committed(&Ledger::default(), &[removed()]);
    let counts = counters.counts();
    assert_eq!((counts.drains, counts.drain_ms), (1, 90_000));
    assert_eq!(counts.join_failures, 1);
    let decided = |reason: &str, count| Decided {
        action: "delete".to_owned(),
        reason: reason.to_owned(),
        count,
    };
    let expected = [
        decided("it did not come up", 1),
        decided("it is drained", 2),
    ];
    assert_eq!(counts.decided, expected);
}

#[test]
fn the_look_ahead_is_measured_where_it_knew_something() {
    let (mut ledger, _) = ledger();
    let counters = Counters::default();
    counters.committed(&ledger, &[job(100)]);
    assert_eq!(counters.counts().foretold_jobs, 0);
    ledger.apply(&job(100)).unwrap();
    counters.committed(&ledger, &[job(130)]);
    let counts = counters.counts();
    assert_eq!(
        (counts.foretold_jobs, counts.foretold_error_seconds),
        (1, 30)
    );
}

#[test]
fn reasons_are_bounded() {
    let (ledger, name) = ledger();
    let counters = Counters::default();
    for number in 0..10 * MOST_REASONS {
        let why = Happening::Removing(format!("reason {number}"));
        counters.committed(&ledger, &[Event::server(&name, NOW, why)]);
    }
    let counts = counters.counts();
    assert_eq!(counts.decided.len(), MOST_REASONS + 1);
    let all: u64 = counts.decided.iter().map(|one| one.count).sum();
    assert_eq!(all, 10 * MOST_REASONS as u64);
}
