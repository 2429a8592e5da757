//! Contexts: cancel, time, shield, helpers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use muster_tasks::{Cancelled, Cause, Ctx, Group, Outcome};
use parking_lot::Mutex;
use tokio::sync::oneshot;

#[muster_tasks::test]
async fn run_gives_up_with_the_cause(root: Group) {
    let handle = root
        .spawn_cx("t", |cx| async move {
            cx.run(std::future::pending::<()>()).await
        })
        .unwrap();
    tokio::task::yield_now().await;
    root.cancel("changed");
    let cause = Cause::from("changed");
    assert_eq!(handle.join().await.done(), Some(Err(Cancelled { cause })));
}

#[muster_tasks::test]
async fn run_gives_the_value(root: Group) {
    let handle = root
        .spawn_cx("t", |cx| async move { cx.run(async { 5 }).await })
        .unwrap();
    assert_eq!(handle.join().await.done(), Some(Ok(5)));
}

/// Polls a future only when that future's own waker was used, as `FuturesUnordered` does.
struct Strict<F> {
    fut: Pin<Box<F>>,
    waker: Arc<StrictWaker>,
}

struct StrictWaker {
    woken: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl<F> Strict<F> {
    fn new(fut: F) -> Self {
        let waker = StrictWaker {
            woken: AtomicBool::new(true),
            outer: Mutex::new(None),
        };
        Self {
            fut: Box::pin(fut),
            waker: Arc::new(waker),
        }
    }
}

impl Wake for StrictWaker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if let Some(outer) = self.outer.lock().take() {
            outer.wake();
        }
    }
}

impl<F: Future> Future for Strict<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        *self.waker.outer.lock() = Some(cx.waker().clone());
        if !self.waker.woken.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.waker));
        self.fut.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// A cancel is heard wherever `cancelled` is awaited: in the task, in an executor with wakers of
/// its own, and in another task.
#[muster_tasks::test]
async fn cancelled_is_heard_everywhere(root: Group) {
    let (tx, rx) = oneshot::channel::<Ctx>();
    let inside = root
        .spawn_cx("t", |cx| async move {
            let strict = Strict::new(cx.cancelled());
            let given_up = Strict::new(cx.cancelled());
            tokio::select! {
                biased;
                _ = given_up => unreachable!(),
                () = async { drop(tx.send(cx.clone())) } => {}
            }
            tokio::join!(cx.cancelled(), strict)
        })
        .unwrap();
    let cx = rx.await.unwrap();
    let other = root.group("other");
    let outside = other
        .spawn("o", async move { cx.cancelled().await })
        .unwrap();
    tokio::task::yield_now().await;
    inside.cancel_with("heard");
    let cause = Cause::from("heard");
    assert_eq!(
        inside.join().await.done(),
        Some((cause.clone(), cause.clone()))
    );
    assert_eq!(outside.join().await.done(), Some(cause));
}

#[muster_tasks::test(start_paused = true)]
async fn with_timeout_limits_only_its_own_context(root: Group) {
    let handle = root
        .spawn_cx("t", |cx| async move {
            let short = cx
                .with_timeout(Duration::from_secs(2))
                .with_timeout(Duration::from_secs(9));
            assert_eq!(short.remaining(), Some(Duration::from_secs(2)));
            let cut = short.run(std::future::pending::<()>()).await.unwrap_err();
            assert!(short.is_cancelled() && !cx.is_cancelled());
            assert_eq!(cx.deadline(), None);
            cut.cause
        })
        .unwrap();
    assert_eq!(
        handle.join().await.done(),
        Some(Cause::Timeout(Duration::from_secs(2)))
    );
}

#[muster_tasks::test(start_paused = true)]
async fn a_group_deadline_is_inherited(root: Group) {
    let outer = root
        .builder("outer")
        .timeout(Duration::from_secs(10))
        .build();
    let inner = outer
        .builder("inner")
        .timeout(Duration::from_secs(20))
        .build();
    let handle = inner
        .spawn_cx("t", |cx| async move { cx.remaining() })
        .unwrap();
    assert_eq!(
        handle.join().await.done(),
        Some(Some(Duration::from_secs(10)))
    );
}

#[muster_tasks::test(start_paused = true)]
async fn a_shielded_part_finishes_in_the_grace_period(root: Group) {
    let handle = root
        .spawn_cx("t", |cx| async move {
            let work = async {
                let flushed = cx.shield(async {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    "flushed"
                });
                assert_eq!(flushed.await, "flushed");
                std::future::pending::<()>().await;
            };
            cx.run(work).await.unwrap_err().cause
        })
        .unwrap();
    tokio::task::yield_now().await;
    let report = root.stop().await;
    assert_eq!(report.elapsed.as_secs(), 2, "{report}");
    assert_eq!(handle.join().await.done(), Some(Cause::Stop));
}

#[muster_tasks::test]
async fn after_cancel_calls_once_and_can_be_taken_back(root: Group) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let count = move || {
        let calls = Arc::clone(&counter);
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let handle = root
        .spawn_cx("t", move |cx| async move {
            cx.after_cancel(count()).keep();
            cx.after_cancel(|| panic!("a bad callback")).keep();
            drop(cx.after_cancel(count()));
            cx.cancelled().await;
            cx.after_cancel(count()).keep(); // at once
        })
        .unwrap();
    tokio::task::yield_now().await;
    root.cancel("now");
    assert!(handle.join().await.is_done());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[muster_tasks::test]
async fn a_token_follows_the_task(root: Group) {
    let handle = root
        .spawn_cx("t", |cx| async move {
            let token = cx.token();
            assert!(!token.is_cancelled());
            token.cancelled().await;
            cx.token().is_cancelled()
        })
        .unwrap();
    tokio::task::yield_now().await;
    root.cancel("now");
    assert_eq!(handle.join().await.done(), Some(true));
}

#[muster_tasks::test]
async fn a_scoped_task_ends_with_its_helpers(root: Group) {
    let gone = Arc::new(AtomicBool::new(false));
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let helper = Gone(Arc::clone(&gone));
    let handle = root
        .spawn_scoped("owner", |cx| async move {
            cx.go("helper", async move {
                let _helper = helper;
                std::future::pending::<()>().await;
            })
            .unwrap();
            cx.go_cx("polite", |cx| async move { drop(cx.cancelled().await) })
                .unwrap();
            tokio::task::yield_now().await;
            cx.clone()
        })
        .unwrap();
    let cx = handle.join().await.done().unwrap();
    assert!(
        gone.load(Ordering::SeqCst),
        "the owner ended before its helper was gone"
    );
    assert_eq!(root.count(), 0);
    assert!(
        cx.go("late", async {}).is_err(),
        "nothing enters the scope of an ended task"
    );
}

#[muster_tasks::test(start_paused = true)]
async fn an_aborted_scoped_task_takes_its_helpers_along(root: Group) {
    let handle = root
        .spawn_scoped("owner", |cx| async move {
            cx.go_cx("deaf", |_cx| std::future::pending::<()>())
                .unwrap();
            std::future::pending::<()>().await;
        })
        .unwrap();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(root.count(), 2);
    let begin = tokio::time::Instant::now();
    handle.abort();
    assert!(matches!(handle.join().await, Outcome::Aborted));
    assert_eq!(root.count(), 0);
    assert_eq!(
        begin.elapsed(),
        Duration::ZERO,
        "an abort waits for no grace period"
    );
}

#[muster_tasks::test]
async fn labels_are_shown(root: Group) {
    root.go_cx("t", |cx| async move {
        cx.at("reading the body")
            .run(std::future::pending::<()>())
            .await
            .unwrap_err();
    })
    .unwrap();
    tokio::task::yield_now().await;
    assert!(
        root.render_tree().contains("\"reading the body\""),
        "{}",
        root.render_tree()
    );
    assert!(root.stop().await.is_clean());
}

/// A helper that holds its owner's context hears of the owner's end, whatever its own group.
#[muster_tasks::test]
async fn the_context_of_an_ended_task_counts_as_cancelled(root: Group) {
    let (tx, rx) = oneshot::channel::<Ctx>();
    let owner = root.spawn_cx("owner", |cx| async move { drop(tx.send(cx)) });
    let cx = rx.await.unwrap();
    let waiting = cx.clone();
    let helper = root.spawn("helper", async move { waiting.cancelled().await });
    assert!(owner.unwrap().join().await.is_done());
    assert_eq!(helper.unwrap().join().await.done(), Some(Cause::OwnerEnded));
    let uncalled = cx.after_cancel(|| ());
    drop(uncalled);
    assert!(cx.is_cancelled());
}
