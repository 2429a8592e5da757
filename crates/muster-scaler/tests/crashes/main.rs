//! The scaler is killed between any two of its effects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod killed;
mod worlds;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use muster_scaler::Records;
use muster_scaler::testing::{ModelCloud, Outcome, Trial, TrialOptions};
use muster_scaler_core::config::Mode;
use muster_scaler_core::{Time, decide};
use muster_tasks::Group;

/// So often the scaler is killed with one seed.
const CRASHES: u32 = 25;

/// How often it is killed with all of them.
fn crashes_of(seeds: std::ops::Range<u64>) -> u32 {
    u32::try_from(seeds.count()).unwrap() * CRASHES
}

/// The seeds to play with: `LIVES` of them, or so many if that is not set, from `SEED` on.
fn seeds(lives: u64) -> std::ops::Range<u64> {
    let number = |name, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (first, lives) = (number("SEED", 0), number("LIVES", lives));
    first..first + lives
}

/// The lives of the scaler before the model provider.
const LIVES: u64 = 40;

/// A directory for a scaler's state; in memory where that is possible: here no power fails, and waiting
/// for the disk would take most of the time.
fn state() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

async fn play(group: &Group, seed: u64, crashes: u32, mode: Mode) -> Outcome {
    let state = state();
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let ground = ModelCloud::new(Arc::clone(&now), seed);
    let options = TrialOptions {
        seed,
        crashes,
        timeout: Duration::from_millis(50),
        state: state.path().to_owned(),
        mode,
    };
    let outcome = Trial::new(ground, now, options).play(group).await;
    if !outcome.violations.is_empty() {
        // What led there is in its records.
        println!(
            "seed {seed}: the state is kept in {}",
            state.keep().display()
        );
    }
    outcome
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_crashes_leave_nothing_behind(group: Group) {
    let (mut crashes, mut asked, mut done) = (0, 0, 0);
    let mut bad = Vec::new();
    for seed in seeds(LIVES) {
        let outcome = play(&group, seed, CRASHES, Mode::On).await;
        crashes += outcome.crashes;
        asked += outcome.asked;
        done += outcome.done;
        for violation in outcome.violations {
            bad.push(format!("seed {seed}: {violation}"));
        }
    }
    println!("{crashes} crashes, {asked} servers asked for, {done} jobs done");
    assert_eq!(bad, Vec::<String>::new(), "{} violations", bad.len());
    assert_eq!(crashes, crashes_of(seeds(LIVES)));
    assert!(asked > 0 && done > 0);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_nothing_that_changes_anything(group: Group) {
    let state = state();
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let ground = ModelCloud::new(Arc::clone(&now), 7);
    let options = TrialOptions {
        seed: 7,
        crashes: 5,
        timeout: Duration::from_millis(50),
        state: state.path().to_owned(),
        mode: Mode::DryRun,
    };
    let trial = Trial::new(ground, now, options);
    let gitlab = Arc::clone(trial.gitlab());
    let outcome = trial.play(&group).await;
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!((outcome.asked, gitlab.changes()), (0, 0));
    let records = Records::open(state.path(), Time::default()).unwrap();
    let wanted = records.map(|recorded| recorded.unwrap().decision.wanted.len());
    assert!(
        wanted.sum::<usize>() > 0,
        "nothing was wanted, so nothing is shown"
    );
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_life_with_crashes_replay_bit_by_bit(group: Group) {
    let state = state();
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let ground = ModelCloud::new(Arc::clone(&now), 3);
    let options = TrialOptions {
        seed: 3,
        crashes: 20,
        timeout: Duration::from_millis(50),
        state: state.path().to_owned(),
        mode: Mode::On,
    };
    let outcome = Trial::new(ground, now, options).play(&group).await;
    assert_eq!(outcome.violations, Vec::<String>::new());
    let mut decisions = 0;
    let mut records = Records::open(state.path(), Time::default()).unwrap();
    for recorded in records.by_ref() {
        let recorded = recorded.unwrap();
        assert_eq!(recorded.again(decide), recorded.decision);
        decisions += 1;
    }
    assert_eq!(records.skipped(), 0);
    assert!(decisions > 100, "{decisions}");
}
