//! What a pool has done so far.

use std::ops::Deref;
use std::time::Duration;

use super::queue::How;
use crate::Histogram;

/// A pool at one moment. Dereferences to [`PoolCounts`].
///
/// The counts add up at every moment:
/// `submitted = queued + busy + done + panicked + timed_out + aborted + not_started`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// How many workers there should be.
    pub target: usize,
    /// How many there are, those that are about to leave included.
    pub live: usize,
    /// How many of them run a job.
    pub busy: usize,
    /// How many of them do not.
    pub idle: usize,
    /// Jobs in the queue.
    pub queued: usize,
    /// Callers that wait for room in the queue.
    pub waiting: usize,
    /// What was counted since the pool was made.
    pub counts: PoolCounts,
}

impl Deref for PoolStats {
    type Target = PoolCounts;

    fn deref(&self) -> &PoolCounts {
        &self.counts
    }
}

/// What a pool has counted since it was made.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolCounts {
    /// Jobs that were taken into the queue.
    pub submitted: u64,
    /// Jobs that [`try_submit`](super::Pool::try_submit) and its like refused for want of room.
    pub refused: u64,
    /// Jobs that ran to their end (those that failed included).
    pub done: u64,
    /// Of `done`: returned an error ([`try_worker`](super::PoolBuilder::try_worker) only).
    pub failed: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs that were not done in time.
    pub timed_out: u64,
    /// Jobs that were dropped by force while they ran.
    pub aborted: u64,
    /// Jobs that were given up before they had started, because the pool was stopped.
    pub not_started: u64,
    /// How long jobs waited from the call that submitted them to their start.
    pub wait: Histogram,
    /// How long jobs ran, however they ended.
    pub run: Histogram,
}

pub(super) type Counts = PoolCounts;

impl PoolCounts {
    pub(super) fn ended(&mut self, how: How, took: Duration) {
        self.run.record(took);
        match how {
            How::Done { failed } => {
                self.done += 1;
                self.failed += u64::from(failed);
            }
            How::Panicked => self.panicked += 1,
            How::TimedOut => self.timed_out += 1,
            How::Aborted => self.aborted += 1,
        }
    }
}
