//! How long a decision takes. Nothing is asserted: `cargo test --release -- --ignored speed --nocapture`.

use std::time::Instant;

use muster_scaler_core::{Event, Job, JobRun, JobState, Ledger, Pipeline, Reading, decide};

use super::scene::{POOL, START, config, host, jobs, observation, seconds, step};

#[test]
#[ignore = "prints how long it takes"]
fn speed_of_a_decision_over_1000_hosts_and_10000_jobs() {
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
    let hosts = (0..1000).map(|n| host(&format!("ci{n}.example.com:9252"), 4, 4, now));
    let mut seen = observation(hosts.collect(), jobs(6000, 4000), now);
    let pipelines = (0..1000).map(|id| Pipeline {
        id,
        project: id % 20,
        jobs: (0..10).map(|number| job(id, number)).collect(),
    });
    seen.pools.get_mut(POOL).unwrap().pipelines = Reading::known(pipelines.collect(), now);
    step(&config, &seen, &mut ledger, now);
    let count = 100u32;
    let begin = Instant::now();
    for _ in 0..count {
        std::hint::black_box(decide(&config, &seen, &ledger, now));
    }
    println!("a decision took {:?}", begin.elapsed() / count);
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
