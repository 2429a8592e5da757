//! What a task costs, side by side with raw tokio in the same run:
//! `cargo run --release -p muster-tasks --example overhead`.
//!
//! CPU time of the process per task; each figure is the minimum of interleaved rounds.

#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use muster_tasks::Group;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TASKS: usize = 100_000;
/// Tasks that live at a time: few (they stay in the caches) and all.
const BATCHES: [usize; 2] = [1_000, TASKS];
const ROUNDS: usize = 21;
const PARKED: usize = 1_000_000;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("parked") => return parked(false),
        Some("parked-cx") => return parked(true),
        _ => {}
    }
    for threads in [0, 2] {
        let runtime = runtime(threads);
        let kind = if threads == 0 {
            "current thread"
        } else {
            "2 workers"
        };
        for batch in BATCHES {
            println!("{kind}, short tasks, {batch} at a time, cpu-ns per task");
            short(&runtime, batch);
        }
    }
    println!("{PARKED} parked tasks, 2 workers");
    // Each in a process of its own, so that memory kept from earlier work does not hide anything.
    for kind in ["parked", "parked-cx"] {
        let program = std::env::current_exe().unwrap();
        assert!(Command::new(program).arg(kind).status().unwrap().success());
    }
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 0 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().unwrap()
}

fn short(runtime: &Runtime, batch: usize) {
    let mut best = [f64::MAX; 6];
    for _ in 0..ROUNDS {
        let results = runtime.block_on(async {
            [
                measure(batch, || raw_detached(batch)).await,
                measure(batch, || own_detached(batch, false)).await,
                measure(batch, || own_detached(batch, true)).await,
                measure(batch, || raw_joined(batch)).await,
                measure(batch, || own_joined(batch, false)).await,
                measure(batch, || own_joined(batch, true)).await,
            ]
        });
        for (best, result) in best.iter_mut().zip(results) {
            *best = best.min(result);
        }
    }
    let [raw, own, own_cx, raw_join, own_join, own_join_cx] = best;
    println!("  raw detached        {raw:7.0}");
    println!("  go + finish         {own:7.0}  (+{:.0})", own - raw);
    println!("  go_cx + cancelled() {own_cx:7.0}  (+{:.0})", own_cx - raw);
    println!("  raw spawn + join    {raw_join:7.0}");
    println!(
        "  spawn + join        {own_join:7.0}  ({:.2}x)",
        own_join / raw_join
    );
    println!(
        "  spawn_cx + join     {own_join_cx:7.0}  ({:.2}x)",
        own_join_cx / raw_join
    );
}

async fn measure<F: Future<Output = ()>>(batch: usize, work: impl Fn() -> F) -> f64 {
    let begin = cpu_time();
    for _ in 0..TASKS / batch {
        work().await;
    }
    (cpu_time() - begin) * 1e9 / TASKS as f64
}

fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Counts tasks down and tells when there is none left.
struct Countdown {
    left: AtomicUsize,
    done: Notify,
}

async fn raw_detached(tasks: usize) {
    let count = Arc::new(Countdown {
        left: AtomicUsize::new(tasks),
        done: Notify::new(),
    });
    for _ in 0..tasks {
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            if count.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                count.done.notify_one();
            }
        });
    }
    count.done.notified().await;
}

async fn own_detached(tasks: usize, with_cx: bool) {
    let group = Group::root("bench");
    for _ in 0..tasks {
        if with_cx {
            group
                .go_cx("t", |cx| async move {
                    tokio::select! { biased; _ = cx.cancelled() => {}, () = std::future::ready(()) => {} }
                })
                .unwrap();
        } else {
            group.go("t", async {}).unwrap();
        }
    }
    group.wait().await;
}

async fn raw_joined(tasks: usize) {
    let handles: Vec<_> = (0..tasks).map(|i| tokio::spawn(async move { i })).collect();
    for handle in handles {
        black_box(handle.await.unwrap());
    }
}

async fn own_joined(tasks: usize, with_cx: bool) {
    let group = Group::root("bench");
    let spawn = |i| {
        if with_cx {
            group.spawn_cx("t", move |_cx| async move { i })
        } else {
            group.spawn("t", async move { i })
        }
    };
    let handles: Vec<_> = (0..tasks).map(|i| spawn(i).unwrap()).collect();
    for handle in handles {
        black_box(handle.join().await.done().unwrap());
    }
}

fn parked(with_cx: bool) {
    runtime(2).block_on(async {
        let group = Group::root("bench");
        let before = rss();
        let begin = Instant::now();
        for _ in 0..PARKED {
            if with_cx {
                group
                    .go_cx("parked", |cx| async move { drop(cx.cancelled().await) })
                    .unwrap();
            } else {
                group.go("parked", std::future::pending::<()>()).unwrap();
            }
        }
        while group.snapshot_spawned() {
            tokio::task::yield_now().await;
        }
        let spawned = begin.elapsed();
        let bytes = (rss() - before) / PARKED;
        let begin = Instant::now();
        let counts = group.groups();
        let counted = begin.elapsed();
        assert_eq!(counts[0].live, PARKED);
        let report = group.stop().await;
        assert!(report.is_clean());
        let kind = if with_cx {
            "in cx.cancelled()"
        } else {
            "without a context"
        };
        let stopped = report.elapsed;
        println!(
            "  {kind}: {bytes} B RSS per task, spawned in {spawned:.2?}, \
             counted in {counted:.2?}, stopped in {stopped:.2?}"
        );
    });
}

trait SnapshotSpawned {
    fn snapshot_spawned(&self) -> bool;
}

impl SnapshotSpawned for Group {
    /// Whether some task was never polled.
    fn snapshot_spawned(&self) -> bool {
        let state = Some(muster_tasks::TaskState::Spawned);
        let options = muster_tasks::SnapshotOptions {
            max_tasks: 1,
            state,
            ..Default::default()
        };
        !self.snapshot(options).root.tasks.is_empty()
    }
}

/// Resident memory of this process, in bytes.
fn rss() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
