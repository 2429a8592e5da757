//! What a short task costs: spawn to finish, and spawn to join.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_tasks::Group;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::{Failure, Setting, on_both_runtimes};
use crate::row::{Row, Target, Unit};
use crate::usage::cpu_time;

const TASKS: usize = 100_000;
const ROUNDS: usize = 31;

pub(super) fn measure(_: &Setting) -> Result<Vec<Row>, Failure> {
    on_both_runtimes(on)
}

fn on(kind: &str, runtime: &Runtime) -> Result<Vec<Row>, Failure> {
    let mut best = [f64::MAX; 5];
    for _ in 0..ROUNDS {
        let round = runtime.block_on(async {
            Ok::<_, Failure>([
                cost(raw_detached()).await?,
                cost(own_detached()).await?,
                cost(own_cancellable()).await?,
                cost(raw_joined()).await?,
                cost(own_joined()).await?,
            ])
        })?;
        for (best, cost) in best.iter_mut().zip(round) {
            *best = best.min(cost);
        }
    }
    let [raw, own, cancellable, raw_joined, own_joined] = best;
    let beside = |row: Row| row.beside("raw detached spawn + finish", raw);
    let what = |what: &str| format!("{what}, {kind}");
    Ok(vec![
        beside(Row::new(
            &what("task spawn + finish, on top of raw"),
            Unit::Nanoseconds,
            own - raw,
            Target::AtMost(150.0),
        )),
        beside(Row::new(
            &what("the same, waiting for its cancellation too"),
            Unit::Nanoseconds,
            cancellable - raw,
            Target::None,
        )),
        Row::new(
            &what("task spawn + join"),
            Unit::Nanoseconds,
            own_joined,
            Target::RatioAtMost(1.10),
        )
        .beside("raw spawn + join", raw_joined),
    ])
}

/// Nanoseconds of processor time a task.
async fn cost(work: impl Future<Output = Result<(), Failure>>) -> Result<f64, Failure> {
    let begin = cpu_time();
    work.await?;
    Ok((cpu_time() - begin).as_nanos() as f64 / TASKS as f64)
}

/// Counts tasks down and tells when there is none left.
struct Countdown {
    left: AtomicUsize,
    done: Notify,
}

#[expect(clippy::disallowed_methods, reason = "raw tokio is what is measured")]
async fn raw_detached() -> Result<(), Failure> {
    let count = Arc::new(Countdown {
        left: AtomicUsize::new(TASKS),
        done: Notify::new(),
    });
    for _ in 0..TASKS {
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            if count.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                count.done.notify_one();
            }
        });
    }
    count.done.notified().await;
    Ok(())
}

async fn own_detached() -> Result<(), Failure> {
    let group = Group::root("bench");
    for _ in 0..TASKS {
        group.go("task", async {})?;
    }
    group.wait().await;
    Ok(())
}

async fn own_cancellable() -> Result<(), Failure> {
    let group = Group::root("bench");
    for _ in 0..TASKS {
        group.go_cx("task", |cx| async move {
            tokio::select! { biased; _ = cx.cancelled() => {}, () = std::future::ready(()) => {} }
        })?;
    }
    group.wait().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "raw tokio is what is measured")]
async fn raw_joined() -> Result<(), Failure> {
    let handles: Vec<_> = (0..TASKS).map(|n| tokio::spawn(async move { n })).collect();
    for handle in handles {
        black_box(handle.await?);
    }
    Ok(())
}

async fn own_joined() -> Result<(), Failure> {
    let group = Group::root("bench");
    let spawned = (0..TASKS).map(|n| group.spawn("task", async move { n }));
    let handles: Vec<_> = spawned.collect::<Result<_, _>>()?;
    for handle in handles {
        black_box(handle.join().await.done().ok_or("a task did not finish")?);
    }
    Ok(())
}
