//! Inputs that panic, hang, block and fail take nothing down with them.

use std::time::{Duration, Instant};

use muster_testkit::{Agent, Usage, eventually_within};

use super::support::{
    Ask, Stalls, TO_FILE, agent, alone, assert_each_second, assert_gapless, mock, written,
};

const WELL: usize = 900;
const ILL: usize = 100;
const FAULTS: [&str; 4] = ["panic", "hang", "block", "error"];
const TIME: Duration = Duration::from_secs(60);

/// By how much memory may grow between second 20 and 60: the kernel's and the allocator's noise,
/// far less than what one leaked gather a second would take.
const GROWTH: u64 = 8 << 20;

const CONFIG: &str = "
[agent]
interval = \"1s\"
flush_interval = \"1s\"
precision = \"1ms\"
omit_hostname = true
metric_batch_size = 10000
metric_buffer_limit = 100000
stop_timeout = \"5s\"
";

#[derive(Clone, Copy, Debug)]
struct Counts {
    tasks: usize,
    usage: Usage,
}

/// The most of several looks: tasks and threads come and go with each tick.
fn most(agent: &Agent) -> Counts {
    let mut most = Counts {
        tasks: agent.tasks(),
        usage: agent.process.usage(),
    };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        let (tasks, usage) = (agent.tasks(), agent.process.usage());
        most.tasks = most.tasks.max(tasks);
        most.usage.threads = most.usage.threads.max(usage.threads);
        most.usage.files = most.usage.files.max(usage.files);
        most.usage.resident = most.usage.resident.max(usage.resident);
        std::thread::sleep(Duration::from_millis(100));
    }
    most
}

#[test]
fn mixed_faults_leave_the_others_alone() {
    let _alone = alone();
    let stalls = Stalls::watch();
    let mut config = format!("{CONFIG}{TO_FILE}");
    for n in 0..WELL {
        config += &mock(&format!("well-{n}"), "");
    }
    for n in 0..ILL {
        let fault = FAULTS[n % FAULTS.len()];
        // A panic makes the input anew, which then counts from the beginning: these panic at once.
        let after = if fault == "panic" { 0 } else { 2 };
        let more = format!("fault = \"{fault}\"\nfault_after = {after}\nblock_for = \"20s\"");
        config += &mock(&format!("ill-{fault}-{n}"), &more);
    }
    let mut agent = agent(&config).start();
    let began = Instant::now();
    wait_until(began, Duration::from_secs(20));
    let at_20 = most(&agent);
    let status = agent.get("/api/v1/status");
    wait_until(began, TIME);
    let at_60 = most(&agent);
    for (fault, n) in FAULTS.iter().zip(0..) {
        let observed = agent.component("inputs", &format!("ill-{fault}-{n}"))["observed"].clone();
        eprintln!("{fault}: {observed}");
    }
    eprintln!(
        "second 20: {at_20:?}\nsecond 60: {at_60:?}\n{}",
        status["components"]
    );

    // The ill ones are shown as such, and only they.
    let troubles = status["troubles"].as_array().unwrap();
    assert!(
        troubles
            .iter()
            .all(|t| t["component"].as_str().unwrap().contains("ill-")),
        "{troubles:?}"
    );
    assert!(
        troubles.len() >= ILL * 3 / 4,
        "{} of {ILL} are shown: {troubles:?}",
        troubles.len()
    );
    for fault in FAULTS {
        let name = format!("ill-{fault}");
        let shown = troubles
            .iter()
            .any(|t| t["component"].as_str().unwrap().contains(&name));
        assert!(shown, "no input with {fault} is shown");
    }
    assert_eq!(agent.state("inputs", "ill-panic-0"), "quarantined");

    assert!(at_60.tasks <= at_20.tasks + 20, "tasks grow");
    assert!(
        at_60.usage.threads <= at_20.usage.threads + 4,
        "threads grow"
    );
    assert!(
        at_60.usage.files <= at_20.usage.files + 4,
        "open files grow"
    );
    assert!(
        at_60.usage.resident <= at_20.usage.resident + GROWTH,
        "memory grows"
    );

    let begin = Instant::now();
    let code = agent.stop(Duration::from_secs(6));
    let log = agent.log();
    eprintln!("stop took {:.1?}, exit code {code:?}", begin.elapsed());
    let named = log
        .lines()
        .filter(|line| line.contains("would not stop"))
        .collect::<Vec<_>>();
    assert!(
        !named.is_empty(),
        "what would not stop is not named:\n{}",
        last_lines(&log)
    );
    assert!(
        named.join("\n").contains("mock block") || log.contains("mock block"),
        "{named:?}"
    );

    assert!(
        !log.contains("dropped without a stop"),
        "the stop has named what is left:\n{}",
        last_lines(&log)
    );

    let text = agent.read("out");
    let series = written(&text);
    let stalls = stalls.end();
    for n in 0..WELL {
        let id = format!("well-{n}");
        let seen = &series[id.as_str()];
        assert_gapless(&id, seen, 0);
        assert_each_second(&id, seen, &stalls);
        assert!(
            seen.len() >= TIME.as_secs() as usize,
            "{id}: {} metrics",
            seen.len()
        );
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The test lasts by the clock: that is what it shows.
fn wait_until(began: Instant, time: Duration) {
    eventually_within(time + Duration::from_secs(1), "the time to pass", || {
        (began.elapsed() >= time).then_some(())
    });
}
