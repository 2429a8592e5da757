//! Pools: jobs, results, room in the queue, size, stop.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::{
    Cause, Ctx, Group, OnStop, Outcome, Pool, PoolStats, ShrinkMode, StopOptions, SubmitError,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// What holds at every moment.
fn adds_up(stats: &PoolStats) {
    let ended = stats.done + stats.panicked + stats.timed_out + stats.aborted + stats.not_started;
    assert_eq!(
        stats.submitted,
        ended + (stats.queued + stats.busy) as u64,
        "{stats:?}"
    );
    assert_eq!(stats.live, stats.busy + stats.idle, "{stats:?}");
    assert_eq!(stats.run.count(), ended - stats.not_started, "{stats:?}");
    assert_eq!(
        stats.wait.count(),
        stats.run.count() + stats.busy as u64,
        "{stats:?}"
    );
}

/// A pool whose jobs each wait for a permit, and how many run.
fn gated(root: &Group, size: usize, queue: usize) -> (Pool<u32, u32>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let of_jobs = Arc::clone(&gate);
    let pool = root.pool("pool").size(size).queue(queue);
    let pool = pool.worker(move |n: u32, _cx| {
        let gate = Arc::clone(&of_jobs);
        async move {
            gate.acquire().await.unwrap().forget();
            n
        }
    });
    (pool.unwrap(), gate)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[muster_tasks::test(start_paused = true)]
async fn results_errors_and_panics(root: Group) {
    let pool = root
        .pool("pool")
        .size(2)
        .try_worker(|n: u32, _cx| async move {
            assert_ne!(n, 3, "three");
            if n == 2 { Err("two") } else { Ok(n) }
        });
    let pool = pool.unwrap();
    assert_eq!(pool.submit(1).await.unwrap().await.done(), Some(Ok(1)));
    assert_eq!(pool.submit(2).await.unwrap().await.done(), Some(Err("two")));
    let Outcome::Panicked(info) = pool.submit(3).await.unwrap().await else {
        panic!("it did not panic");
    };
    assert!(info.message.contains("three") && info.location.is_some());
    drop(pool.submit(4).await.unwrap());
    pool.go(5).await.unwrap();
    pool.wait().await;
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!(
        (stats.done, stats.failed, stats.panicked, stats.live),
        (4, 1, 1, 2)
    );
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn a_panic_anywhere_in_a_job_costs_no_worker(root: Group) {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "in a destructor");
        }
    }
    let pool = root.pool("pool").size(1).worker(|how: u32, _cx| {
        assert_ne!(how, 0, "in the closure");
        async move {
            assert_ne!(how, 1, "in the future");
            let bomb = (how == 2).then(|| Bomb);
            tokio::task::yield_now().await;
            (bomb, how)
        }
    });
    let pool = pool.unwrap();
    for how in 0..2 {
        let outcome = pool.submit(how).await.unwrap().await;
        assert!(matches!(outcome, Outcome::Panicked(_)), "{how}");
    }
    // A value whose destructor panics, which nobody takes.
    drop(pool.submit(2).await.unwrap());
    pool.go(2).await.unwrap();
    assert_eq!(pool.submit(3).await.unwrap().await.done().unwrap().1, 3);
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!((stats.panicked, stats.done, stats.live), (2, 3, 1));
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn the_queue_is_bounded_and_fair(root: Group) {
    let (pool, gate) = gated(&root, 1, 2);
    // One for the worker that has not looked yet, two for the queue.
    let jobs: Vec<_> = (0..3).map(|n| pool.try_submit(n).unwrap()).collect();
    let refused = pool.try_submit(9).unwrap_err();
    assert!(matches!(refused, SubmitError::Full(9)), "{refused:?}");
    let late = pool.submit_timeout(9, SECOND).await.unwrap_err();
    assert!(matches!(
        late,
        SubmitError::TimedOut {
            job: 9,
            after: SECOND
        }
    ));
    assert_eq!(pool.stats().waiting, 0);

    let in_line: Vec<_> = (3..6)
        .map(|n| {
            let pool = pool.clone();
            root.spawn("submitter", async move {
                pool.submit(n).await.unwrap().await.done()
            })
            .unwrap()
        })
        .collect();
    settle().await;
    assert_eq!(pool.stats().waiting, 3);
    in_line[1].cancel();
    settle().await;
    assert_eq!(pool.stats().waiting, 2);
    // Those who wait come first.
    assert!(pool.try_submit(9).is_err());
    gate.add_permits(3);
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.await.done(), Some(n as u32));
    }
    gate.add_permits(2);
    let mut told = Vec::new();
    for submitter in in_line {
        told.push(submitter.join().await.done().flatten());
    }
    assert_eq!(told, [Some(3), None, Some(5)]);
    adds_up(&pool.stats());
    assert_eq!((pool.stats().submitted, pool.stats().refused), (5, 2));
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn idle_workers_are_room_too(root: Group) {
    let (pool, gate) = gated(&root, 4, 1);
    settle().await;
    let jobs: Vec<_> = (0..5).map(|n| pool.try_submit(n).unwrap()).collect();
    assert!(pool.try_submit(5).is_err());
    settle().await;
    assert_eq!((pool.stats().busy, pool.stats().queued), (4, 1));
    gate.add_permits(5);
    for job in jobs {
        assert!(job.await.is_done());
    }
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn it_is_resized_under_load(root: Group) {
    let (pool, gate) = gated(&root, 1, 1000);
    for n in 0..200 {
        pool.go(n).await.unwrap();
    }
    for (size, done) in [(1, 3), (64, 40), (0, 64), (8, 10), (3, 0), (5, 20)] {
        pool.resize(size).unwrap();
        settle().await;
        gate.add_permits(done);
        settle().await;
        adds_up(&pool.stats());
    }
    gate.add_permits(1000);
    pool.wait().await;
    let stats = pool.stats();
    assert_eq!((stats.done, stats.live, stats.target), (200, 5, 5));
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn zero_is_a_pause(root: Group) {
    let (pool, gate) = gated(&root, 0, 10);
    gate.add_permits(1);
    let job = pool.submit(1).await.unwrap();
    settle().await;
    assert_eq!((pool.stats().queued, pool.stats().live), (1, 0));
    assert_eq!(pool.resize(1).unwrap().started, 1);
    assert_eq!(job.await.done(), Some(1));
    let resized = pool.resize_and_wait(0, ShrinkMode::Drain).await.unwrap();
    assert_eq!((resized.from, resized.to, pool.stats().live), (1, 0, 0));
    // Stopped while it pauses: what is queued will not be run, and that is said at once.
    let job = pool.submit(2).await.unwrap();
    let begin = Instant::now();
    let report = pool.stop().await;
    assert_eq!((report.not_started, begin.elapsed()), (1, Duration::ZERO));
    assert!(matches!(job.await, Outcome::Cancelled(Cause::Stop)));
    adds_up(&pool.stats());
}

#[muster_tasks::test(start_paused = true)]
async fn shrinking_drains_or_cancels(root: Group) {
    let pool = root.pool("pool").size(3).grace(SECOND);
    let pool = pool.worker(|polite: bool, cx: Ctx| async move {
        if polite {
            cx.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    });
    let pool = pool.unwrap();
    let mut jobs = Vec::new();
    for polite in [false, false, true] {
        jobs.push(pool.submit(polite).await.unwrap());
        settle().await;
    }
    assert_eq!(pool.resize(1).unwrap().leaving, 2);
    // Growing keeps those that have not left yet.
    let resized = pool.resize(2).unwrap();
    assert_eq!((resized.started, resized.leaving), (0, 1));
    // The latest jobs are ended: the polite one by itself, the other after the grace period.
    let begin = Instant::now();
    let resized = pool.resize_and_wait(1, ShrinkMode::Cancel).await.unwrap();
    assert_eq!((resized.leaving, begin.elapsed().as_secs()), (2, 1));
    assert!(jobs.pop().unwrap().await.is_done());
    assert!(matches!(jobs.pop().unwrap().await, Outcome::Aborted));
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!((stats.live, stats.busy, stats.aborted), (1, 1, 1));
    pool.resize_and_wait(0, ShrinkMode::Cancel).await.unwrap();
    assert_eq!(pool.stats().aborted, 2);
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn a_job_past_its_time_is_ended(root: Group) {
    let pool = root.pool("pool").size(1).timeout(SECOND * 3).grace(SECOND);
    let pool = pool.worker(|deaf: bool, cx: Ctx| async move {
        cx.go_cx("helper", |_cx| std::future::pending::<()>())
            .unwrap();
        if deaf {
            std::future::pending::<()>().await;
        }
        assert_eq!(cx.cancelled().await, Cause::Timeout(SECOND * 3));
    });
    let pool = pool.unwrap();
    for (deaf, seconds) in [(false, 4), (true, 5)] {
        let begin = Instant::now();
        let outcome = pool.submit(deaf).await.unwrap().await;
        assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
        assert_eq!(begin.elapsed().as_secs(), seconds);
    }
    // Helpers end with their job, and the worker goes on.
    assert_eq!(pool.group().count(), 2, "{}", root.render_tree());
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!((stats.timed_out, stats.done), (2, 0));
    assert_eq!(stats.run.max().as_secs(), 5);
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn stop_drains_within_the_grace_period(root: Group) {
    let pool = root.pool("pool").size(2).grace(SECOND * 5);
    let pool = pool.worker(|(), _cx| tokio::time::sleep(SECOND)).unwrap();
    for _ in 0..30 {
        pool.go(()).await.unwrap();
    }
    settle().await;
    let report = pool.stop().await;
    // Five seconds of two workers; the jobs that still run are finished in the second after.
    assert!((18..=20).contains(&report.not_started), "{report}");
    assert!(
        report.is_clean() && report.workers.elapsed <= SECOND * 7,
        "{report}"
    );
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!(stats.done + stats.aborted + report.not_started, 30);
    assert!(pool.submit(()).await.unwrap_err().is_closed());
}

#[muster_tasks::test(start_paused = true)]
async fn a_stop_from_above_drains_or_discards(root: Group) {
    for (on_stop, done, not_started) in [(OnStop::Drain, 10, 0), (OnStop::Discard, 1, 9)] {
        let above = root.builder("above").grace(SECOND * 60).build();
        let pool = above.pool("pool").size(1).on_stop(on_stop);
        let pool = pool.worker(|(), _cx| tokio::time::sleep(SECOND)).unwrap();
        let jobs: Vec<_> = (0..10).map(|_| pool.try_submit(()).unwrap()).collect();
        settle().await;
        assert!(above.stop().await.is_clean());
        let mut ran = 0;
        for job in jobs {
            match job.await {
                Outcome::Done(()) => ran += 1,
                outcome => assert!(
                    matches!(outcome, Outcome::Cancelled(Cause::Stop)),
                    "{outcome:?}"
                ),
            }
        }
        let stats = pool.stats();
        adds_up(&stats);
        assert_eq!(
            (ran, stats.done, stats.not_started),
            (done, done, not_started),
            "{on_stop:?}"
        );
    }
}

#[muster_tasks::test(start_paused = true)]
async fn nothing_is_lost_silently_when_it_is_aborted(root: Group) {
    let above = root.group("above");
    let pool = above
        .pool("pool")
        .size(2)
        .worker(|(), _cx| std::future::pending::<()>());
    let pool = pool.unwrap();
    let jobs: Vec<_> = (0..10).map(|_| pool.try_submit(()).unwrap()).collect();
    settle().await;
    let report = above.stop_with(StopOptions::grace(SECOND)).await;
    assert_eq!((report.is_clean(), report.aborted), (true, 3), "{report}");
    let mut aborted = 0;
    for job in jobs {
        aborted += usize::from(matches!(job.await, Outcome::Aborted));
    }
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!((aborted, stats.aborted, stats.not_started), (2, 2, 8));
}

#[muster_tasks::test(start_paused = true)]
async fn dropping_the_last_handle_ends_it(root: Group) {
    let (pool, _gate) = gated(&root, 1, 10);
    let jobs: Vec<_> = (0..3).map(|n| pool.try_submit(n).unwrap()).collect();
    settle().await;
    drop(pool);
    let mut outcomes = Vec::new();
    for job in jobs {
        outcomes.push(job.await);
    }
    assert!(matches!(outcomes[0], Outcome::Aborted), "{outcomes:?}");
    assert!(
        matches!(outcomes[1], Outcome::Cancelled(Cause::Dropped)),
        "{outcomes:?}"
    );
    root.wait().await;
}

#[muster_tasks::test(start_paused = true)]
async fn close_runs_what_is_queued_and_ends(root: Group) {
    let (pool, gate) = gated(&root, 1, 1);
    let jobs: Vec<_> = (0..2).map(|n| pool.try_submit(n).unwrap()).collect();
    let waiting = {
        let pool = pool.clone();
        root.spawn("submitter", async move { pool.submit(7).await.map(drop) })
            .unwrap()
    };
    settle().await;
    pool.close();
    assert_eq!(
        waiting.join().await.done().unwrap().unwrap_err().into_job(),
        7
    );
    gate.add_permits(2);
    for job in jobs {
        assert!(job.await.is_done());
    }
    root.wait().await;
    assert_eq!(pool.stats().live, 0);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_jobs_at_once_than_workers(root: Group) {
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (Arc::clone(&live), Arc::clone(&most));
    let pool = root
        .pool("pool")
        .size(3)
        .queue(8)
        .worker(move |_: u32, _cx| {
            let (live, most) = (Arc::clone(&counted), Arc::clone(&peak));
            async move {
                most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                live.fetch_sub(1, Ordering::SeqCst);
            }
        });
    let pool = pool.unwrap();
    let submitters: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            root.spawn("submitter", async move {
                for n in 0..2000 {
                    pool.go(n).await.unwrap();
                }
            })
            .unwrap()
        })
        .collect();
    for submitter in submitters {
        assert!(submitter.join().await.is_done());
    }
    pool.wait().await;
    let stats = pool.stats();
    adds_up(&stats);
    assert_eq!(stats.done, 8000);
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(pool.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn idle_workers_say_so(root: Group) {
    let (pool, gate) = gated(&root, 1, 1);
    settle().await;
    assert!(root.render_tree().contains("worker") && root.render_tree().contains("\"idle\""));
    pool.go(1).await.unwrap();
    settle().await;
    assert!(
        !root.render_tree().contains("\"idle\""),
        "{}",
        root.render_tree()
    );
    gate.add_permits(1);
    assert!(pool.stop().await.is_clean());
}
