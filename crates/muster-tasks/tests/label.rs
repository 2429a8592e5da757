//! Labels of awaits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::future::pending;
use std::sync::Arc;

use muster_tasks::{AwaitLabel, Group, TaskHandle};
use tokio::sync::Notify;

async fn label(task: &TaskHandle<()>) -> &'static str {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    task.info().label
}

#[muster_tasks::test]
async fn a_label_lasts_as_long_as_its_await(root: Group) {
    let go = Arc::new(Notify::new());
    let step = Arc::clone(&go);
    let work = root.spawn_cx("task", |cx| async move {
        step.notified().at("first").await;
        step.notified().await;
        cx.at("lasting");
        step.notified().await;
        step.notified().at("second").await;
        step.notified().await;
    });
    let task = work.unwrap();
    for expected in ["first", "", "lasting", "second", "lasting"] {
        assert_eq!(label(&task).await, expected);
        if !expected.is_empty() {
            assert!(root.render_tree().contains(&format!("\"{expected}\"")));
        }
        go.notify_one();
    }
    assert!(task.join().await.is_done());
}

#[muster_tasks::test]
async fn the_innermost_and_the_first_are_shown(root: Group) {
    let nested = async { pending::<()>().at("inner").await }.at("outer");
    let nested = root.spawn("nested", nested).unwrap();
    let beside = root.spawn("beside", async {
        tokio::select! {
            biased;
            () = pending().at("left") => {}
            () = pending().at("right") => {}
        }
    });
    let beside = beside.unwrap();
    assert_eq!(
        (label(&nested).await, label(&beside).await),
        ("inner", "left")
    );
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn what_one_task_says_is_not_told_of_another(root: Group) {
    // The first is ready although an await of it was left pending; the second says nothing.
    let first = root.spawn("first", async {
        tokio::select! {
            biased;
            () = pending().at("given up") => {}
            () = std::future::ready(()) => {}
        }
    });
    let second = root.spawn("second", pending()).unwrap();
    assert!(first.unwrap().join().await.is_done());
    assert_eq!(label(&second).await, "");
    assert!(root.stop().await.is_clean());
}
