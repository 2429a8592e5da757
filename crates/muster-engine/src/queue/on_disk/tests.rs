//! A queue on disk with its thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_metric::{Batch, Chunk, Timestamp};
use muster_plugin::{ComponentId, Kind};
use muster_tasks::Group;
use proptest::prelude::*;

use crate::queue::log::Log;
use crate::queue::tests::{chunk, numbers};
use crate::queue::{Limits, OutputQueue};
use crate::stats::Stats;

const LIMITS: Limits = Limits {
    metrics: 1000,
    bytes: 1 << 20,
    batch: 10,
    sync: false,
};

fn stats() -> Arc<Stats> {
    let id = ComponentId::new(Kind::Output, "out");
    Arc::new(Stats::new(id, Timestamp::now()))
}

/// A queue in a folder, with its thread.
fn start(group: &Group, folder: &Path, limits: Limits) -> Arc<OutputQueue> {
    let log = Log::open(folder, limits.bounds()).unwrap();
    let queue = OutputQueue::on_disk(limits, folder.to_owned(), Some(log));
    queue.enter(group, &stats());
    queue
}

/// Waits until nothing is in memory only.
async fn all_on_disk(queue: &OutputQueue) {
    wait_for("all on disk", || queue.in_memory() == 0).await;
}

async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "{what}");
}

/// Takes a batch and settles it.
async fn write(queue: &OutputQueue) -> Vec<i64> {
    let taken = queue.take().await.unwrap();
    queue.settle(taken.epoch, taken.metrics.len());
    numbers(&taken.metrics)
}

async fn write_all(queue: &OutputQueue) -> Vec<i64> {
    let mut all = Vec::new();
    while queue.counts().metrics > 0 {
        all.extend(write(queue).await);
    }
    all
}

#[muster_tasks::test]
async fn what_is_not_settled_is_there_after_a_restart(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(&root, folder.path(), LIMITS);
    queue.push(chunk(0, 25));
    assert_eq!(write(&queue).await, (0..10).collect::<Vec<_>>());
    let taken = queue.take().await.unwrap();
    queue.settle(taken.epoch, 3);
    queue.push(chunk(25, 2));
    queue.close().await;
    let queue = start(&root, folder.path(), LIMITS);
    assert_eq!(queue.counts().metrics, 14);
    assert_eq!(write_all(&queue).await, (13..27).collect::<Vec<_>>());
    queue.close().await;
}

#[muster_tasks::test]
async fn a_source_is_told_when_its_metrics_are_on_disk(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        sync: true,
        ..LIMITS
    };
    let queue = start(&root, folder.path(), limits);
    let guard = Arc::new(());
    let mut batch = Batch::new();
    batch.metric("m").field("n", 0).untimed();
    batch.attach(Arc::clone(&guard) as _);
    queue.push(Chunk::all(Arc::new(batch)));
    wait_for("the source is told", || Arc::strong_count(&guard) == 1).await;
    assert_eq!(queue.in_memory(), 0);
    assert_eq!(write_all(&queue).await, [0]);
    queue.close().await;
}

#[muster_tasks::test]
async fn too_many_push_out_the_oldest_on_disk(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        metrics: 20,
        ..LIMITS
    };
    let queue = start(&root, folder.path(), limits);
    queue.push(chunk(0, 20));
    all_on_disk(&queue).await;
    let taken = queue.take().await.unwrap();
    // The ten in flight stay, the next go.
    queue.push(chunk(20, 5));
    assert_eq!(queue.counts().dropped, 5);
    queue.settle(taken.epoch, 10);
    assert_eq!(write_all(&queue).await, (15..25).collect::<Vec<_>>());
    queue.close().await;
    let queue = start(&root, folder.path(), limits);
    assert_eq!(queue.counts().metrics, 0);
    queue.close().await;
}

#[muster_tasks::test]
async fn too_many_bytes_push_out_the_oldest_on_disk(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        metrics: 1_000_000,
        bytes: 16 << 10,
        ..LIMITS
    };
    let queue = start(&root, folder.path(), limits);
    for n in 0..100 {
        queue.push(chunk(n * 10, 10));
        all_on_disk(&queue).await;
        assert!(queue.counts().bytes <= limits.bytes);
    }
    let counts = queue.counts();
    assert!(counts.dropped > 0, "{counts:?}");
    assert_eq!(counts.metrics as u64 + counts.dropped, 1000);
    let first = counts.dropped.cast_signed();
    assert_eq!(write_all(&queue).await, (first..1000).collect::<Vec<_>>());
    queue.close().await;
}

#[muster_tasks::test]
async fn a_disk_that_refuses_leaves_metrics_in_memory_until_it_takes_them(root: Group) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("out");
    // A file is where the folder is to be.
    std::fs::write(&folder, "").unwrap();
    let stats = stats();
    let queue = OutputQueue::on_disk(LIMITS, folder.clone(), None);
    queue.enter(&root, &stats);
    queue.push(chunk(0, 25));
    // The output goes on meanwhile.
    assert_eq!(write(&queue).await, (0..10).collect::<Vec<_>>());
    let taken = queue.take().await.unwrap();
    assert_eq!(queue.in_memory(), 15);
    let error = stats.observe().last_error.unwrap().message;
    assert!(error.contains("failed to open the buffer"), "{error}");
    std::fs::remove_file(&folder).unwrap();
    queue.push(chunk(25, 5));
    // What is in flight may come back, and must then be before the others.
    queue.put_back(taken.epoch);
    all_on_disk(&queue).await;
    queue.close().await;
    let queue = start(&root, &folder, LIMITS);
    assert_eq!(write_all(&queue).await, (10..30).collect::<Vec<_>>());
    queue.close().await;
}

#[muster_tasks::test]
async fn memory_becomes_disk_and_disk_memory_in_order(root: Group) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("out");
    let queue = OutputQueue::new(LIMITS);
    queue.push(chunk(0, 15));
    let log = Log::open(&folder, LIMITS.bounds()).unwrap();
    queue.become_like(&OutputQueue::on_disk(LIMITS, folder.clone(), Some(log)));
    queue.enter(&root, &stats());
    all_on_disk(&queue).await;
    // A change of other options.
    queue.become_like(&queue);
    queue.enter(&root, &stats());
    assert_eq!(queue.counts().metrics, 15);
    queue.become_like(&OutputQueue::new(LIMITS));
    queue.enter(&root, &stats());
    queue.push(chunk(15, 10));
    assert_eq!(write_all(&queue).await, (0..25).collect::<Vec<_>>());
    wait_for("the folder is removed", || !folder.exists()).await;
    queue.push(chunk(25, 1));
    assert_eq!(queue.in_memory(), 1);
    assert_eq!(write_all(&queue).await, [25]);
    assert_eq!(queue.folder(), None);
}

#[muster_tasks::test]
async fn an_output_that_leaves_removes_its_folder_if_nothing_waits(root: Group) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("out");
    let queue = start(&root, &folder, LIMITS);
    queue.push(chunk(0, 15));
    // One that comes back before the first has left goes on with it.
    queue.enter(&root, &stats());
    queue.leave().await;
    assert_eq!(write(&queue).await.len(), 10);
    queue.leave().await;
    assert!(folder.exists());
    let queue = start(&root, &folder, LIMITS);
    assert_eq!(write_all(&queue).await, (10..15).collect::<Vec<_>>());
    queue.leave().await;
    wait_for("the folder is removed", || !folder.exists()).await;
}

#[muster_tasks::test]
async fn a_queue_that_was_closed_opens_again(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(&root, folder.path(), LIMITS);
    queue.push(chunk(0, 12));
    queue.leave().await;
    queue.push(chunk(12, 3));
    queue.enter(&root, &stats());
    assert_eq!(write_all(&queue).await, (0..15).collect::<Vec<_>>());
    assert_eq!(queue.counts().metrics, 0);
    queue.close().await;
}

impl super::OnDisk {
    pub(super) fn panic_if_told(&mut self) {
        if self.panics > 0 {
            self.panics -= 1;
            panic!("told to");
        }
    }
}

fn panic_times(queue: &OutputQueue, times: u32) {
    queue.state.lock().disk.as_mut().unwrap().panics = times;
}

#[muster_tasks::test]
async fn a_thread_that_panics_begins_anew_and_nothing_is_lost_or_doubled(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let stats = stats();
    let queue = OutputQueue::on_disk(LIMITS, folder.path().to_owned(), None);
    queue.enter(&root, &stats);
    queue.push(chunk(0, 15));
    all_on_disk(&queue).await;
    panic_times(&queue, 1);
    queue.push(chunk(15, 10));
    wait_for("the panic is told", || stats.observe().panics == 1).await;
    let error = stats.observe().last_error.unwrap().message;
    assert!(error.contains("told to"), "{error}");
    all_on_disk(&queue).await;
    queue.close().await;
    let queue = start(&root, folder.path(), LIMITS);
    assert_eq!(write_all(&queue).await, (0..25).collect::<Vec<_>>());
    queue.close().await;
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Write,
    /// A part is written, the rest put back.
    Fail,
    /// The writer is ended while it writes.
    Abort,
    Restart,
    ToMemory,
    ToDisk,
}

fn step() -> impl Strategy<Value = (Step, i64)> {
    let step = prop_oneof![
        4 => Just(Step::Push),
        2 => Just(Step::Write),
        1 => Just(Step::Fail),
        1 => Just(Step::Abort),
        1 => Just(Step::Restart),
        1 => Just(Step::ToMemory),
        1 => Just(Step::ToDisk),
    ];
    (step, 1i64..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, metrics leave in order, none is doubled, and those missing are counted.
    #[test]
    fn in_order_and_accounted_for(
        limit in 5usize..100,
        batch in 1usize..20,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(in_order(limit, batch, steps))?;
    }
}

async fn in_order(
    limit: usize,
    batch: usize,
    steps: Vec<(Step, i64)>,
) -> Result<(), TestCaseError> {
    let root = Group::root("test");
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("out");
    let limits = Limits {
        metrics: limit,
        batch,
        ..LIMITS
    };
    let mut queue = start(&root, &folder, limits);
    let (mut next, mut out, mut dropped) = (0, Vec::new(), 0);
    for (step, count) in steps {
        match step {
            Step::Push => {
                queue.push(chunk(next, count));
                next += count;
            }
            Step::Write => out.extend(write(&queue).await),
            Step::Fail => {
                let taken = queue.take().await.unwrap();
                let done = (count as usize).min(taken.metrics.len());
                out.extend(numbers(&taken.metrics.split_at(done).0));
                queue.settle(taken.epoch, done);
                queue.put_back(taken.epoch);
            }
            Step::Abort => {
                queue.take().await.unwrap();
                queue.inherit();
            }
            Step::Restart if queue.folder().is_some() => {
                queue.close().await;
                // In memory again, and not everything was on disk yet.
                if queue.in_memory() == 0 {
                    let counts = queue.counts();
                    dropped += counts.dropped;
                    queue = start(&root, &folder, limits);
                    prop_assert_eq!(queue.counts().metrics, counts.metrics);
                } else {
                    queue.enter(&root, &stats());
                }
            }
            Step::ToMemory => {
                queue.become_like(&OutputQueue::new(limits));
                queue.enter(&root, &stats());
            }
            Step::ToDisk => {
                wait_for("the folder is free", || {
                    queue.folder().is_some() || !folder.exists()
                })
                .await;
                let successor = if queue.folder().is_some() {
                    OutputQueue::on_disk(limits, folder.clone(), None)
                } else {
                    let log = Log::open(&folder, limits.bounds()).unwrap();
                    OutputQueue::on_disk(limits, folder.clone(), Some(log))
                };
                queue.become_like(&successor);
                queue.enter(&root, &stats());
            }
            Step::Restart => {}
        }
        let counts = queue.counts();
        let accounted = counts.metrics as u64 + counts.dropped + dropped + out.len() as u64;
        prop_assert_eq!(accounted, next as u64);
    }
    out.extend(write_all(&queue).await);
    prop_assert!(out.is_sorted_by(|a, b| a < b), "{:?}", out);
    let dropped = dropped + queue.counts().dropped;
    prop_assert_eq!(out.len() as u64 + dropped, next as u64);
    queue.close().await;
    prop_assert!(root.stop().await.is_clean());
    Ok(())
}
