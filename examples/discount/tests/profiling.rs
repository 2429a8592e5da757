//! Go's own tool reads the profiles of a Rust program: tasks, processor time, memory.
//!
//! `cargo test -p discount --features profiling --test profiling`; needs Go (`apt-get install golang-go`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::future::pending;
use std::hint::black_box;
use std::process::Command;

use muster_tasks::{AwaitLabel, Group, StopOptions, debug};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What `go tool pprof -top` says of the profile at this page.
async fn top(root: &Group, page: &str) -> String {
    let response = debug::handle(root, page).await;
    let body = response.body;
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&body));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("profile");
    std::fs::write(&file, body).unwrap();
    let output = Command::new("go")
        .args(["tool", "pprof", "-top", "-nodecount=1000"])
        .arg(&file)
        .env("PPROF_TMPDIR", directory.path())
        .output()
        .unwrap_or_else(|error| panic!("run go: {error}; install it: apt-get install golang-go"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[inline(never)]
fn burn(is_over: impl Fn() -> bool) -> u64 {
    let mut number = 1u64;
    while !is_over() {
        for _ in 0..100_000 {
            number = black_box(
                number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    }
    number
}

#[inline(never)]
fn hold() -> Vec<Vec<u8>> {
    (0..64).map(|_| black_box(vec![1; 1 << 20])).collect()
}

#[muster_tasks::test(flavor = "multi_thread")]
async fn go_reads_the_profiles(root: Group) {
    for _ in 0..7 {
        root.go("fetch", pending::<()>().at("reply")).unwrap();
    }
    let text = top(&root, "/debug/pprof/goroutine").await;
    assert!(text.contains("Type: goroutine"), "{text}");
    let line = text.lines().find(|line| line.contains(".fetch"));
    assert!(
        line.is_some_and(|line| line.trim_start().starts_with("7 ")),
        "{text}"
    );

    let burning = root
        .spawn_blocking("burn", |cx| burn(|| cx.is_cancelled()))
        .unwrap();
    let text = top(&root, "/debug/pprof/profile?seconds=2").await;
    burning.cancel();
    assert!(burning.join().await.done().is_some());
    assert!(text.contains("Type: cpu"), "{text}");
    assert!(text.contains("burn"), "{text}");
    // What takes the samples is not in them: the time is the loop's own. Each thread of std begins in a
    // function with a similar name.
    let takes =
        |line: &str| line.contains("backtrace::") && !line.contains("__rust_begin_short_backtrace");
    assert!(!text.lines().any(takes), "{text}");

    let held = hold();
    let text = top(&root, "/debug/pprof/heap").await;
    assert!(text.contains("Type: inuse_space"), "{text}");
    // What `vec!` allocates: the fourth column is how much lives that came through there.
    let line = text.lines().find(|line| line.contains("from_elem"));
    let megabytes = line.and_then(|line| line.split_whitespace().nth(3)?.strip_suffix("MB"));
    let megabytes: f64 = megabytes.and_then(|text| text.parse().ok()).unwrap_or(0.0);
    assert!(megabytes > 32.0, "{text}");
    drop(held);
    let _ = root
        .stop_with(StopOptions::grace(std::time::Duration::ZERO))
        .await;
}
