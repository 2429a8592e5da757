//! What a job of a pool costs, and how long it takes from its submission to its start, beside what one
//! would write by hand: a channel, a semaphore, and a task for each job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use muster_tasks::{Group, Pool};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::{Failure, Setting, on_both_runtimes, percentile};
use crate::row::{Row, Target, Unit};
use crate::usage::cpu_time;

const JOBS: usize = 100_000;
/// Jobs of which each is submitted when the one before has started.
const SINGLE: usize = 5_000;
const ROUNDS: usize = 15;
const WORKERS: usize = 8;
const QUEUE: usize = 1024;

pub(super) fn measure(_: &Setting) -> Result<Vec<Row>, Failure> {
    on_both_runtimes(on)
}

fn on(kind: &str, runtime: &Runtime) -> Result<Vec<Row>, Failure> {
    let (mut cost, mut latency) = ([f64::MAX; 2], [f64::MAX; 2]);
    for _ in 0..ROUNDS {
        let (costs, latencies) = runtime.block_on(round())?;
        for (best, now) in cost.iter_mut().zip(costs) {
            *best = best.min(now);
        }
        for (best, now) in latency.iter_mut().zip(latencies) {
            *best = best.min(now);
        }
    }
    let row = |what: &str, [raw, own]: [f64; 2]| {
        let what = format!("{what}, {kind}");
        Row::new(&what, Unit::Nanoseconds, own, Target::RatioAtMost(1.10))
            .beside("channel + semaphore + spawn", raw)
    };
    Ok(vec![
        row("pool: processor time of a job, many at once", cost),
        row(
            "pool: submission to start on idle workers (median)",
            latency,
        ),
    ])
}

/// Costs and latencies, by hand and of the pool.
async fn round() -> Result<([f64; 2], [f64; 2]), Failure> {
    let told = Arc::new(Told::default());
    let by_hand = ByHand::new(&told);
    let root = Group::root("bench");
    let of_pool = Arc::clone(&told);
    let pool: Pool<Instant> =
        root.pool("pool")
            .size(WORKERS)
            .queue(QUEUE)
            .worker(move |at, _cx| {
                of_pool.started(at);
                std::future::ready(())
            })?;
    let costs = [
        cost(&told, async |at| by_hand.submit(at).await).await?,
        cost(&told, async |at| Ok(pool.go(at).await?)).await?,
    ];
    let latencies = [
        latency(&told, async |at| by_hand.submit(at).await).await?,
        latency(&told, async |at| Ok(pool.go(at).await?)).await?,
    ];
    if !pool.stop().await.is_clean() {
        return Err("the pool did not end".into());
    }
    Ok((costs, latencies))
}

/// What jobs tell when they start.
#[derive(Default)]
struct Told {
    count: AtomicUsize,
    waited: AtomicU64,
    awaited: AtomicUsize,
    enough: Notify,
}

impl Told {
    fn started(&self, at: Instant) {
        let waited = at.elapsed().as_nanos() as u64;
        self.waited.store(waited, Ordering::Relaxed);
        if self.count.fetch_add(1, Ordering::AcqRel) + 1 == self.awaited.load(Ordering::Acquire) {
            self.enough.notify_one();
        }
    }

    /// From now on, so many jobs are waited for.
    fn expect(&self, jobs: usize) {
        self.count.store(0, Ordering::Release);
        self.awaited.store(jobs, Ordering::Release);
    }
}

async fn cost(
    told: &Told,
    submit: impl AsyncFn(Instant) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    told.expect(JOBS);
    let begin = cpu_time();
    for _ in 0..JOBS {
        submit(Instant::now()).await?;
    }
    told.enough.notified().await;
    Ok((cpu_time() - begin).as_nanos() as f64 / JOBS as f64)
}

async fn latency(
    told: &Told,
    submit: impl AsyncFn(Instant) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let mut waited = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        told.expect(1);
        submit(Instant::now()).await?;
        told.enough.notified().await;
        waited.push(told.waited.load(Ordering::Relaxed) as f64);
        // Lets the worker finish and wait again.
        tokio::task::yield_now().await;
    }
    Ok(percentile(&mut waited, 0.5))
}

/// Jobs go through a channel to a task that waits for a place for each and spawns it.
struct ByHand(mpsc::Sender<Instant>);

impl ByHand {
    #[expect(clippy::disallowed_methods, reason = "raw tokio is what is measured")]
    fn new(told: &Arc<Told>) -> Self {
        let (sender, mut jobs) = mpsc::channel(QUEUE);
        let places = Arc::new(Semaphore::new(WORKERS));
        let told = Arc::clone(told);
        tokio::spawn(async move {
            while let Some(at) = jobs.recv().await {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    told.started(at);
                    drop(place);
                });
            }
        });
        Self(sender)
    }

    async fn submit(&self, at: Instant) -> Result<(), Failure> {
        Ok(self.0.send(at).await?)
    }
}
