//! A supervisor with 100,000 children: their start and stop beside raw tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_tasks::{ChildSpec, Ctx, Group};
use tokio::runtime::Builder;

use super::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::cpu_time;

const CHILDREN: usize = 100_000;
const ROUNDS: usize = 9;

pub(super) fn measure(_: &Setting) -> Result<Vec<Row>, Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()?;
    let mut best = [[f64::MAX; 2]; 2];
    for _ in 0..ROUNDS {
        let round = runtime.block_on(async { Ok::<_, Failure>([raw().await, own().await?]) })?;
        for (best, round) in best.iter_mut().flatten().zip(round.iter().flatten()) {
            *best = best.min(*round);
        }
    }
    let [[raw_start, raw_stop], [start, stop]] = best;
    let row = |what: &str, own: f64, target: f64, reference: &str, raw: f64| {
        let what = format!("supervisor: {what} of a child, 100,000 of them");
        Row::new(&what, Unit::Nanoseconds, own, Target::RatioAtMost(target)).beside(reference, raw)
    };
    Ok(vec![
        row("start", start, 8.0, "raw spawn", raw_start),
        row("stop", stop, 4.0, "raw abort and await", raw_stop),
    ])
}

async fn all_wait(waiting: &AtomicUsize) {
    while waiting.load(Ordering::Relaxed) < CHILDREN {
        tokio::task::yield_now().await;
    }
}

/// Nanoseconds of processor time for a start and a stop.
#[expect(clippy::disallowed_methods, reason = "raw tokio is what is measured")]
async fn raw() -> [f64; 2] {
    let waiting = Arc::new(AtomicUsize::new(0));
    let begin = cpu_time();
    let spawned = (0..CHILDREN).map(|_| {
        let waiting = Arc::clone(&waiting);
        tokio::spawn(async move {
            waiting.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        })
    });
    let handles: Vec<_> = spawned.collect();
    all_wait(&waiting).await;
    let middle = cpu_time();
    for handle in &handles {
        handle.abort();
    }
    for handle in handles {
        let _ = handle.await;
    }
    each(begin, middle)
}

async fn own() -> Result<[f64; 2], Failure> {
    let waiting = Arc::new(AtomicUsize::new(0));
    let root = Group::root("bench");
    let begin = cpu_time();
    let of_children = Arc::clone(&waiting);
    let spec = ChildSpec::new("child", move |cx: Ctx| {
        of_children.fetch_add(1, Ordering::Relaxed);
        async move {
            cx.cancelled().await;
        }
    });
    let supervisor = root.supervisor("supervisor").start()?;
    for _ in 0..CHILDREN {
        supervisor.start_child(spec.clone())?;
    }
    all_wait(&waiting).await;
    let middle = cpu_time();
    let report = supervisor.stop().await;
    let costs = each(begin, middle);
    if !report.is_clean() || root.count() != 0 {
        return Err(format!("not all children ended: {report}").into());
    }
    Ok(costs)
}

fn each(begin: std::time::Duration, middle: std::time::Duration) -> [f64; 2] {
    let end = cpu_time();
    [middle - begin, end - middle].map(|time| time.as_nanos() as f64 / CHILDREN as f64)
}
