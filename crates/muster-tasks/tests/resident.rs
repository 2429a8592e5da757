//! Periodic jobs: ticks, overlap, timeouts, panics, helpers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::{Cause, Ctx, Group, Overlap, ResidentOptions};
use parking_lot::Mutex;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> ResidentOptions {
    ResidentOptions::default()
}

/// Runs a job for a while and gives the seconds at which its runs began.
async fn starts(root: &Group, options: ResidentOptions, run: Duration, total: u64) -> Vec<u64> {
    let begin = Instant::now();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let job = root
        .every("job", SECOND, options, move |_cx| {
            noted.lock().push(begin.elapsed().as_secs());
            tokio::time::sleep(run)
        })
        .unwrap();
    tokio::time::sleep(Duration::from_secs(total) + SECOND / 2).await;
    assert!(job.stop().await.is_done());
    Arc::into_inner(starts)
        .map(Mutex::into_inner)
        .unwrap_or_default()
}

#[muster_tasks::test(start_paused = true)]
async fn ticks_and_overlap(root: Group) {
    let brief = Duration::from_millis(100);
    let long = Duration::from_millis(2500);
    assert_eq!(starts(&root, options(), brief, 3).await, [0, 1, 2, 3]);
    let later = ResidentOptions {
        immediate: false,
        ..options()
    };
    assert_eq!(starts(&root, later, brief, 3).await, [1, 2, 3]);
    assert_eq!(starts(&root, options(), long, 7).await, [0, 3, 6]);
    let queue = ResidentOptions {
        overlap: Overlap::Queue,
        ..options()
    };
    assert_eq!(starts(&root, queue, long, 8).await, [0, 2, 5, 7]);
    let two = ResidentOptions {
        max_concurrent: 2,
        ..options()
    };
    assert_eq!(starts(&root, two, long, 7).await, [0, 1, 3, 4, 6, 7]);
    let three_runs = ResidentOptions {
        max_runs: Some(3),
        ..options()
    };
    assert_eq!(starts(&root, three_runs, brief, 9).await, [0, 1, 2]);
}

#[muster_tasks::test(start_paused = true)]
async fn replace_cancels_the_old_run_first(root: Group) {
    let live = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&live);
    let options = ResidentOptions {
        overlap: Overlap::Replace,
        ..options()
    };
    let job = root
        .every("job", SECOND, options, move |cx: Ctx| {
            let live = Arc::clone(&counted);
            async move {
                assert_eq!(live.fetch_add(1, Ordering::SeqCst), 0, "two runs at once");
                assert_eq!(cx.cancelled().await, Cause::Replaced);
                live.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .unwrap();
    tokio::time::sleep(SECOND * 7 / 2).await;
    let stats = job.stats();
    assert_eq!(
        (stats.runs, stats.replaced, stats.panicked, stats.live),
        (4, 3, 0, 1)
    );
    job.cancel();
    let _ = job.join().await;
}

#[muster_tasks::test(start_paused = true)]
async fn a_run_past_its_time_is_ended_before_the_next(root: Group) {
    let group = root.builder("g").grace(SECOND).build();
    let begin = Instant::now();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let options = ResidentOptions {
        timeout: Some(SECOND * 2),
        ..options()
    };
    let job = group
        .every("deaf", SECOND, options, move |cx: Ctx| {
            noted
                .lock()
                .push(begin.elapsed().as_secs_f64().round() as u64);
            async move {
                cx.go_cx("helper", |_cx| std::future::pending::<()>())
                    .unwrap();
                std::future::pending::<()>().await;
            }
        })
        .unwrap();
    tokio::time::sleep(SECOND * 9).await;
    // Two seconds of time, one of grace, then aborted with its helper; the next tick is free.
    let starts = starts.lock().clone();
    assert!(
        starts
            .windows(2)
            .all(|pair| (3..=4).contains(&(pair[1] - pair[0]))),
        "{starts:?}"
    );
    assert!(job.stats().timed_out >= 2, "{:?}", job.stats());
    assert_eq!(job.stats().done, 0);
    assert!(
        group.count() <= 3,
        "driver, run, helper: {}",
        group.render_tree()
    );
    let _ = job.stop().await;
    assert_eq!(group.count(), 0, "{}", group.render_tree());
}

#[muster_tasks::test(start_paused = true)]
async fn panics_are_counted_and_the_job_goes_on(root: Group) {
    let mut runs = 0;
    let options = ResidentOptions {
        max_runs: Some(4),
        ..options()
    };
    let job = root
        .every("job", SECOND, options, move |_cx| {
            runs += 1;
            assert!(runs != 2, "in the factory");
            let bad = runs == 3;
            async move { assert!(!bad, "in the run") }
        })
        .unwrap();
    root.wait().await;
    let stats = job.stats();
    assert_eq!((stats.runs, stats.done, stats.panicked), (4, 2, 2));
    assert!(job.is_finished());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_run_keeps_its_place_and_is_reported(root: Group) {
    let group = root.builder("g").grace(Duration::from_millis(5)).build();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let options = ResidentOptions {
        timeout: Some(Duration::from_millis(5)),
        ..options()
    };
    let job = group
        .every("job", Duration::from_millis(10), options, move |_cx| {
            let wait = Arc::clone(&wait);
            async move { while wait.lock().recv().is_ok() {} }
        })
        .unwrap();
    while job.stats().stuck == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stats = job.stats();
    assert_eq!((stats.runs, stats.live, stats.timed_out), (1, 1, 1));
    assert!(stats.skipped > 0);
    drop(release);
    while job.stats().runs < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(job.stats().stuck, 0);
    let _ = job.stop().await;
}

#[muster_tasks::test(start_paused = true)]
async fn a_trigger_makes_a_run_due_now(root: Group) {
    let options = ResidentOptions {
        immediate: false,
        ..options()
    };
    let job = root
        .every("job", SECOND * 3600, options, |_cx| async {})
        .unwrap();
    tokio::time::sleep(SECOND).await;
    job.trigger();
    tokio::time::sleep(SECOND).await;
    assert_eq!(job.stats().runs, 1);
    let _ = job.stop().await;
}

#[muster_tasks::test(start_paused = true)]
async fn jitter_delays_within_its_bound(root: Group) {
    let begin = Instant::now();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&delays);
    let options = ResidentOptions {
        jitter: SECOND / 2,
        max_runs: Some(50),
        ..options()
    };
    root.every("job", SECOND, options, move |_cx| {
        noted.lock().push(begin.elapsed().as_millis() % 1000);
        async {}
    })
    .unwrap();
    root.wait().await;
    let delays = delays.lock().clone();
    assert!(delays.iter().all(|delay| *delay <= 501), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
}
