//! An output's queue: bounded in metrics and bytes, oldest dropped first.

use std::collections::VecDeque;
use std::sync::Arc;

use muster_metric::{Chunk, Metrics};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Metrics, those in flight included.
    pub metrics: usize,
    /// Bytes of memory, shared batches counted by the share of their metrics that are here.
    pub bytes: usize,
    /// So many metrics make a write due.
    pub batch: usize,
}

/// Metrics that wait for an output. What is being written stays here until it is settled, so that
/// a writer that is aborted loses nothing.
#[derive(Debug)]
pub(crate) struct OutputQueue {
    state: Mutex<State>,
    /// Woken when a full batch has come together.
    due: Notify,
    /// Woken when there is room again.
    room: Notify,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    chunks: VecDeque<Chunk>,
    metrics: usize,
    bytes: usize,
    in_flight: Metrics,
    /// Which taking is in flight.
    epoch: u64,
    added: u64,
    dropped: u64,
}

/// Counts of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Metrics that wait, those in flight included.
    pub metrics: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// The bound on metrics.
    pub limit: usize,
    /// Metrics ever added.
    pub added: u64,
    /// Metrics ever dropped because the queue was full.
    pub dropped: u64,
}

impl OutputQueue {
    /// An empty queue.
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            limits,
            chunks: VecDeque::new(),
            metrics: 0,
            bytes: 0,
            in_flight: Metrics::new(),
            epoch: 0,
            added: 0,
            dropped: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            due: Notify::new(),
            room: Notify::new(),
        })
    }

    /// Other limits, for a changed output that keeps its queue. What is too much is dropped.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut state = self.state.lock();
        state.limits = limits;
        state.drop_excess();
    }

    /// Adds metrics; never waits. Drops the oldest of what waits if there are too many.
    pub(crate) fn push(&self, chunk: Chunk) {
        if chunk.is_empty() {
            return;
        }
        let due = {
            let mut state = self.state.lock();
            state.added += chunk.len() as u64;
            state.metrics += chunk.len();
            state.bytes += weight(&chunk);
            state.chunks.push_back(chunk);
            state.drop_excess();
            state.metrics >= state.limits.batch
        };
        if due {
            self.due.notify_one();
        }
    }

    /// Takes up to a batch of the oldest metrics to write. They stay counted until they are
    /// [settled](Self::settle) or [put back](Self::put_back). What was in flight before and was
    /// neither goes back to the front first.
    pub(crate) fn take(&self) -> Taken {
        let mut state = self.state.lock();
        state.take_back();
        let mut left = state.limits.batch.max(1);
        let mut taken = Metrics::new();
        while left > 0 {
            let Some(front) = state.chunks.front_mut() else {
                break;
            };
            let chunk = if front.len() <= left {
                let Some(chunk) = state.chunks.pop_front() else {
                    break;
                };
                chunk
            } else {
                front.take_front(left)
            };
            left -= chunk.len();
            taken.push(chunk);
        }
        state.in_flight = taken.clone();
        state.epoch += 1;
        Taken {
            metrics: taken,
            epoch: state.epoch,
        }
    }

    /// The first `count` of the metrics in flight are dealt with. Of an older taking: nothing.
    pub(crate) fn settle(&self, epoch: u64, count: usize) {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return;
        }
        let (done, rest) = state.in_flight.split_at(count);
        state.in_flight = rest;
        state.forget(done.chunks());
        drop(state);
        self.room.notify_waiters();
    }

    /// What is still in flight goes back to the front of the queue. Of an older taking: nothing.
    pub(crate) fn put_back(&self, epoch: u64) {
        let mut state = self.state.lock();
        if state.epoch == epoch {
            state.take_back();
        }
    }

    /// Puts back what a writer left in flight when it was ended; what that writer still says about
    /// it counts no more.
    pub(crate) fn inherit(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.take_back();
    }

    /// Whether a whole batch waits.
    pub(crate) fn is_due(&self) -> bool {
        let state = self.state.lock();
        state.metrics >= state.limits.batch
    }

    /// Resolves when a whole batch has come together. May resolve early; ask [`is_due`](Self::is_due).
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// Whether more than half of the queue is used.
    pub(crate) fn is_crowded(&self) -> bool {
        let state = self.state.lock();
        state.metrics > state.limits.metrics / 2 || state.bytes > state.limits.bytes / 2
    }

    /// Resolves when something was written and the queue has room again.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// The queue's counts.
    pub(crate) fn counts(&self) -> QueueCounts {
        let state = self.state.lock();
        QueueCounts {
            metrics: state.metrics,
            bytes: state.bytes,
            limit: state.limits.metrics,
            added: state.added,
            dropped: state.dropped,
        }
    }
}

/// Metrics that were taken to be written.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The metrics.
    pub metrics: Metrics,
    /// Which taking this is.
    pub epoch: u64,
}

impl State {
    fn take_back(&mut self) {
        let rest = std::mem::take(&mut self.in_flight);
        for chunk in rest.into_chunks().into_iter().rev() {
            self.chunks.push_front(chunk);
        }
        self.drop_excess();
    }

    fn drop_excess(&mut self) {
        while self.metrics > self.limits.metrics || self.bytes > self.limits.bytes {
            let over = self.metrics.saturating_sub(self.limits.metrics).max(1);
            // What is in flight cannot be dropped: it may be half written.
            let Some(mut front) = self.chunks.pop_front() else {
                return;
            };
            let dropped = front.take_front(over);
            self.dropped += dropped.len() as u64;
            self.forget(&[dropped]);
            if !front.is_empty() {
                self.chunks.push_front(front);
            }
        }
    }

    fn forget(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            self.metrics -= chunk.len().min(self.metrics);
            self.bytes -= weight(chunk).min(self.bytes);
        }
        if self.metrics == 0 {
            // Shares are rounded down; an empty queue weighs nothing.
            self.bytes = 0;
        }
    }
}

/// A chunk's share of its batch's memory.
fn weight(chunk: &Chunk) -> usize {
    let batch = chunk.batch();
    batch.memory() / batch.len().max(1) * chunk.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_metric::{Batch, Value};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn chunk(from: i64, count: i64) -> Chunk {
        let mut batch = Batch::new();
        for n in from..from + count {
            batch.metric("m").field("n", n).untimed();
        }
        Chunk::all(Arc::new(batch))
    }

    fn numbers(metrics: &Metrics) -> Vec<i64> {
        let number = |value| {
            if let Some(Value::Int(n)) = value {
                n
            } else {
                -1
            }
        };
        metrics.iter().map(|m| number(m.field("n"))).collect()
    }

    fn queue(metrics: usize, batch: usize) -> Arc<OutputQueue> {
        OutputQueue::new(Limits {
            metrics,
            bytes: usize::MAX,
            batch,
        })
    }

    #[test]
    fn drops_the_oldest_and_counts_them() {
        let queue = queue(5, 10);
        queue.push(chunk(0, 4));
        queue.push(chunk(4, 4));
        assert_eq!(numbers(&queue.take().metrics), [3, 4, 5, 6, 7]);
        assert_eq!(queue.counts().dropped, 3);
    }

    #[test]
    fn what_failed_comes_first_again() {
        let queue = queue(100, 3);
        queue.push(chunk(0, 5));
        let first = queue.take();
        assert_eq!(numbers(&first.metrics), [0, 1, 2]);
        queue.settle(first.epoch, 1);
        queue.put_back(first.epoch);
        let second = queue.take();
        assert_eq!(numbers(&second.metrics), [1, 2, 3]);
        queue.inherit();
        let third = queue.take();
        assert_eq!(numbers(&third.metrics), [1, 2, 3]);
        // What the writer before says about its taking counts no more.
        queue.settle(second.epoch, 3);
        queue.put_back(second.epoch);
        assert_eq!(queue.counts().metrics, 4);
        queue.settle(third.epoch, 3);
        let last = queue.take();
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
                        let taken = queue.take();
                        out.extend(numbers(&taken.metrics));
                        queue.settle(taken.epoch, taken.metrics.len());
                    }
                    _ => {
                        let taken = queue.take();
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
}
