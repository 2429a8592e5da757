//! What the scaler counts of its own work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    creates: AtomicU64,
    deletes: AtomicU64,
    failed_deletes: AtomicU64,
    orphans: AtomicU64,
    gitlab: AtomicU64,
    disk: AtomicU64,
    clock_jumps: AtomicU64,
    late: AtomicU64,
    pub(crate) records: Arc<AtomicU64>,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    gitlab: Option<String>,
    disk: Option<String>,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests for a server.
    pub creates: u64,
    /// Requests to delete one.
    pub deletes: u64,
    /// Deletions that did not work at once.
    pub failed_deletes: u64,
    /// Runner objects without a server that were deleted.
    pub orphans: u64,
    /// Calls to GitLab that failed.
    pub gitlab_failures: u64,
    /// Changes that the disk did not take.
    pub disk_failures: u64,
    /// Jumps of the wall clock.
    pub clock_jumps: u64,
    /// Observations that were not there in time.
    pub late_observations: u64,
    /// Decisions that could not be recorded.
    pub record_failures: u64,
}

impl Counters {
    pub(crate) fn creates(&self) {
        self.creates.fetch_add(1, Relaxed);
    }

    pub(crate) fn deletes(&self) {
        self.deletes.fetch_add(1, Relaxed);
    }

    pub(crate) fn delete_failed(&self) {
        self.failed_deletes.fetch_add(1, Relaxed);
    }

    pub(crate) fn orphan_found(&self) {
        self.orphans.fetch_add(1, Relaxed);
    }

    pub(crate) fn gitlab_failed(&self, why: String) {
        self.gitlab.fetch_add(1, Relaxed);
        self.last.lock().gitlab = Some(why);
    }

    pub(crate) fn disk_failed(&self, why: &str) {
        self.disk.fetch_add(1, Relaxed);
        self.last.lock().disk = Some(why.to_owned());
    }

    pub(crate) fn clock_jumped(&self) {
        self.clock_jumps.fetch_add(1, Relaxed);
    }

    pub(crate) fn was_late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    /// What the disk said last, since this was last asked.
    pub(crate) fn take_disk_error(&self) -> Option<String> {
        self.last.lock().disk.take()
    }

    /// What GitLab said last when a call failed, since this was last asked.
    pub(crate) fn take_gitlab_error(&self) -> Option<String> {
        self.last.lock().gitlab.take()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            creates: self.creates.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            failed_deletes: self.failed_deletes.load(Relaxed),
            orphans: self.orphans.load(Relaxed),
            gitlab_failures: self.gitlab.load(Relaxed),
            disk_failures: self.disk.load(Relaxed),
            clock_jumps: self.clock_jumps.load(Relaxed),
            late_observations: self.late.load(Relaxed),
            record_failures: self.records.load(Relaxed),
        }
    }
}
