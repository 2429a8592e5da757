//! The leak monitor: each way to leak is found, and load with bursts is no finding.

#![allow(clippy::panic, reason = "helpers of tests fail like tests")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::{
    AwaitLabel, BlockingOptions, Finding, Group, LeakMonitor, LeakMonitorOptions, StopOptions,
    Verdict,
};

fn options() -> LeakMonitorOptions {
    LeakMonitorOptions {
        every: Duration::from_millis(10),
        stuck_after: Duration::from_millis(50),
        ..LeakMonitorOptions::default()
    }
}

/// Waits until the monitor has a finding of this kind.
async fn found(monitor: &LeakMonitor, verdict: Verdict) -> Finding {
    for _ in 0..1000 {
        let findings = monitor.findings();
        if let Some(finding) = findings.iter().find(|finding| finding.verdict == verdict) {
            return finding.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no {verdict:?} in {:?}", monitor.findings());
}

async fn gone(monitor: &LeakMonitor) {
    for _ in 0..1000 {
        if monitor.findings().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still there: {:?}", monitor.findings());
}

/// Ends what spins, also when the test fails.
struct LetGo(Arc<AtomicBool>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[track_caller]
fn assert_names(finding: &Finding, line: u32, name: &str) {
    assert!(finding.location.file.ends_with("monitor.rs"), "{finding}");
    assert_eq!(finding.location.line, line, "{finding}");
    assert_eq!(finding.name.to_string(), name, "{finding}");
}

#[muster_tasks::test(flavor = "multi_thread")]
async fn a_task_that_outlives_its_group(root: Group) {
    let monitor = LeakMonitor::start(&root, options()).unwrap();
    let stubborn = root.group("stubborn");
    let go_on = Arc::new(AtomicBool::new(true));
    let on = Arc::clone(&go_on);
    let let_go = LetGo(go_on);
    let line = line!() + 2;
    stubborn
        .go("spin", async move {
            while on.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        })
        .unwrap();
    let grace = StopOptions {
        abort_after: Duration::from_millis(10),
        ..StopOptions::grace(Duration::from_millis(10))
    };
    // It must have begun: a task that was never polled is dropped at once.
    while stubborn.stuck(Duration::ZERO).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stubborn.stop_with(grace).await.stuck.len(), 1);
    let finding = found(&monitor, Verdict::OutlivedGroup).await;
    assert_names(&finding, line, "spin");
    // It is stuck in a poll as well; the stronger evidence stands first.
    found(&monitor, Verdict::StuckInPoll).await;
    assert_eq!(monitor.findings()[0].verdict, Verdict::OutlivedGroup);
    drop(let_go);
    gone(&monitor).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread")]
async fn a_thread_that_blocks_past_its_time(root: Group) {
    let monitor = LeakMonitor::start(&root, options()).unwrap();
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let limit = BlockingOptions {
        timeout: Some(Duration::from_millis(20)),
    };
    let line = line!() + 2;
    let blocking = root
        .spawn_blocking_with("slow", &limit, move |_| {
            let _ = wait.recv();
        })
        .unwrap();
    let finding = found(&monitor, Verdict::BlockingTooLong).await;
    assert_names(&finding, line, "slow");
    drop(end);
    let _ = blocking.join().await;
    gone(&monitor).await;
    assert!(root.stop().await.is_clean());
}

/// Of tasks that all wait, only the one that nobody can wake is found.
#[cfg(feature = "lost-waker")]
#[muster_tasks::test]
async fn a_task_that_nobody_can_wake(root: Group) {
    let monitor = LeakMonitor::start(&root, options()).unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    root.go("receives", async move {
        let _ = receiver.await;
    })
    .unwrap();
    root.go("sleeps", tokio::time::sleep(Duration::from_secs(3600)))
        .unwrap();
    root.go("yields", async {
        loop {
            tokio::task::yield_now().await;
        }
    })
    .unwrap();
    root.go_cx("hears", |cx| async move { cx.cancelled().await })
        .unwrap();
    let line = line!() + 1;
    root.go("lost", pending::<()>()).unwrap();
    let finding = found(&monitor, Verdict::LostWaker).await;
    assert_names(&finding, line, "lost");
    assert_eq!(finding.live, 1, "{finding}");
    // Some samples more: nobody else is found.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let findings = monitor.findings();
    let lost = findings.iter().filter(|f| f.verdict == Verdict::LostWaker);
    assert_eq!(lost.count(), 1, "{findings:?}");
    drop(sender);
    let _ = root.stop_with(StopOptions::grace(Duration::ZERO)).await;
}

#[muster_tasks::test]
async fn a_group_over_its_budget(root: Group) {
    let monitor = LeakMonitor::start(&root, options()).unwrap();
    let small = root.builder("small").max_live(2).build();
    for _ in 0..3 {
        small.go("one", pending::<()>()).unwrap();
    }
    assert_eq!(found(&monitor, Verdict::OverBudget).await.live, 3);
    let _ = small.stop_with(StopOptions::grace(Duration::ZERO)).await;
    gone(&monitor).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn more_and_more_that_nobody_wakes(root: Group) {
    let told = Arc::new(AtomicUsize::new(0));
    let tell = Arc::clone(&told);
    let count = move |finding: &Finding| {
        assert_eq!(finding.verdict, Verdict::Growth);
        tell.fetch_add(1, Ordering::Relaxed);
    };
    let monitor = LeakMonitor::start_with(&root, LeakMonitorOptions::default(), count).unwrap();
    let requests = root.group("requests");
    let quiet = root.builder("quiet").expect_resident().build();
    let mut line = 0;
    // Somebody could still answer, but does not.
    let mut senders = Vec::new();
    for _ in 0..300 {
        let (sender, answer) = tokio::sync::oneshot::channel::<()>();
        senders.push(sender);
        let answer = async { drop(answer.await) };
        tokio::time::sleep(Duration::from_secs(1)).await;
        line = line!() + 1;
        requests.go("ask", answer.at("answer")).unwrap();
        let (sender, answer) = tokio::sync::oneshot::channel::<()>();
        senders.push(sender);
        quiet.go("kept", async { drop(answer.await) }).unwrap();
    }
    let findings = monitor.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_names(&findings[0], line, "ask");
    let per_hour = findings[0].per_hour.unwrap();
    assert!((3500.0..3700.0).contains(&per_hour), "{per_hour}");
    let text = findings[0].to_string();
    assert!(
        text.contains("requests/ask") && text.contains("\"answer\""),
        "{text}"
    );
    // Said once, however often it is seen.
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert_eq!(findings[0].tasks.len(), 3);
    let _ = root.stop_with(StopOptions::grace(Duration::ZERO)).await;
}

/// An hour of load that comes in bursts and ebbs: tasks that wait for seconds, a pool that grows and
/// shrinks, long connections that come and go.
#[muster_tasks::test(start_paused = true)]
async fn an_hour_of_bursts_is_no_finding(root: Group) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let monitor = LeakMonitor::start_with(&root, LeakMonitorOptions::default(), move |finding| {
        println!("{finding}");
        count.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    let load = root.group("load");
    let mut random = 12345u64;
    let mut below = |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % bound
    };
    for second in 0..3600u64 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Five minutes up, five minutes down.
        let phase = second % 600;
        let rate = if phase < 300 { phase } else { 600 - phase } / 20;
        let burst = if below(60) == 0 { 200 } else { 0 };
        for _ in 0..rate + burst {
            let time = Duration::from_millis(500 + below(20_000));
            load.go("request", tokio::time::sleep(time)).unwrap();
        }
        if below(10) == 0 {
            let life = Duration::from_secs(30 + below(240));
            load.go("connection", tokio::time::sleep(life)).unwrap();
        }
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    assert!(monitor.findings().is_empty());
    let _ = root.stop_with(StopOptions::grace(Duration::ZERO)).await;
}
