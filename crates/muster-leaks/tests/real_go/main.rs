//! Real Go programs, built by an old and a current Go: those that leak are named by both lines
//! within ten samples, and their mended twins and a healthy server under bursts are no suspects in
//! two hundred. A sample is a minute of work, done at once; nothing sleeps.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod service;

use jiff::Timestamp;
use muster_leaks::{Evidence, Options, Verdict, Watch};
use service::{Go, Service, sources};

/// Each case with the file that it is in; it marks the lines. Where the lines are not of the
/// program, it marks none.
const CASES: [&str; 12] = [
    "send-nobody-receives",
    "early-return",
    "sender-failed",
    "timeout-wins",
    "first-of-many",
    "range-never-closed",
    "full-channel",
    "missing-cancel",
    "forgotten-body",
    "mutex-held",
    "nil-channel",
    "missing-done",
];

/// Something that lives refers to what these wait on (a global, a connection), or Go's collector
/// believes so.
const UNPROVABLE: [&str; 4] = [
    "full-channel",
    "forgotten-body",
    "mutex-held",
    "send-nobody-receives",
];

/// A leak a second is so many in a sample.
const UNITS: u32 = 60;

/// Watches a case for so many samples, a minute apart; ends early when something is suspected.
fn watch(service: &Service, units: u32, samples: i64) -> Verdict {
    let mut watch = Watch::new("service", Options::default());
    for minute in 0..samples {
        service.work(units);
        let at = Timestamp::from_second(1_800_000_000 + minute * 60).unwrap();
        watch.feed(at, &service.profile("goroutine").unwrap());
        while let Some(want) = watch.want(at) {
            match service.profile(want.path()) {
                Some(profile) => watch.feed(at, &profile),
                None => watch.no_leak_profile(),
            }
        }
        if !watch.verdict().suspects.is_empty() {
            break;
        }
    }
    watch.verdict()
}

/// The line of a case's file that has a mark.
fn marked(case: &str, mark: &str) -> Option<String> {
    let file = format!("{}.go", case.replace('-', "_"));
    let source = std::fs::read_to_string(sources().join(&file)).unwrap();
    let line = source.lines().position(|line| line.ends_with(mark))?;
    Some(format!("example.com/leaks/{file}:{}", line + 1))
}

/// What is wrong with the verdict on a case that leaks.
fn leaking(go: Go, case: &str, verdict: &Verdict) -> Option<String> {
    let [suspect] = verdict.suspects.as_slice() else {
        return Some(format!("{} suspects", verdict.suspects.len()));
    };
    let line = |place: &muster_leaks::Place| format!("{}:{}", place.file, place.line);
    let started = suspect.started_at.as_ref();
    let lines = match marked(case, "// LEAK: blocks") {
        Some(blocks) => {
            blocks == line(&suspect.blocks_at)
                && marked(case, "// LEAK: go") == started.map(line)
                && suspect.cause.is_none()
        }
        None => {
            suspect
                .blocks_at
                .function
                .starts_with("net/http.(*persistConn).")
                && started.is_some_and(|at| at.function == "net/http.(*Transport).dialConn")
                && suspect.cause.is_some_and(|cause| cause.contains("closed"))
                && !suspect.together_with.is_empty()
        }
    };
    let evidence = match go {
        Go::Current if !UNPROVABLE.contains(&case) => Evidence::Proved,
        _ if case == "nil-channel" => Evidence::NeverEnds,
        _ => Evidence::Survivors,
    };
    let right = lines && suspect.evidence == evidence && suspect.growing;
    (!right).then(|| "the suspect is another".to_owned())
}

fn check(go: Go) {
    let program = go.build();
    let mut wrong = Vec::new();
    for case in CASES {
        let verdict = watch(&Service::start(&program, case), UNITS, 10);
        if let Some(problem) = leaking(go, case, &verdict) {
            wrong.push(format!("{case}: {problem}: {verdict:#?}"));
        }
    }
    let mended = CASES.map(|case| format!("{case}-mended"));
    for case in mended.iter().map(String::as_str).chain(["bursty"]) {
        let units = if case == "bursty" { 1 } else { UNITS };
        let verdict = watch(&Service::start(&program, case), units, 200);
        if !verdict.suspects.is_empty() || verdict.samples != 200 {
            wrong.push(format!("{case}: {verdict:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{go:?}:\n{}", wrong.join("\n"));
}

#[test]
fn leaks_are_told_from_health_with_debians_go() {
    check(Go::Debian);
}

#[test]
fn leaks_are_told_from_health_with_a_current_go() {
    check(Go::Current);
}
