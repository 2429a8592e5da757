//! Groups: spawning, the tree, closing, waiting, policies, limits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::{Cause, Group, Outcome, Policy, Refusal};
use tokio::sync::{Notify, oneshot};

#[muster_tasks::test]
async fn spawn_gives_the_result(root: Group) {
    let handle = root.spawn("adder", async { 1 + 2 }).unwrap();
    assert_eq!(handle.join().await.done(), Some(3));
    assert_eq!(
        root.spawn("again", async { 4 }).unwrap().await.done(),
        Some(4)
    );
    assert_eq!(root.count(), 0);
    assert_eq!(root.summary().done, 2);
}

#[muster_tasks::test]
async fn a_closed_group_refuses(root: Group) {
    let group = root.group("g");
    group.close();
    let error = group.go("late", async {}).unwrap_err();
    assert_eq!(*error.why(), Refusal::Closed);
    assert_eq!(
        error.to_string(),
        "group `a_closed_group_refuses/g` does not take task `late`: it is closed"
    );
    assert!(group.group("child").is_closed());
    root.cancel("no more");
    let child = root.group("born late");
    assert_eq!(child.cause(), Some(Cause::from("no more")));
    let error = child.spawn("late", async {}).unwrap_err();
    assert_eq!(*error.why(), Refusal::Cancelled(Cause::from("no more")));
}

#[muster_tasks::test]
async fn wait_waits_for_the_tree_and_leaves_it_open(root: Group) {
    let child = root.group("a").group("b");
    let (tx, rx) = oneshot::channel::<()>();
    child.go("deep", async move { drop(rx.await) }).unwrap();
    let mut waiting = Box::pin(root.wait());
    assert!(
        tokio::time::timeout(Duration::from_millis(5), &mut waiting)
            .await
            .is_err()
    );
    tx.send(()).unwrap();
    waiting.await;
    assert_eq!(root.count(), 0);
    assert!(!root.is_closed());
}

/// A task that moves on from group to group is never missed.
#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_follows_a_task_that_moves(root: Group) {
    fn hop(groups: Arc<[Group; 3]>, left: usize, done: Arc<AtomicUsize>) {
        let at = groups[left % 3].clone();
        at.clone()
            .go("hop", async move {
                if left == 0 {
                    done.fetch_add(1, Ordering::SeqCst);
                } else {
                    tokio::task::yield_now().await;
                    hop(groups, left - 1, done);
                }
            })
            .unwrap();
    }
    for _ in 0..50 {
        let groups = Arc::new([root.group("a"), root.group("b"), root.group("c")]);
        let done = Arc::new(AtomicUsize::new(0));
        hop(groups, 100, Arc::clone(&done));
        root.wait().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}

#[muster_tasks::test]
async fn join_counts_and_closes(root: Group) {
    let group = root.group("g");
    for _ in 0..10 {
        group.go("ok", async {}).unwrap();
    }
    let summary = group.join().await.unwrap();
    assert_eq!((summary.spawned, summary.done), (10, 10));
    assert!(group.is_closed());
}

#[muster_tasks::test]
async fn a_panic_is_a_value_and_join_reports_it(root: Group) {
    let group = root.group("g");
    let handle = group
        .spawn("bad", async { panic!("number {}", 7) })
        .unwrap();
    let Outcome::<()>::Panicked(info) = handle.join().await else {
        panic!("expected a panic")
    };
    assert_eq!(info.message, "number 7");
    assert!(info.location.as_ref().unwrap().file.ends_with("group.rs"));
    assert!(!group.is_cancelled(), "the default policy goes on");
    let error = group.join().await.unwrap_err();
    assert_eq!(error.summary.panicked, 1);
    assert!(error.to_string().contains("`bad`"), "{error}");
}

#[muster_tasks::test]
async fn policies_cancel_and_escalate(root: Group) {
    let outer = root.builder("outer").on_panic(Policy::CancelGroup).build();
    let inner = outer.builder("inner").on_panic(Policy::Escalate).build();
    let sibling = outer
        .spawn("sibling", std::future::pending::<()>())
        .unwrap();
    inner.go("bad", async { panic!("boom") }).unwrap();
    let Outcome::Cancelled(Cause::Panicked(text)) = sibling.join().await else {
        panic!()
    };
    assert!(text.contains("boom"));
    assert!(inner.is_cancelled() && outer.is_cancelled() && !root.is_cancelled());

    let group = root.builder("errors").on_error(Policy::CancelGroup).build();
    let sibling = group
        .spawn("sibling", std::future::pending::<()>())
        .unwrap();
    group
        .go_result("fails", |_cx| async { Err::<(), _>("disk full") })
        .unwrap();
    assert!(matches!(
        sibling.join().await,
        Outcome::Cancelled(Cause::Failed(_))
    ));
    assert_eq!(group.join().await.unwrap_err().summary.failed, 1);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_storm_ends_only_the_panicking(root: Group) {
    for i in 0..2000 {
        root.go("storm", async move {
            tokio::task::yield_now().await;
            assert!(i % 2 == 0, "odd {i}");
        })
        .unwrap();
    }
    root.wait().await;
    let summary = root.summary();
    assert_eq!((summary.done, summary.panicked), (1000, 1000));
}

#[muster_tasks::test(start_paused = true)]
async fn a_deadline_cancels_and_aborts(root: Group) {
    let group = root
        .builder("g")
        .timeout(Duration::from_secs(3))
        .grace(Duration::from_secs(1))
        .build();
    let plain = group.spawn("plain", std::future::pending::<()>()).unwrap();
    let deaf = group
        .spawn_cx("deaf", |_cx| std::future::pending::<()>())
        .unwrap();
    let hears = group
        .spawn_cx("hears", |cx| async move { cx.cancelled().await })
        .unwrap();
    let begin = tokio::time::Instant::now();
    assert!(matches!(plain.join().await, Outcome::TimedOut));
    assert_eq!(hears.join().await.done(), Some(Cause::Deadline));
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert!(matches!(deaf.join().await, Outcome::TimedOut));
    assert_eq!(begin.elapsed().as_secs(), 4);
}

#[muster_tasks::test]
async fn a_limit_queues_refuses_and_resizes(root: Group) {
    let group = root.builder("g").limit(2).build();
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(Notify::new());
    let work = || {
        let (running, most, go) = (running.clone(), most.clone(), go.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            go.notified().await;
            running.fetch_sub(1, Ordering::SeqCst);
        }
    };
    for _ in 0..6 {
        group.go("limited", work()).unwrap();
    }
    until(|| running.load(Ordering::SeqCst) == 2).await;
    assert_eq!(group.count(), 6);
    let error = group.try_spawn("now", async {}).unwrap_err();
    assert_eq!(*error.why(), Refusal::Limit(2));
    assert!(error.is_full());
    group.set_limit(4);
    until(|| running.load(Ordering::SeqCst) == 4).await;
    group.set_limit(1);
    for left in (0..6).rev() {
        go.notify_one();
        until(|| group.count() == left).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
    let handle = group.spawn_wait("waits", async { 1 }).await.unwrap();
    assert_eq!(handle.await.done(), Some(1));
    // Queued tasks are dropped by a cancel without being run.
    group.go("holds", work()).unwrap();
    until(|| running.load(Ordering::SeqCst) == 1).await;
    let queued = group
        .spawn_cx("queued", |_cx| async { unreachable!("never run") })
        .unwrap();
    tokio::task::yield_now().await;
    group.cancel("enough");
    assert!(matches!(queued.join().await, Outcome::<()>::Cancelled(_)));
}

#[muster_tasks::test]
async fn max_live_is_shown(root: Group) {
    let group = root.builder("g").max_live(2).build();
    for _ in 0..3 {
        group.go("t", std::future::pending::<()>()).unwrap();
    }
    assert!(root.snapshot(Default::default()).root.groups[0].over_budget);
    let _ = group.stop().await;
}

#[muster_tasks::test]
async fn the_last_handle_ends_the_group_and_the_parent_waits(root: Group) {
    let child = root.group("child");
    let (dropped, is_dropped) = oneshot::channel::<()>();
    child
        .go_cx("deaf", |_cx| async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        })
        .unwrap();
    tokio::task::yield_now().await;
    drop(child);
    assert_eq!(root.count(), 1, "still listed until it is dropped");
    assert!(
        root.render_tree().contains("orphans"),
        "{}",
        root.render_tree()
    );
    assert!(is_dropped.await.is_err());
    root.wait().await;
    assert!(
        root.snapshot(Default::default()).root.groups.is_empty(),
        "nothing is left of it"
    );
    assert_eq!(root.summary().aborted, 1, "its counts stay");
}

#[muster_tasks::test]
async fn empty_groups_leave_no_trace(root: Group) {
    for i in 0..100 {
        let group = root.group(format!("g{i}"));
        let below = group.group("below");
        below.go("t", async {}).unwrap();
        below.wait().await;
    }
    assert!(root.snapshot(Default::default()).root.groups.is_empty());
    assert_eq!(root.summary().done, 100);
}

#[test]
fn without_a_runtime_a_spawn_is_refused() {
    let root = Group::root("outside");
    let error = root.go("t", async {}).unwrap_err();
    assert_eq!(*error.why(), Refusal::NoRuntime);
}

#[muster_tasks::test]
async fn spawning_works_from_any_thread(root: Group) {
    let (tx, rx) = oneshot::channel();
    let group = root.clone();
    root.spawn_blocking("elsewhere", move |_cx| {
        group
            .go("from a thread", async move { tx.send(7).unwrap() })
            .unwrap();
    })
    .unwrap();
    assert_eq!(rx.await, Ok(7));
    root.wait().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn wide_groups_behave_the_same(root: Group) {
    let group = root.builder("wide").wide().build();
    for spawner in 0..4 {
        let target = group.clone();
        root.spawn_blocking(format!("spawner {spawner}"), move |_cx| {
            for _ in 0..500 {
                target
                    .go("t", async { tokio::task::yield_now().await })
                    .unwrap();
            }
        })
        .unwrap();
    }
    root.wait().await;
    assert_eq!(group.summary().done, 2000);
    for _ in 0..100 {
        group.go("parked", std::future::pending::<()>()).unwrap();
    }
    assert_eq!(group.count(), 100);
    assert!(group.stop().await.is_clean());
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
