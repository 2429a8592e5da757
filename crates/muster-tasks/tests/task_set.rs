//! Result policies: what they wait for, what they give, and that the rest is gone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::{Fault, Group, NotDone, Outcome, TaskSet};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

type Set = TaskSet<Result<u64, &'static str>>;

/// Tasks that take so many seconds and then give this.
fn set(root: &Group, tasks: &[(u64, Result<u64, &'static str>)]) -> Set {
    let mut set = root.task_set("set");
    for (seconds, result) in tasks.iter().copied() {
        let work = async move {
            tokio::time::sleep(SECOND * seconds as u32).await;
            result
        };
        set.spawn(format!("after-{seconds}"), work).unwrap();
    }
    set
}

#[muster_tasks::test(start_paused = true)]
async fn all_ok(root: Group) {
    let begin = Instant::now();
    let values = set(&root, &[(3, Ok(1)), (1, Ok(2)), (2, Ok(3))])
        .all_ok()
        .await
        .unwrap();
    assert_eq!((values, begin.elapsed().as_secs()), (vec![1, 2, 3], 3));

    let begin = Instant::now();
    let error = set(&root, &[(1, Ok(1)), (9, Ok(2)), (2, Err("bad"))])
        .all_ok()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "task `after-2`: bad");
    assert!(matches!(error.first, Some((2, _, Fault::Error("bad")))));
    assert_eq!((error.values, begin.elapsed().as_secs()), (vec![(0, 1)], 2));
    assert_eq!(root.count(), 0, "the rest is gone");

    let slow = set(&root, &[(1, Ok(1)), (9, Ok(2))]).timeout(SECOND * 5);
    let error = slow.all_ok().await.unwrap_err();
    assert_eq!(
        (error.timed_out, &error.values),
        (Some(SECOND * 5), &vec![(0, 1)])
    );
    assert_eq!(error.to_string(), "not all tasks were done within 5s");
    assert_eq!(root.count(), 0);
    assert!(set(&root, &[]).all_ok().await.unwrap().is_empty());
}

#[muster_tasks::test(start_paused = true)]
async fn first_ok(root: Group) {
    let value = set(&root, &[(9, Ok(1)), (1, Err("bad")), (2, Ok(3))])
        .first_ok()
        .await;
    assert_eq!((value.unwrap(), root.count()), (3, 0));

    let mut broken = set(&root, &[(1, Err("bad"))]);
    broken.spawn("panics", async { panic!("broken") }).unwrap();
    let error = broken.first_ok().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("none of 2 tasks succeeded: task `after-1`: bad; task `panics`: "),
        "{text}"
    );
    assert!(matches!(
        error.faults[1].1,
        Fault::NotDone(NotDone::Panicked(_))
    ));

    let error = set(&root, &[(9, Ok(1))])
        .timeout(SECOND)
        .first_ok()
        .await
        .unwrap_err();
    assert_eq!((error.timed_out, root.count()), (Some(SECOND), 0));
    assert!(set(&root, &[]).first_ok().await.is_err());
}

#[muster_tasks::test(start_paused = true)]
async fn first_done_and_until(root: Group) {
    let first = set(&root, &[(9, Ok(1)), (1, Err("bad"))])
        .first_done()
        .await;
    assert!(matches!(first, Some((1, Outcome::Done(Err("bad"))))));
    assert!(
        set(&root, &[(9, Ok(1))])
            .timeout(SECOND)
            .first_done()
            .await
            .is_none()
    );
    assert!(set(&root, &[]).first_done().await.is_none());

    let mut seen = Vec::new();
    let tasks = set(&root, &[(3, Ok(30)), (1, Ok(10)), (2, Ok(20)), (4, Ok(40))]);
    let collected = tasks
        .until(|index, outcome| {
            seen.push(index);
            matches!(outcome, Outcome::Done(Ok(20)))
        })
        .await;
    assert_eq!(
        (seen, collected.by, collected.timed_out),
        (vec![1, 2], Some(2), None)
    );
    assert_eq!(collected.outcomes.len(), 4);
    assert!(matches!(collected.outcomes[3], Outcome::Cancelled(_)));
    assert_eq!(collected.values().flatten().collect::<Vec<_>>(), [10, 20]);
    assert_eq!(root.count(), 0);
}

#[muster_tasks::test(start_paused = true)]
async fn collect_gives_what_there_is_when_time_is_up(root: Group) {
    let mut tasks = set(&root, &[(1, Ok(1)), (9, Ok(2))]).timeout(SECOND * 2);
    tasks
        .spawn_cx("polite", |cx| async move {
            cx.cancelled().await;
            tokio::time::sleep(SECOND).await;
            Ok(3)
        })
        .unwrap();
    let begin = Instant::now();
    let collected = tasks.collect().await;
    assert_eq!(
        (collected.timed_out, begin.elapsed().as_secs()),
        (Some(SECOND * 2), 3)
    );
    assert!(matches!(collected.outcomes[1], Outcome::Cancelled(_)));
    // What the rest returns when it is asked to end counts, too.
    assert_eq!(collected.values().flatten().collect::<Vec<_>>(), [1, 3]);
}

#[muster_tasks::test(start_paused = true)]
async fn dropping_a_set_ends_its_tasks(root: Group) {
    drop(set(&root, &[(9, Ok(1))]));
    let tasks = set(&root, &[(9, Ok(1))]);
    assert!(tokio::time::timeout(SECOND, tasks.collect()).await.is_err());
    root.wait().await;
}

#[muster_tasks::test(start_paused = true)]
async fn a_limit_bounds_how_many_run(root: Group) {
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = root.builder("set").limit(3).task_set();
    for n in 0..20 {
        let (live, most) = (Arc::clone(&live), Arc::clone(&most));
        let work = async move {
            most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(SECOND).await;
            live.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, &str>(n)
        };
        tasks.spawn("task", work).unwrap();
    }
    assert_eq!(tasks.all_ok().await.unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outcome_is_missed(root: Group) {
    for _ in 0..50 {
        let mut tasks: TaskSet<Result<usize, ()>> = root.task_set("set");
        for n in 0..50 {
            tasks.spawn("task", async move { Ok(n) }).unwrap();
        }
        let by_first = tasks.until(|_, _| true).await;
        assert!(
            by_first
                .outcomes
                .iter()
                .all(|outcome| !matches!(outcome, Outcome::Aborted))
        );
    }
}
