//! Foreign tasks, foreign tokens, and many groups at once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail like tests; foreign tasks are what is tested"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_tasks::{Cause, Group, Outcome, StopOptions, StopReport};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

#[muster_tasks::test(start_paused = true)]
async fn an_adopted_task_is_one_of_the_group(root: Group) {
    let task = root
        .adopt(
            "driver",
            tokio::spawn(async {
                tokio::time::sleep(SECOND).await;
                7
            }),
        )
        .unwrap();
    tokio::task::yield_now().await;
    assert_eq!(root.count(), 1);
    assert!(
        root.render_tree().contains("driver"),
        "{}",
        root.render_tree()
    );
    assert_eq!(task.join().await.done(), Some(7));
    let begin = Instant::now();
    let task = root
        .adopt("driver", tokio::spawn(std::future::pending::<()>()))
        .unwrap();
    assert!(root.stop().await.is_clean());
    assert!(matches!(task.join().await, Outcome::Cancelled(Cause::Stop)));
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[muster_tasks::test]
async fn its_panic_is_the_groups(root: Group) {
    let foreign = tokio::spawn(async { panic!("in the driver") });
    let task = root.adopt("driver", foreign).unwrap();
    let Outcome::Panicked(info) = task.join().await else {
        panic!("it did not panic");
    };
    assert_eq!(info.message, "in the driver");
    assert_eq!(root.summary().panicked, 1);
}

#[muster_tasks::test]
async fn an_abort_from_elsewhere_is_seen(root: Group) {
    let foreign = tokio::spawn(std::future::pending::<()>());
    let handle = foreign.abort_handle();
    let task = root.adopt("driver", foreign).unwrap();
    handle.abort();
    assert!(matches!(task.join().await, Outcome::Aborted));
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_listed_until_it_has_really_ended(root: Group) {
    let group = root.group("g");
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let busy = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&busy);
    let foreign = tokio::spawn(async move {
        noted.store(true, Ordering::SeqCst);
        let _ = wait.recv();
        tokio::task::yield_now().await;
    });
    while !busy.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    group.adopt("busy", foreign).unwrap();
    let short = StopOptions {
        grace: Duration::from_millis(10),
        abort_after: Duration::from_millis(10),
        ..StopOptions::default()
    };
    let report = group.stop_with(short).await;
    assert_eq!(report.stuck.len(), 1, "{report}");
    drop(release);
    group.wait().await;
}

#[muster_tasks::test]
async fn a_closed_group_adopts_nobody(root: Group) {
    let group = root.group("g");
    group.close();
    let foreign = tokio::spawn(std::future::pending::<()>());
    let handle = foreign.abort_handle();
    assert!(group.adopt("late", foreign).is_err());
    while !handle.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[muster_tasks::test(start_paused = true)]
async fn a_limit_does_not_hold_up_adopted_tasks(root: Group) {
    let group = root.builder("g").limit(0).build();
    let task = group.adopt("driver", tokio::spawn(async { 1 })).unwrap();
    assert_eq!(task.join().await.done(), Some(1));
}

#[muster_tasks::test]
async fn tokens_go_in_and_out(root: Group) {
    let group = root.group("g");
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    group.follow(&first, "the first");
    group.follow(&second, "the second");
    let out = group.token();
    let below = group.group("below").token();
    let task = group
        .spawn_cx("task", |cx| async move { cx.cancelled().await })
        .unwrap();
    tokio::task::yield_now().await;
    assert!(!out.is_cancelled());
    second.cancel();
    assert_eq!(task.join().await.done(), Some(Cause::from("the second")));
    assert!(out.is_cancelled() && below.is_cancelled() && group.token().is_cancelled());
    first.cancel();
    assert_eq!(group.cause(), Some(Cause::from("the second")));

    let late = root.group("late");
    late.follow(&first, "it was over");
    assert_eq!(late.cause(), Some(Cause::from("it was over")));
    // Followers of a group that goes away go with it: the leak check at the end would see them.
    let unused = root.group("unused");
    unused.follow(&CancellationToken::new(), "never");
    drop(unused);
}

#[muster_tasks::test(start_paused = true)]
async fn many_groups_stop_in_the_time_of_the_slowest(root: Group) {
    let groups: Vec<Group> = (0..50).map(|n| root.group(format!("g-{n}"))).collect();
    for (n, group) in groups.iter().enumerate() {
        let slow = SECOND * (n as u32 % 4);
        group
            .go_cx("task", move |cx| async move {
                cx.cancelled().await;
                tokio::time::sleep(slow).await;
            })
            .unwrap();
    }
    tokio::task::yield_now().await;
    let begin = Instant::now();
    let reports = Group::stop_all(&groups, StopOptions::default()).await;
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert!(reports.iter().all(StopReport::is_clean));
    let seconds: Vec<_> = reports
        .iter()
        .take(5)
        .map(|report| report.elapsed.as_secs())
        .collect();
    assert_eq!(seconds, [0, 1, 2, 3, 0]);
    assert!(
        Group::stop_all(&[], StopOptions::default())
            .await
            .is_empty()
    );
}
