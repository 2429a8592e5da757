//! An hour of it, on a paused clock.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use muster_tasks::{Group, LeakMonitor, LeakMonitorOptions};
use resident::{AT_ONCE, JOBS, Job, Residents, TIMEOUT};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// Looks ten times a second for an hour. Returns the fewest and the most tasks, and the most runs at once.
async fn watch(root: &Group, residents: &Residents) -> (usize, usize, usize) {
    let (mut fewest, mut most, mut at_once) = (usize::MAX, 0, 0);
    // Between two whole seconds nothing begins or ends.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begin = Instant::now();
    while begin.elapsed() < HOUR {
        fewest = fewest.min(root.count());
        most = most.max(root.count());
        at_once = at_once.max(residents.stats().busy);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (fewest, most, at_once)
}

#[muster_tasks::test(start_paused = true)]
async fn the_task_count_is_level(root: Group) {
    let monitor = LeakMonitor::start(&root, LeakMonitorOptions::default()).unwrap();
    let residents = Residents::start(&root, &JOBS).unwrap();
    let (fewest, most, at_once) = watch(&root, &residents).await;
    // The monitor, the pool's keeper, its workers, the two jobs, and a run of each.
    let all = 1 + 1 + AT_ONCE + 2 + 2;
    assert_eq!((fewest, most, at_once), (all, all, AT_ONCE));
    let stats = residents.stats();
    assert_eq!(
        (stats.panicked, stats.aborted, stats.not_started),
        (0, 0, 0)
    );
    // The slow one takes all the time that it may, the quick one the second that it needs.
    assert_eq!((stats.timed_out, stats.done), (1200, 3600));
    assert!(stats.run.quantile(1.0) < TIMEOUT + Duration::from_secs(1));
    assert!(monitor.findings().is_empty(), "{:?}", monitor.findings());
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn more_jobs_than_workers_take_turns(root: Group) {
    let jobs: Vec<Job> = JOBS.into_iter().cycle().take(7).collect();
    let residents = Residents::start(&root, &jobs).unwrap();
    let (_, most, at_once) = watch(&root, &residents).await;
    assert_eq!(at_once, AT_ONCE);
    assert!(most <= 1 + AT_ONCE + 7 + 7, "{}", root.render_tree());
    let stats = residents.stats();
    // In turns: four that take three seconds, three that take one, on two workers.
    let rounds = HOUR.as_secs() * AT_ONCE as u64 / (4 * 3 + 3);
    let near = |runs: u64, expected: u64| runs.abs_diff(expected) <= expected / 20;
    assert!(near(stats.timed_out, rounds * 4), "{}", stats.timed_out);
    assert!(near(stats.done, rounds * 3), "{}", stats.done);
    assert!(root.stop().await.is_clean());
}
