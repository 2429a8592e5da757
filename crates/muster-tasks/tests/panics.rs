//! Caught panics, and what the earlier hook gets to see.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::process::Command;

use muster_tasks::{Group, catch_panic, catch_panic_sync};

#[muster_tasks::test]
async fn message_and_place_are_caught() {
    let info = catch_panic(async {
        tokio::task::yield_now().await;
        panic!("half way");
    })
    .await
    .unwrap_err();
    assert_eq!(info.message, "half way");
    let location = info.location.as_ref().unwrap();
    assert!(location.file.ends_with("tests/panics.rs") && location.line > 10);
    assert_eq!(catch_panic(async { 1 }).await.unwrap(), 1);
}

#[test]
fn closures_and_odd_payloads() {
    assert_eq!(catch_panic_sync(|| 2).unwrap(), 2);
    let info = catch_panic_sync(|| std::panic::panic_any(7_u32)).unwrap_err();
    assert_eq!(info.message, "(the payload is not text)");
    let info = catch_panic_sync(|| std::panic::resume_unwind(Box::new("resumed"))).unwrap_err();
    assert_eq!(info.message, "resumed");
}

#[test]
fn nested_catches_keep_apart() {
    let outer = catch_panic_sync(|| {
        let inner = catch_panic_sync(|| panic!("inner")).unwrap_err();
        assert_eq!(inner.message, "inner");
        panic!("outer");
    });
    assert_eq!(outer.unwrap_err().message, "outer");
}

/// Runs this test program again, with one of the two tests below.
fn stderr_of(test: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env("MUSTER_TASKS_CHILD", "1")
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_child() -> bool {
    std::env::var_os("MUSTER_TASKS_CHILD").is_some()
}

#[muster_tasks::test]
async fn child_catches(root: Group) {
    if is_child() {
        root.go("t", async { panic!("this one is caught") })
            .unwrap();
        root.wait().await;
    }
}

#[test]
fn child_does_not_catch() {
    if is_child() {
        drop(catch_panic_sync(|| ()));
        let thread = std::thread::Builder::new().spawn(|| panic!("this one is not caught"));
        assert!(thread.unwrap().join().is_err());
    }
}

#[test]
fn only_uncaught_panics_are_printed() {
    if is_child() {
        return;
    }
    let caught = stderr_of("child_catches");
    assert!(!caught.contains("this one is caught"), "{caught}");
    let uncaught = stderr_of("child_does_not_catch");
    assert!(uncaught.contains("this one is not caught"), "{uncaught}");
}
