//! A million tasks that wait: how much memory each takes, how long it takes to stop them all.
//!
//! Each kind runs in a process of its own, so that none inherits the memory of another.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use muster_tasks::Group;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::{cpu_time, resident};

const TASKS: usize = 1_000_000;
const ROUNDS: usize = 5;
/// Snapshots that are taken while spawns are timed.
const SNAPSHOTS: usize = 5;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Raw tasks with their handles, ended by abort.
    Raw,
    /// Tasks of a group that wait for anything.
    Plain,
    /// Tasks of a group that wait for their cancellation.
    Cancellable,
}

const KINDS: [Kind; 3] = [Kind::Raw, Kind::Plain, Kind::Cancellable];

/// Best of the rounds.
#[derive(Clone, Copy)]
struct Best {
    bytes: f64,
    stop: f64,
    stop_cpu: f64,
    /// Longest time that a spawn took while snapshots were taken, and without them.
    spawn_beside_snapshot: f64,
    spawn_alone: f64,
}

pub(super) fn measure(_: &Setting) -> Result<Vec<Row>, Failure> {
    let mut best = [Best {
        bytes: f64::MAX,
        stop: f64::MAX,
        stop_cpu: f64::MAX,
        spawn_beside_snapshot: f64::MAX,
        spawn_alone: f64::MAX,
    }; KINDS.len()];
    for _ in 0..ROUNDS {
        for (best, kind) in best.iter_mut().zip(KINDS) {
            let round = in_another_process(kind)?;
            best.bytes = best.bytes.min(round.bytes);
            best.stop = best.stop.min(round.stop);
            best.stop_cpu = best.stop_cpu.min(round.stop_cpu);
            let beside = round.spawn_beside_snapshot;
            best.spawn_beside_snapshot = best.spawn_beside_snapshot.min(beside);
            best.spawn_alone = best.spawn_alone.min(round.spawn_alone);
        }
    }
    let [raw, plain, cancellable] = best;
    let of = |what: &str, own: Best| {
        let memory = format!("memory of a parked task ({what}), 1,000,000 of them");
        let stop = format!("stop of 1,000,000 parked tasks ({what})");
        [
            Row::new(&memory, Unit::Bytes, own.bytes, Target::AtMost(400.0))
                .beside("raw, with its handle", raw.bytes),
            Row::new(&stop, Unit::Seconds, own.stop, Target::AtMost(1.5))
                .beside("raw, abort and await", raw.stop)
                .note(format!("{:.2} s of processor time", own.stop_cpu)),
        ]
    };
    let mut rows = of("waits for its cancellation", cancellable).to_vec();
    rows.extend(of("waits for anything", plain));
    let what = "longest spawn into a group of 1,000,000 while snapshots of it are taken";
    let longest = plain.spawn_beside_snapshot;
    rows.push(
        Row::new(what, Unit::Milliseconds, longest * 1e3, Target::AtMost(1.0))
            .beside("without snapshots", plain.spawn_alone * 1e3)
            .note("a snapshot holds the lock for at most 1,024 tasks at a time".to_owned()),
    );
    Ok(rows)
}

fn in_another_process(kind: Kind) -> Result<Best, Failure> {
    let name = kind.to_possible_value().ok_or("a kind without a name")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["parked", name.get_name()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr)
            .trim()
            .to_owned()
            .into());
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let number = |key: &str| told[key].as_f64().ok_or_else(|| format!("no {key}"));
    Ok(Best {
        bytes: number("bytes")?,
        stop: number("stop")?,
        stop_cpu: number("stop_cpu")?,
        spawn_beside_snapshot: number("spawn_beside_snapshot")?,
        spawn_alone: number("spawn_alone")?,
    })
}

/// Parks and stops tasks right here.
pub(crate) fn in_this_process(kind: Kind) -> Result<Value, Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()?;
    runtime.block_on(async {
        match kind {
            Kind::Raw => raw().await,
            Kind::Plain | Kind::Cancellable => own(kind).await,
        }
    })
}

/// How many tasks have begun to wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

async fn wait() {
    WAITING.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
}

async fn all_wait() {
    while WAITING.load(Ordering::Relaxed) < TASKS {
        tokio::task::yield_now().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "raw tokio is what is measured")]
async fn raw() -> Result<Value, Failure> {
    let (before, _) = resident("self")?;
    let handles: Vec<_> = (0..TASKS).map(|_| tokio::spawn(wait())).collect();
    all_wait().await;
    let (after, _) = resident("self")?;
    let (clock, cpu) = (std::time::Instant::now(), cpu_time());
    for handle in &handles {
        handle.abort();
    }
    for handle in handles {
        let _ = handle.await;
    }
    Ok(told(after - before, clock, cpu))
}

async fn own(kind: Kind) -> Result<Value, Failure> {
    let group = Group::root("bench");
    let (before, _) = resident("self")?;
    for _ in 0..TASKS {
        if kind == Kind::Plain {
            group.go("parked", wait())?;
        } else {
            group.go_cx("parked", |cx| async move {
                WAITING.fetch_add(1, Ordering::Relaxed);
                let _ = cx.cancelled().await;
            })?;
        }
    }
    all_wait().await;
    let (after, _) = resident("self")?;
    let shown = group.clone();
    let snapshots = move || {
        for _ in 0..SNAPSHOTS {
            std::hint::black_box(shown.groups());
        }
    };
    let beside = longest_spawn(&group, snapshots).await?;
    let pause = || std::thread::sleep(std::time::Duration::from_millis(500));
    let alone = longest_spawn(&group, pause).await?;
    let (clock, cpu) = (std::time::Instant::now(), cpu_time());
    let report = group.stop().await;
    let mut told = told(after - before, clock, cpu);
    told["spawn_beside_snapshot"] = json!(beside);
    told["spawn_alone"] = json!(alone);
    if !report.is_clean() || group.count() != 0 {
        return Err(format!("not all tasks ended: {report}").into());
    }
    Ok(told)
}

/// The longest time in seconds that a spawn into the group takes while something else is done.
async fn longest_spawn(
    group: &Group,
    meanwhile: impl FnOnce() + Send + 'static,
) -> Result<f64, Failure> {
    let spawning = group.spawn_blocking("probe", {
        let group = group.clone();
        move |cx| {
            let mut longest = 0f64;
            while !cx.is_cancelled() {
                let clock = std::time::Instant::now();
                if group.go("probed", std::future::ready(())).is_err() {
                    break;
                }
                longest = longest.max(clock.elapsed().as_secs_f64());
                // No more than a few thousand a second: the list must not grow by them.
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            longest
        }
    })?;
    let work = group.spawn_blocking("meanwhile", move |_| meanwhile())?;
    let _ = work.join().await;
    spawning.cancel();
    let longest = spawning.join().await.done();
    longest.ok_or_else(|| "the probe was lost".into())
}

fn told(bytes: f64, clock: std::time::Instant, cpu: std::time::Duration) -> Value {
    json!({
        "bytes": bytes / TASKS as f64,
        "stop": clock.elapsed().as_secs_f64(),
        "stop_cpu": (cpu_time() - cpu).as_secs_f64(),
        "spawn_beside_snapshot": f64::MAX,
        "spawn_alone": f64::MAX,
    })
}
