//! What the scaler counts of its own work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use muster_scaler_core::{Event, Happening, JobRun, Ledger, ServerName, ServerState};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// So many reasons are counted each for itself; those that come later are counted together.
const MOST_REASONS: usize = 64;

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
    join_failures: AtomicU64,
    drains: AtomicU64,
    drain_millis: AtomicU64,
    foretold: AtomicU64,
    foretold_error: AtomicU64,
    decided: Mutex<BTreeMap<(&'static str, String), u64>>,
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
    /// Servers that did not join.
    pub join_failures: u64,
    /// Drains that ended with the server's deletion.
    pub drains: u64,
    /// How long those took together, in milliseconds.
    pub drain_ms: u64,
    /// Jobs that ended and whose duration was foretold by earlier runs.
    pub foretold_jobs: u64,
    /// By how much those were off, together, in seconds.
    pub foretold_error_seconds: u64,
    /// What was decided, by action and reason.
    pub decided: Vec<Decided>,
}

/// How often something was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// `create`, `drain`, `take_back`, `delete`, `adopt`, `pause_host` or `unpause_host`.
    pub action: String,
    /// Why; empty if the explanation alone can say it.
    pub reason: String,
    /// How often, by this process.
    pub count: u64,
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

    /// Counts what has become durable; `before` is the ledger without it.
    pub(crate) fn committed(&self, before: &Ledger, events: &[Event]) {
        for event in events {
            if let Some((action, reason)) = decided(event) {
                self.decided(action, reason);
            }
            match event {
                Event::JobsRan { runs, .. } => {
                    runs.iter().for_each(|run| self.ran(before, run));
                }
                Event::Server { name, at, what } => match what {
                    Happening::BootFailed(_) => {
                        self.join_failures.fetch_add(1, Relaxed);
                        // The provider's own words would be a reason each.
                        if !events.iter().any(|event| drains(event, name)) {
                            self.decided("delete", "it did not come up");
                        }
                    }
                    Happening::Removing(_) => {
                        let server = before.servers.get(name);
                        if let Some(server) = server.filter(|s| s.state == ServerState::Draining) {
                            let took = at.since(server.since).as_millis();
                            let took = u64::try_from(took).unwrap_or(u64::MAX);
                            self.drains.fetch_add(1, Relaxed);
                            self.drain_millis.fetch_add(took, Relaxed);
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn decided(&self, action: &'static str, reason: &str) {
        let mut all = self.decided.lock();
        let key = (action, reason.to_owned());
        if all.len() < MOST_REASONS || all.contains_key(&key) {
            *all.entry(key).or_default() += 1;
        } else {
            *all.entry((action, "other".to_owned())).or_default() += 1;
        }
    }

    /// How far off was what the look-ahead takes for the duration of such a job?
    fn ran(&self, before: &Ledger, run: &JobRun) {
        let names = before.memory.durations.get(&run.project);
        let samples = names.and_then(|names| names.get(&run.name));
        if let Some(foretold) = samples.and_then(|samples| samples.percentile(50)) {
            let off = u64::from(foretold.abs_diff(run.seconds));
            self.foretold.fetch_add(1, Relaxed);
            self.foretold_error.fetch_add(off, Relaxed);
        }
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
            join_failures: self.join_failures.load(Relaxed),
            drains: self.drains.load(Relaxed),
            drain_ms: self.drain_millis.load(Relaxed),
            foretold_jobs: self.foretold.load(Relaxed),
            foretold_error_seconds: self.foretold_error.load(Relaxed),
            decided: {
                let all = self.decided.lock();
                let one = |((action, reason), count): (&(&'static str, String), &u64)| Decided {
                    action: (*action).to_owned(),
                    reason: reason.clone(),
                    count: *count,
                };
                all.iter().map(one).collect()
            },
        }
    }
}

fn drains(event: &Event, server: &ServerName) -> bool {
    matches!(event, Event::Server { name, what: Happening::Draining(_), .. } if name == server)
}

/// What was decided with this event, and why.
fn decided(event: &Event) -> Option<(&'static str, &str)> {
    match event {
        Event::Planned(_) => Some(("create", "")),
        Event::Adopted(_) => Some(("adopt", "")),
        Event::HostPaused(_) => Some(("pause_host", "")),
        Event::HostUnpaused(_) => Some(("unpause_host", "")),
        Event::Server { what, .. } => match what {
            Happening::Draining(drain) => Some(("drain", &drain.why)),
            Happening::Undrained => Some(("take_back", "")),
            Happening::Removing(why) => Some(("delete", why)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
