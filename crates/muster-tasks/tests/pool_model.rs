//! Random operations on a pool: whatever comes in whatever order, the counts add up, and each job's
//! outcome is one that it can have.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::testing::{TestConfig, run};
use muster_tasks::{Ctx, Group, JobHandle, Outcome, Pool, ShrinkMode};
use proptest::prelude::*;

const TIMEOUT: u64 = 100;
const GRACE: u64 = 30;
const QUEUE: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Job {
    Quick,
    Fail,
    Panic,
    /// Takes so many milliseconds, then does this.
    Lasts(u64, bool),
    /// Ends when it is told to, and not before.
    Polite,
    /// Never ends.
    Deaf,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Try(Job),
    Submit(Job),
    Drop(Job),
    Resize(usize, bool),
    ResizeAndWait(usize, bool),
    Pass(u64),
}

fn job() -> impl Strategy<Value = Job> {
    prop_oneof![
        2 => Just(Job::Quick),
        1 => Just(Job::Fail),
        1 => Just(Job::Panic),
        3 => (1..200u64, any::<bool>()).prop_map(|(ms, panics)| Job::Lasts(ms, panics)),
        1 => Just(Job::Polite),
        1 => Just(Job::Deaf),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => job().prop_map(Op::Try),
        2 => job().prop_map(Op::Submit),
        1 => job().prop_map(Op::Drop),
        3 => (0..6usize, any::<bool>()).prop_map(|(size, cancel)| Op::Resize(size, cancel)),
        1 => (0..6usize, any::<bool>()).prop_map(|(size, cancel)| Op::ResizeAndWait(size, cancel)),
        3 => (0..150u64).prop_map(Op::Pass),
    ]
}

async fn work(job: Job, cx: Ctx) -> Result<(), ()> {
    match job {
        Job::Quick => {}
        Job::Fail => return Err(()),
        Job::Panic => panic!("as told"),
        Job::Lasts(ms, panics) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            assert!(!panics, "as told");
        }
        Job::Polite => drop(cx.cancelled().await),
        Job::Deaf => std::future::pending().await,
    }
    Ok(())
}

/// Whether a job can end like this.
fn can_be(job: Job, outcome: &Outcome<Result<(), ()>>, cancels: bool) -> bool {
    match (job, outcome) {
        (_, Outcome::Cancelled(_)) => true,
        (Job::Quick, Outcome::Done(Ok(()))) | (Job::Fail, Outcome::Done(Err(()))) => true,
        (Job::Panic, Outcome::Panicked(_)) => true,
        (Job::Lasts(ms, false), Outcome::Done(Ok(()))) => ms < TIMEOUT,
        (Job::Lasts(ms, true), Outcome::Panicked(_)) => ms <= TIMEOUT + GRACE,
        (Job::Lasts(ms, _), Outcome::TimedOut) => ms >= TIMEOUT,
        (Job::Deaf | Job::Polite, Outcome::TimedOut) => true,
        // Also the stop at the end tells it.
        (Job::Polite, Outcome::Done(Ok(()))) => true,
        (Job::Deaf | Job::Lasts(..), Outcome::Aborted) => cancels,
        _ => false,
    }
}

fn mode(cancel: bool) -> ShrinkMode {
    if cancel {
        ShrinkMode::Cancel
    } else {
        ShrinkMode::Drain
    }
}

/// What is counted against what was seen.
#[derive(Default)]
struct Seen {
    submitted: u64,
    refused: u64,
    handles: Vec<(Job, JobHandle<Result<(), ()>>)>,
}

async fn play(root: Group, ops: Vec<Op>) {
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (Arc::clone(&live), Arc::clone(&most));
    let pool: Pool<Job, Result<(), ()>> = root
        .pool("pool")
        .size(2)
        .queue(QUEUE)
        .timeout(Duration::from_millis(TIMEOUT))
        .grace(Duration::from_millis(GRACE))
        .try_worker(move |job, cx| {
            struct Live(Arc<AtomicUsize>);
            impl Drop for Live {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let live = Live(Arc::clone(&counted));
            async move {
                let _live = live;
                work(job, cx).await
            }
        })
        .unwrap();
    let mut seen = Seen::default();
    let (mut cancels, mut largest) = (false, 2);
    for op in ops {
        match op {
            Op::Try(job) => match pool.try_submit(job) {
                Ok(handle) => {
                    seen.submitted += 1;
                    seen.handles.push((job, handle));
                }
                Err(_) => seen.refused += 1,
            },
            Op::Submit(job) => {
                let submitted = pool.submit_timeout(job, Duration::from_millis(20)).await;
                if let Ok(handle) = submitted {
                    seen.submitted += 1;
                    seen.handles.push((job, handle));
                }
            }
            Op::Drop(job) => {
                if pool.try_go(job).is_ok() {
                    seen.submitted += 1;
                } else {
                    seen.refused += 1;
                }
            }
            Op::Resize(size, cancel) => {
                cancels |= cancel;
                largest = largest.max(size);
                let resized = pool.resize_with(size, mode(cancel)).unwrap();
                assert_eq!(resized.to, size);
            }
            Op::ResizeAndWait(size, cancel) => {
                cancels |= cancel;
                largest = largest.max(size);
                pool.resize_and_wait(size, mode(cancel)).await.unwrap();
                assert_eq!(pool.stats().live, size);
            }
            Op::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        let stats = pool.stats();
        let ended = stats.done + stats.panicked + stats.timed_out + stats.aborted;
        assert_eq!(stats.submitted, seen.submitted, "after {op:?}: {stats:?}");
        assert_eq!(stats.refused, seen.refused, "after {op:?}: {stats:?}");
        assert_eq!(
            seen.submitted,
            ended + (stats.queued + stats.busy) as u64,
            "after {op:?}: {stats:?}"
        );
        assert!(stats.live >= stats.target, "after {op:?}: {stats:?}");
        assert_eq!(
            live.load(Ordering::SeqCst),
            stats.busy,
            "after {op:?}: {stats:?}"
        );
        // Each worker that was woken for a job may leave without it.
        assert!(
            stats.queued <= QUEUE + 2 * largest,
            "after {op:?}: {stats:?}"
        );
    }
    // Whoever was told to leave does, within the time of a job.
    tokio::time::sleep(Duration::from_millis(TIMEOUT + GRACE + 1)).await;
    assert_eq!(pool.stats().live, pool.stats().target);
    let report = pool.stop().await;
    assert!(report.is_clean(), "{report}");
    let mut counts = [0; 5];
    for (job, handle) in seen.handles {
        let outcome = handle.await;
        assert!(can_be(job, &outcome, cancels), "{job:?} {outcome:?}");
        let kind = match outcome {
            Outcome::Done(_) => 0,
            Outcome::Panicked(_) => 1,
            Outcome::TimedOut => 2,
            Outcome::Aborted => 3,
            Outcome::Cancelled(_) => 4,
        };
        counts[kind] += 1;
    }
    let stats = pool.stats();
    let told = [
        stats.done,
        stats.panicked,
        stats.timed_out,
        stats.aborted,
        stats.not_started,
    ];
    assert_eq!(told.iter().sum::<u64>(), stats.submitted);
    assert!(
        told.iter().zip(counts).all(|(told, seen)| *told >= seen),
        "{told:?} {counts:?}"
    );
    assert_eq!((stats.live, stats.busy, stats.queued), (0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn counts_add_up(ops in prop::collection::vec(op(), 1..60)) {
        let config = TestConfig {
            name: "model",
            multi_thread: false,
            worker_threads: None,
            start_paused: true,
        };
        run(config, |root| play(root, ops), |()| false);
    }
}
