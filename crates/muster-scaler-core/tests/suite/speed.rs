//! How long a decision takes, and that it grows no faster than what is decided over. With figures:
//! `cargo test --release -p muster-scaler-core speed -- --nocapture`.

use std::time::{Duration, Instant};

use muster_scaler_core::{Event, Job, JobRun, JobState, Ledger, Pipeline, Reading, decide};

use super::scene::{POOL, START, config, host, jobs, observation, seconds, step};

#[test]
fn speed_grows_no_faster_than_the_fleet() {
    let (small, large) = (decision(100), decision(1000));
    println!(
        "a decision over 100 hosts and 1,000 jobs took {small:?}, ten times as many {large:?}"
    );
    assert!(large < small * 50, "{small:?} {large:?}");
}

/// The shortest time of some decisions over so many hosts and ten times as many jobs.
fn decision(hosts: u64) -> Duration {
    let config = config();
    let mut ledger = Ledger::default();
    let now = START;
    let runs = (0..200).map(|name| JobRun {
        project: name % 20,
        name: format!("job-{name}"),
        seconds: 100,
    });
    let runs = runs.collect();
    ledger.apply(&Event::JobsRan { at: now, runs }).unwrap();
    let fleet = (0..hosts).map(|n| host(&format!("ci{n}.example.com:9252"), 4, 4, now));
    let waiting = u32::try_from(hosts * 6).unwrap();
    let running = u32::try_from(hosts * 4).unwrap();
    let mut seen = observation(fleet.collect(), jobs(waiting, running), now);
    let pipelines = (0..hosts).map(|id| Pipeline {
        id,
        project: id % 20,
        jobs: (0..10).map(|number| job(id, number)).collect(),
    });
    seen.pools.get_mut(POOL).unwrap().pipelines = Reading::known(pipelines.collect(), now);
    step(&config, &seen, &mut ledger, now);
    let once = |_| {
        let begin = Instant::now();
        std::hint::black_box(decide(&config, &seen, &ledger, now));
        begin.elapsed()
    };
    (0..20).map(once).min().unwrap()
}

fn job(pipeline: u64, number: u64) -> Job {
    Job {
        id: pipeline * 10 + number,
        name: format!("job-{}", (number * 20 + pipeline % 20) % 200),
        stage: u32::try_from(number / 4).unwrap(),
        pool: Some(POOL.to_owned()),
        state: match number {
            0..4 => JobState::Running(START - seconds(50)),
            _ => JobState::Created,
        },
        needs: (number == 9).then(|| vec![pipeline * 10]),
    }
}
