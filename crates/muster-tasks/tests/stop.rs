//! Stopping: in bounded time, with futures dropped, and a report of what would not die.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use muster_tasks::{Cause, Group, Outcome, StopOptions, StopOrder, TaskState};
use parking_lot::Mutex;

fn brief() -> StopOptions {
    StopOptions {
        grace: Duration::from_millis(20),
        abort_after: Duration::from_millis(50),
        ..StopOptions::default()
    }
}

/// Notes when it is dropped, after a slow destructor.
struct SlowDrop(Arc<AtomicBool>);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(30));
        self.0.store(true, Ordering::SeqCst);
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_returns_after_the_drop_not_after_the_abort(root: Group) {
    let dropped = Arc::new(AtomicBool::new(false));
    let slow = SlowDrop(Arc::clone(&dropped));
    let (tx, started) = tokio::sync::oneshot::channel();
    root.go_cx("deaf", |_cx| async move {
        let _slow = slow;
        tx.send(()).unwrap();
        std::future::pending::<()>().await;
    })
    .unwrap();
    started.await.unwrap();
    let options = StopOptions {
        grace: Duration::ZERO,
        ..StopOptions::default()
    };
    let report = root.stop_with(options).await;
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(
        (report.asked, report.finished_in_grace, report.aborted),
        (1, 0, 1)
    );
    assert!(report.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn plain_tasks_go_at_once_and_others_get_grace(root: Group) {
    for _ in 0..5 {
        root.go("plain", std::future::pending::<()>()).unwrap();
    }
    let polite = root
        .spawn_cx("polite", |cx| async move {
            let cause = cx.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            cause
        })
        .unwrap();
    let deaf = root
        .spawn_cx("deaf", |_cx| std::future::pending::<()>())
        .unwrap();
    tokio::task::yield_now().await;
    let report = root.stop().await;
    assert_eq!(
        (report.asked, report.finished_in_grace, report.aborted),
        (7, 6, 1)
    );
    assert_eq!(report.elapsed.as_secs(), 5, "{report}");
    assert_eq!(polite.join().await.done(), Some(Cause::Stop));
    assert!(matches!(deaf.join().await, Outcome::Aborted));
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_busy_in_a_poll_is_reported_and_stays_visible(root: Group) {
    let (release, wait) = mpsc::channel::<()>();
    root.go("busy", async move { wait.recv().unwrap_err() })
        .unwrap();
    until(|| !root.stuck(Duration::from_millis(10)).is_empty()).await;
    let report = root.stop_with(brief()).await;
    assert!(!report.is_clean());
    assert_eq!(report.stuck[0].name, "busy");
    assert_eq!(report.stuck[0].state, TaskState::Polling);
    assert!(report.stuck[0].polling_for.unwrap() >= Duration::from_millis(10));
    assert!(report.to_string().contains("tests/stop.rs:"), "{report}");
    assert_eq!(root.count(), 1, "it stays listed until it ends");
    drop(release);
    root.wait().await;
    assert_eq!(root.count(), 0);
}

#[muster_tasks::test]
async fn a_blocking_thread_is_reported_and_stays_visible(root: Group) {
    let (release, wait) = mpsc::channel::<()>();
    let handle = root
        .spawn_blocking("blocked", move |_cx| wait.recv().is_err())
        .unwrap();
    let report = root.stop_with(brief()).await;
    assert_eq!(report.blocking.len(), 1);
    assert_eq!(report.blocking[0].state, TaskState::Blocking);
    assert_eq!((report.aborted, report.stuck.len()), (0, 0));
    assert_eq!((root.count(), root.blocking_threads().0), (1, 1));
    drop(release);
    assert_eq!(handle.join().await.done(), Some(true));
    assert_eq!((root.count(), root.blocking_threads().0), (0, 0));
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_while_others_spawn(root: Group) {
    for round in 0..20 {
        let group = root.group(format!("round {round}"));
        let refused = Arc::new(AtomicUsize::new(0));
        let live = Arc::new(AtomicUsize::new(0));
        for spawner in 0..3 {
            let (group, refused, live) = (group.clone(), Arc::clone(&refused), Arc::clone(&live));
            root.spawn_blocking(format!("spawner {spawner}"), move |_cx| {
                loop {
                    let live = Live::new(&live);
                    let task = async move {
                        let _live = live;
                        std::future::pending::<()>().await;
                    };
                    if group.go("t", task).is_err() {
                        refused.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
            })
            .unwrap();
        }
        until(|| group.count() > 100).await;
        let report = group.stop().await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(group.count(), 0);
        root.wait().await;
        assert_eq!(refused.load(Ordering::SeqCst), 3);
        assert_eq!(live.load(Ordering::SeqCst), 0, "every future was dropped");
    }
}

/// Counts live values.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[muster_tasks::test]
async fn orders(root: Group) {
    let check = |order, expected: &'static [&'static str]| {
        let root = root.clone();
        async move {
            let ended = Arc::new(Mutex::new(Vec::new()));
            let top = root.group("top");
            let mid = top.group("mid");
            let low = mid.group("low");
            for (group, name) in [
                (&mid, "mid 1"),
                (&low, "low"),
                (&top, "top"),
                (&mid, "mid 2"),
            ] {
                let ended = Arc::clone(&ended);
                let work = move |cx: muster_tasks::Ctx| async move {
                    cx.cancelled().await;
                    ended.lock().push(name);
                };
                group.go_cx(name, work).unwrap();
            }
            tokio::task::yield_now().await;
            let report = top
                .stop_with(StopOptions {
                    order,
                    ..StopOptions::default()
                })
                .await;
            assert!(
                report.is_clean() && report.finished_in_grace == 4,
                "{report}"
            );
            assert_eq!(*ended.lock(), expected);
        }
    };
    check(StopOrder::ReverseStart, &["mid 2", "top", "low", "mid 1"]).await;
    check(StopOrder::Layers, &["low", "mid 1", "mid 2", "top"]).await;
}

#[muster_tasks::test]
async fn stopping_twice_and_at_once_is_fine(root: Group) {
    root.go_cx("t", |cx| async move { drop(cx.cancelled().await) })
        .unwrap();
    tokio::task::yield_now().await;
    let (a, b) = tokio::join!(root.stop(), root.stop());
    assert!(a.is_clean() && b.is_clean());
    let again = root.stop().await;
    assert_eq!(again.asked, 0);
    assert_eq!(root.cause(), Some(Cause::Stop));
}

#[test]
fn a_runtime_that_shuts_down_leaves_nothing_listed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let root = {
        let _inside = runtime.enter();
        Group::root("root")
    };
    for _ in 0..100 {
        root.go("t", std::future::pending::<()>()).unwrap();
    }
    let handle = root.spawn("joined", std::future::pending::<()>()).unwrap();
    drop(runtime);
    assert_eq!(root.count(), 0);
    assert!(handle.is_finished());
    root.go("late", async {}).unwrap();
    assert_eq!(root.count(), 0, "dropped by the runtime, so not listed");
}

/// Waits for an effect, with a bound.
async fn until(mut effect: impl FnMut() -> bool) {
    let waiting = async {
        while !effect() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "the effect did not come");
}
