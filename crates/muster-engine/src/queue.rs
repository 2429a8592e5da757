//! An output's queue: bounded in metrics and bytes, oldest dropped first.
//!
//! Metrics wait in memory, in `chunks`. A queue on disk has an [`OnDisk`] beside that and a thread that
//! moves the chunks there; what is on disk comes before what is in memory, and without a thread or a
//! disk that works the queue is the one in memory.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use muster_metric::{Chunk, Metrics};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

mod buffers;
mod codec;
mod log;
mod on_disk;
mod position;
mod reader;
mod segment;
mod worker;

pub(crate) use buffers::Buffers;
use log::Log;
use on_disk::OnDisk;

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Metrics, those in flight included.
    pub metrics: usize,
    /// Bytes of memory, shared batches counted by the share of their metrics that are here; and as
    /// many bytes on disk.
    pub bytes: usize,
    /// So many metrics make a write due.
    pub batch: usize,
    /// Whether what goes to the disk must survive the machine, not only the process.
    pub sync: bool,
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
    /// Wakes the thread of a queue on disk.
    work: Condvar,
    /// Woken by that thread after each round.
    served: Notify,
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
    disk: Option<Box<OnDisk>>,
}

/// Counts of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Metrics that wait, those in flight included.
    pub metrics: usize,
    /// Bytes that they take, in memory and on disk.
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
        Self::with(limits, None)
    }

    /// A queue with what waits in a folder; without a log the folder is opened later. It
    /// goes to the disk when an output [enters](Self::enter).
    pub(crate) fn on_disk(limits: Limits, folder: PathBuf, log: Option<Log>) -> Arc<Self> {
        Self::with(limits, Some(OnDisk::new(folder, log)))
    }

    fn with(limits: Limits, disk: Option<OnDisk>) -> Arc<Self> {
        let waiting = disk.as_ref().map_or(0, OnDisk::waiting);
        let mut state = State {
            limits,
            chunks: VecDeque::new(),
            metrics: waiting,
            bytes: 0,
            in_flight: Metrics::new(),
            epoch: 0,
            added: waiting as u64,
            dropped: 0,
            disk: disk.map(Box::new),
        };
        state.drop_excess();
        Arc::new(Self {
            state: Mutex::new(state),
            due: Notify::new(),
            room: Notify::new(),
            work: Condvar::new(),
            served: Notify::new(),
        })
    }

    /// Goes on where its successor is to have metrics wait: on disk, with what is there
    /// already, or in memory, when nothing is left on disk.
    pub(crate) fn become_like(&self, successor: &Self) {
        let same = std::ptr::eq(self, successor);
        let theirs = if same {
            None
        } else {
            successor.state.lock().disk.take()
        };
        let mut state = self.state.lock();
        match (&mut state.disk, theirs) {
            (Some(disk), theirs) => {
                disk.keeping = same || theirs.is_some();
                // The output that ran on it goes on as its successor.
                disk.users = disk.users.saturating_sub(1);
            }
            (none, Some(disk)) => {
                *none = Some(disk);
                let waiting = none.as_ref().map_or(0, |disk| disk.waiting());
                state.metrics += waiting;
                state.added += waiting as u64;
                state.drop_excess();
            }
            (None, None) => {}
        }
        drop(state);
        self.work.notify_one();
    }

    /// Where metrics wait on disk, if they do.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let state = self.state.lock();
        state.disk.as_ref().map(|disk| disk.path.clone())
    }

    /// Metrics that are in memory only.
    pub(crate) fn in_memory(&self) -> usize {
        let state = self.state.lock();
        let on_disk = state.disk.as_ref().map_or(0, |disk| {
            let in_flight = if disk.in_flight() {
                state.in_flight.len()
            } else {
                0
            };
            disk.waiting() + in_flight
        });
        state.metrics - on_disk
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
        let (due, on_disk) = {
            let mut state = self.state.lock();
            state.added += chunk.len() as u64;
            state.metrics += chunk.len();
            state.bytes += weight(&chunk);
            state.chunks.push_back(chunk);
            state.drop_excess();
            (state.metrics >= state.limits.batch, state.disk.is_some())
        };
        if due {
            self.due.notify_one();
        }
        if on_disk {
            self.work.notify_one();
        }
    }

    /// Takes up to a batch of the oldest metrics to write. They stay counted until they are
    /// [settled](Self::settle) or [put back](Self::put_back). What was in flight before and was
    /// neither goes back to the front first. `None` if those on disk cannot be read now.
    ///
    /// # Cancel safety
    /// Metrics that nobody took are put back by the next taking.
    pub(crate) async fn take(&self) -> Option<Taken> {
        if let Some(taken) = self.begin_taking() {
            return Some(taken);
        }
        self.work.notify_one();
        loop {
            let served = self.served.notified();
            {
                let mut state = self.state.lock();
                let Some(disk) = &mut state.disk else {
                    break; // Given up, or emptied.
                };
                if let Some(taken) = disk.served() {
                    return taken;
                }
            }
            served.await;
        }
        self.begin_taking()
    }

    /// Takes from memory, or asks the thread.
    fn begin_taking(&self) -> Option<Taken> {
        let mut state = self.state.lock();
        state.take_back();
        if let Some(disk) = &mut state.disk {
            disk.want(true);
            return None;
        }
        let batch = state.limits.batch;
        let taken = take_front(&mut state.chunks, batch);
        Some(state.send_off(taken))
    }

    /// The first `count` of the metrics in flight are dealt with. Of an older taking: nothing.
    pub(crate) fn settle(&self, epoch: u64, count: usize) {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return;
        }
        let (done, rest) = state.in_flight.split_at(count);
        let all = rest.is_empty();
        state.in_flight = rest;
        match state.disk.as_mut().filter(|disk| disk.in_flight()) {
            Some(disk) => {
                disk.settle(done.len(), all);
                state.metrics -= done.len();
            }
            None => state.forget(done.chunks()),
        }
        self.unlock(state);
        self.room.notify_waiters();
    }

    /// What is still in flight goes back to the front of the queue. Of an older taking: nothing.
    pub(crate) fn put_back(&self, epoch: u64) {
        let mut state = self.state.lock();
        if state.epoch == epoch {
            state.take_back();
        }
        self.unlock(state);
    }

    /// Puts back what a writer left in flight when it was ended; what that writer still says about
    /// it counts no more.
    pub(crate) fn inherit(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.take_back();
        if let Some(disk) = &mut state.disk {
            disk.want(false);
        }
        self.unlock(state);
    }

    /// Lets the thread of a queue on disk look at what changed.
    fn unlock(&self, state: MutexGuard<'_, State>) {
        let on_disk = state.disk.is_some();
        drop(state);
        if on_disk {
            self.work.notify_one();
        }
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
            bytes: state.bytes + state.disk.as_ref().map_or(0, |disk| disk.bytes()),
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

/// Up to `count` metrics from the front of some chunks.
fn take_front(chunks: &mut VecDeque<Chunk>, count: usize) -> Metrics {
    let mut left = count.max(1);
    let mut taken = Metrics::new();
    while left > 0
        && let Some(mut front) = chunks.pop_front()
    {
        let chunk = if front.len() <= left {
            front
        } else {
            let chunk = front.take_front(left);
            chunks.push_front(front);
            chunk
        };
        left -= chunk.len();
        taken.push(chunk);
    }
    taken
}

impl State {
    /// Notes what is to be written now.
    fn send_off(&mut self, metrics: Metrics) -> Taken {
        self.in_flight = metrics.clone();
        self.epoch += 1;
        Taken {
            metrics,
            epoch: self.epoch,
        }
    }

    fn take_back(&mut self) {
        let rest = std::mem::take(&mut self.in_flight);
        if let Some(disk) = self.disk.as_mut().filter(|disk| disk.in_flight()) {
            disk.take_back(rest);
            return self.drop_excess();
        }
        for chunk in rest.into_chunks().into_iter().rev() {
            self.chunks.push_front(chunk);
        }
        self.drop_excess();
    }

    fn drop_excess(&mut self) {
        while self.metrics > self.limits.metrics || self.bytes > self.limits.bytes {
            let over = self.metrics.saturating_sub(self.limits.metrics);
            // The oldest ones are those on disk.
            if let Some(disk) = &mut self.disk
                && let gone @ 1.. = disk.drop_oldest(over)
            {
                self.metrics -= gone;
                self.dropped += gone as u64;
                continue;
            }
            // What is in flight cannot be dropped: it may be half written.
            let Some(mut front) = self.chunks.pop_front() else {
                return;
            };
            let dropped = front.take_front(over.max(1));
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
mod tests;
