//! Runs a load through the world under a policy.

use crate::load::Load;
use crate::measure::{Measured, Wait};
use crate::policy::Policy;
use crate::state::{Happens, State};
use crate::world::World;

const HOUR: f64 = 3_600_000.0;
const DAY: i64 = 86_400_000;

/// Runs a load through the world under a policy; the same arguments give the same figures.
///
/// It ends at the first midnight by which all jobs are over, at the latest two days after that of the last
/// pipeline; jobs that are not over then are in [`Measured::jobs`] and not in
/// [`Measured::finished`]. Cost: about a microsecond an event, and what the policy's decisions cost.
pub fn simulate(load: &Load, world: &World, policy: &mut dyn Policy, seed: u64) -> Measured {
    let mut state = State::new(world, load, seed);
    let midnight = state.midnight;
    let jobs = state.unfinished;
    let last = load.span().map_or(midnight, |(_, last)| last.millis());
    let horizon = last - last.rem_euclid(DAY) + DAY;
    let tick = i64::from(policy.tick_seconds().max(1)) * 1000;
    let scrape = i64::from(world.scrape_seconds.max(1)) * 1000;
    if policy.watches_metrics() {
        state.queue.add(midnight, Happens::Scrape);
    }
    let mut decisions = 0;
    let mut next = midnight;
    loop {
        while let Some((at, event)) = state.queue.take_until(next) {
            state.now = at;
            happen(&mut state, event, scrape);
        }
        state.now = next;
        if next >= horizon + 2 * DAY || (next >= horizon && state.unfinished == 0) {
            break;
        }
        policy.tick(&mut state.desk());
        decisions += 1;
        state.changes.clear();
        state.answers.clear();
        next += tick;
        if next > horizon && state.unfinished == 0 {
            next = next.min(horizon.max(state.now));
        }
    }
    measure(state, seed, jobs, decisions)
}

fn happen(state: &mut State<'_>, event: Happens, scrape: i64) {
    match event {
        Happens::Arrives(pipeline) => state.arrive(pipeline),
        Happens::Ends(job) => state.end(job),
        Happens::Answered(server) => state.answered(server),
        Happens::Up(server) => state.up(server),
        Happens::Gone(server) => state.gone(server),
        Happens::Paused(host, turns) => state.paused(host, turns),
        Happens::Silent(host, turns) => state.silent(host, turns),
        Happens::Unpaused(host, turns) => state.unpaused(host, turns),
        Happens::Scrape => {
            state.scrape();
            state.queue.add(state.now + scrape, Happens::Scrape);
        }
    }
}

fn measure(mut state: State<'_>, seed: u64, jobs: u64, decisions: u64) -> Measured {
    let mut measured = Measured {
        seed,
        days: (state.now - state.midnight) as f64 / DAY as f64,
        jobs,
        decisions,
        ..Measured::default()
    };
    for server in state.servers.iter().filter(|server| server.exists) {
        let end = server.gone.unwrap_or(state.now);
        let millis = (end - server.asked).max(0) as f64;
        let pool = state.pool(server.pool);
        measured.server_hours += millis / HOUR;
        for (billed, quantum) in measured.billed_hours.iter_mut().zip([1.0, 60.0, 3600.0]) {
            *billed += quanta(millis, quantum);
        }
        measured.money +=
            quanta(millis, f64::from(pool.quantum_seconds.max(1))) * pool.price_per_hour;
        if server.up.is_none() {
            measured.orphan_hours += millis / HOUR;
        }
    }
    let counts = &mut state.counts;
    measured.wait = Wait::of(&mut counts.waits);
    measured.finished = counts.finished;
    measured.killed = counts.killed;
    measured.job_hours = counts.ran_millis as f64 / HOUR;
    measured.creates = counts.creates;
    measured.flaps = counts.flaps;
    measured.refused = counts.refused;
    measured.peak = counts.peak;
    measured.scale_ins = counts.scale_ins;
    measured.scale_ins_in_fault = counts.scale_ins_in_fault;
    measured.taken_back = counts.taken_back;
    measured.raced = counts.raced;
    measured
}

/// The hours of whole quanta of so many seconds.
fn quanta(millis: f64, quantum: f64) -> f64 {
    (millis / 1000.0 / quantum).ceil() * quantum / 3600.0
}
