//! The queue in memory.

use super::*;
use muster_metric::{Batch, Value};
use proptest::prelude::*;
use std::sync::Arc;

pub(super) fn chunk(from: i64, count: i64) -> Chunk {
    let mut batch = Batch::new();
    for n in from..from + count {
        batch.metric("m").field("n", n).untimed();
    }
    Chunk::all(Arc::new(batch))
}

pub(super) fn numbers(metrics: &Metrics) -> Vec<i64> {
    let number = |value| {
        if let Some(Value::Int(n)) = value {
            n
        } else {
            -1
        }
    };
    metrics.iter().map(|m| number(m.field("n"))).collect()
}

/// A queue in memory never waits.
fn take(queue: &OutputQueue) -> Taken {
    queue.begin_taking().unwrap()
}

fn queue(metrics: usize, batch: usize) -> Arc<OutputQueue> {
    OutputQueue::new(Limits {
        metrics,
        bytes: usize::MAX,
        batch,
        sync: false,
    })
}

#[test]
fn drops_the_oldest_and_counts_them() {
    let queue = queue(5, 10);
    queue.push(chunk(0, 4));
    queue.push(chunk(4, 4));
    assert_eq!(numbers(&take(&queue).metrics), [3, 4, 5, 6, 7]);
    assert_eq!(queue.counts().dropped, 3);
}

#[test]
fn what_failed_comes_first_again() {
    let queue = queue(100, 3);
    queue.push(chunk(0, 5));
    let first = take(&queue);
    assert_eq!(numbers(&first.metrics), [0, 1, 2]);
    queue.settle(first.epoch, 1);
    queue.put_back(first.epoch);
    let second = take(&queue);
    assert_eq!(numbers(&second.metrics), [1, 2, 3]);
    queue.inherit();
    let third = take(&queue);
    assert_eq!(numbers(&third.metrics), [1, 2, 3]);
    // What the writer before says about its taking counts no more.
    queue.settle(second.epoch, 3);
    queue.put_back(second.epoch);
    assert_eq!(queue.counts().metrics, 4);
    queue.settle(third.epoch, 3);
    let last = take(&queue);
    assert_eq!(numbers(&last.metrics), [4]);
    queue.settle(last.epoch, 1);
    assert_eq!(queue.counts().metrics, 0);
}

#[test]
fn bytes_are_a_bound_of_their_own() {
    let queue = OutputQueue::new(Limits {
        metrics: 1000,
        bytes: 2_000,
        batch: 10,
        sync: false,
    });
    for n in 0..100 {
        queue.push(chunk(n, 1));
    }
    let counts = queue.counts();
    assert!(counts.bytes <= 2_000 && counts.metrics > 0, "{counts:?}");
    assert_eq!(counts.metrics as u64 + counts.dropped, 100);
}

proptest! {
    /// Whatever happens, metrics leave in order and none is doubled; those missing are counted.
    #[test]
    fn in_order_and_accounted_for(
        limit in 1usize..30,
        batch in 1usize..10,
        steps in prop::collection::vec((0u8..4, 1i64..9), 1..60),
    ) {
        let queue = queue(limit, batch);
        let (mut next, mut out) = (0, Vec::new());
        for (step, count) in steps {
            match step {
                0 | 1 => {
                    queue.push(chunk(next, count));
                    next += count;
                }
                2 => {
                    let taken = take(&queue);
                    out.extend(numbers(&taken.metrics));
                    queue.settle(taken.epoch, taken.metrics.len());
                }
                _ => {
                    let taken = take(&queue);
                    let done = (count as usize).min(taken.metrics.len());
                    out.extend(numbers(&taken.metrics.split_at(done).0));
                    queue.settle(taken.epoch, done);
                    queue.put_back(taken.epoch);
                }
            }
            let counts = queue.counts();
            prop_assert!(counts.metrics <= limit);
            prop_assert_eq!(counts.metrics as u64 + counts.dropped + out.len() as u64, next as u64);
        }
        prop_assert!(out.is_sorted_by(|a, b| a < b), "{:?}", out);
    }
}
