//! Task handles: outcomes, cancel, abort, detaching.

use std::time::Duration;

use muster_tasks::{Cause, Group, NotDone, Outcome};
use tokio::sync::oneshot;

#[muster_tasks::test]
async fn cancel_drops_a_plain_task(root: Group) {
    let handle = root.spawn("t", std::future::pending::<()>()).unwrap();
    tokio::task::yield_now().await;
    handle.cancel();
    assert!(matches!(
        handle.join().await,
        Outcome::Cancelled(Cause::Handle)
    ));
    assert_eq!(root.summary().cancelled, 1);
}

#[muster_tasks::test]
async fn cancel_asks_a_task_with_a_context(root: Group) {
    let handle = root
        .spawn_cx("t", |cx| async move { cx.cancelled().await })
        .unwrap();
    tokio::task::yield_now().await;
    handle.cancel_with("please");
    assert_eq!(handle.join().await.done(), Some(Cause::from("please")));
}

#[muster_tasks::test]
async fn abort_drops_a_deaf_task(root: Group) {
    let handle = root
        .spawn_cx("t", |_cx| std::future::pending::<()>())
        .unwrap();
    tokio::task::yield_now().await;
    handle.cancel();
    tokio::task::yield_now().await;
    assert!(!handle.is_finished());
    handle.abort();
    assert!(matches!(handle.join().await, Outcome::Aborted));
}

#[muster_tasks::test]
async fn a_task_cancelled_before_its_first_poll_is_never_run(root: Group) {
    let plain = root
        .spawn("plain", async { unreachable!("it was cancelled") })
        .unwrap();
    let with_cx = root
        .spawn_cx("cx", |_cx| async { unreachable!("it was cancelled") })
        .unwrap();
    root.cancel("early");
    assert!(matches!(plain.join().await, Outcome::<()>::Cancelled(_)));
    assert!(matches!(with_cx.join().await, Outcome::<()>::Cancelled(_)));
}

#[muster_tasks::test]
async fn dropping_a_handle_detaches_only_from_the_result(root: Group) {
    let (tx, rx) = oneshot::channel();
    drop(
        root.spawn("t", async move { tx.send(1).map(|()| vec![0; 100]) })
            .unwrap(),
    );
    assert_eq!(rx.await, Ok(1));
    root.wait().await;
    assert_eq!(root.summary().done, 1);
}

#[muster_tasks::test]
async fn results_that_nobody_takes_block_nobody(root: Group) {
    let kept: Vec<_> = (0..100)
        .map(|i| root.spawn("t", async move { i }).unwrap())
        .collect();
    root.wait().await;
    assert!(kept.iter().all(muster_tasks::TaskHandle::is_finished));
}

#[muster_tasks::test]
async fn awaiting_by_reference_can_be_given_up(root: Group) {
    let (tx, rx) = oneshot::channel::<u32>();
    let mut handle = root.spawn("t", rx).unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(1), &mut handle)
            .await
            .is_err()
    );
    tx.send(3).unwrap();
    assert_eq!((&mut handle).await.done(), Some(Ok(3)));
}

#[muster_tasks::test]
async fn outcomes_as_results(root: Group) {
    let done = root
        .spawn("t", async { 1 })
        .unwrap()
        .await
        .map(|n| n + 1)
        .into_result();
    assert_eq!(done.unwrap(), 2);
    let bad = root.spawn("t", async { panic!("no") }).unwrap().await;
    let error: NotDone = bad.map(|(): ()| ()).into_result().unwrap_err();
    assert!(
        error.to_string().starts_with("the task panicked: no at "),
        "{error}"
    );
}

#[muster_tasks::test]
async fn a_panicking_destructor_is_the_tasks_panic(root: Group) {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let bad = Bad;
    let handle = root
        .spawn("t", async move {
            let _bad = bad;
            std::future::pending::<()>().await;
        })
        .unwrap();
    tokio::task::yield_now().await;
    handle.abort();
    let Outcome::Panicked(info) = handle.join().await else {
        panic!("expected a panic")
    };
    assert_eq!(info.message, "in a destructor");
    root.go("value", async { Bad }).unwrap();
    root.wait().await;
}

#[muster_tasks::test]
async fn ids_differ_and_names_stay(root: Group) {
    let a = root.spawn(format!("t{}", 1), async {}).unwrap();
    let b = root.spawn("t2", async {}).unwrap();
    assert_ne!(a.id(), b.id());
    assert_eq!(a.name().as_str(), "t1");
    assert!(format!("{a:?}").contains("\"t1\""));
    root.wait().await;
}
