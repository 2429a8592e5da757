//! The leaking form is found, with its line, from inside and from outside; the mended one is silent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use discount::load::{A_MINUTE, AT_ONCE};
use discount::{Form, Minute, Pace, Shop, http, load};
use muster_leaks::{Options, Profile, Want, Watch};
use muster_tasks::{Finding, Group, LeakMonitor, LeakMonitorOptions, Verdict};
use parking_lot::Mutex;

const MINUTES: u64 = 10;
const ANYWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// Of a minute's orders so many need the discounter's answer.
const TAKEN: u64 = A_MINUTE / 20;

fn pace() -> Pace {
    Pace::new(200)
}

/// The line of `form.rs` that leaks: the one below the comment that says so.
fn leaking_line() -> u32 {
    let mut lines = include_str!("../src/form.rs").lines();
    let comment = lines.position(|line| line.contains("// The line that leaks:"));
    u32::try_from(comment.unwrap()).unwrap() + 2
}

/// Ten minutes of load against a form; what each minute and the leak watch have shown.
async fn ten_minutes(root: &Group, form: Form) -> (Shop, Vec<Minute>, Vec<Finding>) {
    let found = Arc::new(Mutex::new(Vec::new()));
    let findings = Arc::clone(&found);
    let options = LeakMonitorOptions {
        every: pace().of(Duration::from_secs(10)),
        ..LeakMonitorOptions::default()
    };
    let note = move |finding: &Finding| findings.lock().push(finding.clone());
    LeakMonitor::start_with(root, options, note).unwrap();
    let address = SocketAddr::from(ANYWHERE);
    let shop = Shop::start(root, address, form, pace()).await.unwrap();
    let sent = load::send(root, shop.address(), MINUTES, pace(), |_, _| {});
    let minutes = sent.await.unwrap();
    for minute in &minutes {
        assert_eq!((minute.answered as u64, minute.failed), (A_MINUTE, 0));
    }
    assert!(minutes.iter().any(|minute| minute.experiments > 0));
    let found = found.lock().clone();
    (shop, minutes, found)
}

/// Tasks of the service at the end of each minute.
fn tasks(minutes: &[Minute]) -> Vec<u64> {
    minutes.iter().map(|minute| minute.tasks as u64).collect()
}

/// Tasks that come and go with orders at work: a connection and a question for each.
const AT_WORK: u64 = 2 * AT_ONCE as u64;

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaking_form_grows_in_a_line_and_is_named(root: Group) {
    let (shop, minutes, found) = ten_minutes(&root, Form::Leaking).await;
    let line = A_MINUTE - TAKEN;
    for (tasks, minute) in tasks(&minutes).into_iter().zip(1..) {
        assert!(tasks.abs_diff(minute * line) < 2 * AT_WORK, "{minutes:?}");
    }
    // What waits to hand over is there for good.
    while shop.asking().count() as u64 > MINUTES * line {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(shop.asking().count() as u64, MINUTES * line);

    assert_eq!(found.len(), 1, "{found:?}");
    let leak = &found[0];
    assert_eq!(leak.verdict, Verdict::Growth);
    assert!(leak.location.file.ends_with("src/form.rs"), "{leak}");
    assert_eq!(leak.location.line, leaking_line(), "{leak}");
    assert!(
        leak.to_string().contains("handing over the answer"),
        "{leak}"
    );
    // Even so the end is clean: the group drops what never would have ended.
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mended_form_stays_level_and_is_silent(root: Group) {
    let (shop, minutes, found) = ten_minutes(&root, Form::Mended).await;
    assert!(found.is_empty(), "{found:?}");
    // Questions that hang, and those whose order was answered, go on for a moment.
    let level = tasks(&minutes).into_iter().max().unwrap();
    assert!(level < 2 * AT_WORK, "{minutes:?}");
    shop.asking().wait().await;
    assert!(root.stop().await.is_clean());
}

/// What is under this path of the service's debug pages.
async fn debug_page(shop: &Shop, path: &str) -> Vec<u8> {
    let target = format!("/debug/pprof/{path}");
    let page = http::get(shop.address(), &target).await;
    page.unwrap().to_vec()
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_outside_names_the_line(root: Group) {
    let address = SocketAddr::from(ANYWHERE);
    let shop = Shop::start(&root, address, Form::Leaking, pace()).await;
    let shop = shop.unwrap();
    let mut watch = Watch::new("shop", Options::ci());
    let mut now = jiff::Timestamp::UNIX_EPOCH;
    for _ in 0..MINUTES {
        let sent = load::send(&root, shop.address(), 1, pace(), |_, _| {});
        sent.await.unwrap();
        now += Duration::from_secs(60);
        let counts = debug_page(&shop, "goroutine").await;
        watch.feed(now, &Profile::read(&counts).unwrap());
        while let Some(want) = watch.want(now) {
            if want == Want::LeakProfile {
                watch.no_leak_profile();
                continue;
            }
            let page = debug_page(&shop, want.path()).await;
            watch.feed(now, &Profile::read(&page).unwrap());
        }
    }
    let verdict = watch.verdict();
    let report = muster_leaks::report::verdict(&verdict);
    assert_eq!(verdict.suspects.len(), 1, "{report}");
    let place = &verdict.suspects[0].blocks_at;
    assert!(place.file.ends_with("src/form.rs"), "{report}");
    assert_eq!(place.line, leaking_line(), "{report}");
    assert!(root.stop().await.is_clean());
}

#[test]
fn the_program_tells_what_leaks() {
    let run = |form: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_discount"))
            .args(form)
            .args(["--minutes", "6", "--faster", "200"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (leaking, mended) = (run(&["--leaking"]), run(&[]));
    let output = |program: std::process::Child| {
        let output = program.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (leaking, mended) = (output(leaking), output(mended));
    let place = format!("form.rs:{}", leaking_line());
    assert!(leaking.contains("leaks found: 1"), "{leaking}");
    assert!(leaking.contains(&place), "{leaking}");
    assert!(mended.contains("leaks found: 0"), "{mended}");
}
