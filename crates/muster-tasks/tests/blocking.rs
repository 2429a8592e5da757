//! Blocking work: bounds, cancel, time limits, panics.

use std::sync::mpsc;
use std::time::Duration;

use muster_tasks::{BlockingOptions, Cause, Group, Outcome, Refusal};

#[muster_tasks::test]
async fn gives_the_result_on_a_named_thread(root: Group) {
    let work = |_cx| std::thread::current().name().map(str::to_owned);
    let name = root
        .spawn_blocking("scan of a long name", work)
        .unwrap()
        .join()
        .await
        .done();
    assert_eq!(name.flatten().as_deref(), Some("scan of a long "));
}

#[muster_tasks::test]
async fn bounds_are_nested_and_typed(root: Group) {
    let small = root.builder("small").blocking_limit(1).build();
    let (release, wait) = mpsc::channel::<()>();
    let stuck = small
        .spawn_blocking("stuck", move |_cx| wait.recv().is_err())
        .unwrap();
    let error = small.spawn_blocking("more", |_cx| ()).unwrap_err();
    assert_eq!(*error.why(), Refusal::BlockingLimit(1));
    assert!(error.is_full());
    let other = root.spawn_blocking("others go on", |_cx| 1).unwrap();
    assert_eq!(other.join().await.done(), Some(1));
    assert_eq!(small.blocking_threads(), (1, 1));
    drop(release);
    assert!(stuck.join().await.is_done());
    assert_eq!(small.blocking_threads(), (0, 1));
    assert!(
        small
            .spawn_blocking("free again", |_cx| ())
            .unwrap()
            .join()
            .await
            .is_done()
    );
}

#[muster_tasks::test]
async fn a_cancel_ends_a_sleep(root: Group) {
    let handle = root
        .spawn_blocking("t", |cx| {
            cx.sleep(Duration::from_secs(3600)).unwrap_err().cause
        })
        .unwrap();
    handle.cancel();
    assert_eq!(handle.join().await.done(), Some(Cause::Handle));
    assert_eq!(root.summary().done, 1);
}

#[muster_tasks::test]
async fn a_time_limit_is_seen_and_shown(root: Group) {
    let options = BlockingOptions {
        timeout: Some(Duration::from_millis(5)),
    };
    let (release, wait) = mpsc::channel::<()>();
    let handle = root
        .spawn_blocking_with("late", &options, move |cx| {
            let cause = cx.sleep(Duration::from_secs(3600)).unwrap_err().cause;
            while wait.recv().is_ok() {}
            cause
        })
        .unwrap();
    while root.stuck(Duration::from_secs(3600)).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(release);
    let cause = handle.join().await.done();
    assert_eq!(cause, Some(Cause::Timeout(Duration::from_millis(5))));
}

#[muster_tasks::test]
async fn a_panic_is_a_value(root: Group) {
    let handle = root
        .spawn_blocking("t", |_cx| panic!("blocked badly"))
        .unwrap();
    let Outcome::<()>::Panicked(info) = handle.join().await else {
        panic!("expected a panic")
    };
    assert_eq!(info.message, "blocked badly");
    assert_eq!(root.blocking_threads().0, 0);
}
