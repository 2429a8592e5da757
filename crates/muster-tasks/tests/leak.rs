//! The leak check and the test attribute.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::time::Duration;

use muster_tasks::testing::{TestConfig, run};
use muster_tasks::{Group, LeakCheck, catch_panic_sync};

fn config() -> TestConfig {
    TestConfig {
        name: "inner",
        multi_thread: false,
        worker_threads: None,
        start_paused: false,
    }
}

#[test]
fn a_leaking_test_fails_and_names_the_line() {
    let line = line!() + 2;
    let leak = |root: Group| async move {
        root.go("forgotten", std::future::pending::<()>()).unwrap();
    };
    let info = catch_panic_sync(|| run(config(), leak, |()| false)).unwrap_err();
    assert!(
        info.message.starts_with("1 tasks leaked"),
        "{}",
        info.message
    );
    assert!(info.message.contains("inner/forgotten"), "{}", info.message);
    assert!(
        info.message.contains(&format!("tests/leak.rs:{line}")),
        "{}",
        info.message
    );
}

#[test]
fn tasks_outside_of_groups_are_counted_too() {
    #[expect(clippy::disallowed_methods, reason = "this is what the test is about")]
    let leak = |_root| async { drop(tokio::spawn(std::future::pending::<()>())) };
    let info = catch_panic_sync(|| run(config(), leak, |()| false)).unwrap_err();
    assert!(
        info.message.contains("1 tasks that were not spawned"),
        "{}",
        info.message
    );
}

#[test]
fn a_failed_result_comes_before_the_leak() {
    let fail = |root: Group| async move {
        root.go("forgotten", std::future::pending::<()>()).unwrap();
        Err::<(), _>("the real reason")
    };
    assert_eq!(run(config(), fail, Result::is_err), Err("the real reason"));
}

#[muster_tasks::test]
async fn a_test_may_return_a_result(root: Group) -> Result<(), muster_tasks::Closed> {
    let _ = root.spawn("t", async {})?.join().await;
    Ok(())
}

#[muster_tasks::test]
async fn a_test_needs_no_group() {
    tokio::task::yield_now().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_are_just_ending_get_time(root: Group) {
    for _ in 0..1000 {
        root.go("brief", tokio::time::sleep(Duration::from_millis(1)))
            .unwrap();
    }
}

#[muster_tasks::test]
async fn names_can_be_left_out(root: Group) {
    let check = LeakCheck::new(&root)
        .ignore("resident")
        .patience(Duration::ZERO);
    root.go("resident", std::future::pending::<()>()).unwrap();
    check.check().await.unwrap();
    root.go("other", std::future::pending::<()>()).unwrap();
    assert_eq!(check.check().await.unwrap_err().tasks.len(), 1);
    assert!(root.stop().await.is_clean());
}
