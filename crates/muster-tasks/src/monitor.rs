//! The leak watch inside the process.

mod finding;
mod growth;
mod sampling;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use finding::{Finding, Verdict};
use sampling::Sampler;

use crate::{Closed, Group};

/// When the leak monitor looks, and what it holds to be too much.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakMonitorOptions {
    /// Time between two samples. Default 10 s.
    pub every: Duration,
    /// A poll, or a blocking thread past its cancellation, that goes on for longer is a finding.
    /// Default 1 s.
    pub stuck_after: Duration,
    /// Samples through which a line's tasks must grow before that is a finding; at least 6, at
    /// most 60. Default 12.
    pub least_samples: usize,
    /// By so many tasks a line must have grown. Default 10.
    pub least_growth: u64,
}

impl Default for LeakMonitorOptions {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            stuck_after: Duration::from_secs(1),
            least_samples: 12,
            least_growth: 10,
        }
    }
}

/// Watches a tree of groups for tasks that leak, and names the line that spawned them.
///
/// It takes a sample of all tasks every few seconds. What it holds to be a leak, and why, stands at
/// [`Verdict`]. A new finding is logged as a warning; all present ones are at
/// [`findings`](Self::findings). Groups whose tasks are meant to stay, however many there are, say so
/// with [`expect_resident`](crate::GroupBuilder::expect_resident).
///
/// A sample costs about 50 ns per task and holds no lock for longer than a part of a list takes.
/// The monitor remembers some numbers of each spawn line for 60 samples, and nothing of a task.
///
/// ```
/// use muster_tasks::{Group, LeakMonitor, LeakMonitorOptions};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root = Group::root("app");
/// let monitor = LeakMonitor::start(&root, LeakMonitorOptions::default())?;
/// for finding in monitor.findings().iter() {
///     println!("{finding}");
/// }
/// # root.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LeakMonitor {
    findings: Arc<Mutex<Arc<[Finding]>>>,
}

impl fmt::Debug for LeakMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeakMonitor")
            .field("findings", &self.findings.lock().len())
            .finish()
    }
}

impl LeakMonitor {
    /// Watches the group and everything below it, in a task of its own in that group, until the
    /// group is cancelled.
    ///
    /// # Errors
    /// If the group takes no more tasks.
    #[track_caller]
    pub fn start(group: &Group, options: LeakMonitorOptions) -> Result<Self, Closed> {
        Self::start_with(group, options, |_| {})
    }

    /// As [`start`](Self::start), and tells `on_finding` of each new finding.
    ///
    /// # Errors
    /// If the group takes no more tasks.
    #[track_caller]
    pub fn start_with(
        group: &Group,
        options: LeakMonitorOptions,
        on_finding: impl Fn(&Finding) + Send + Sync + 'static,
    ) -> Result<Self, Closed> {
        let monitor = Self {
            findings: Arc::new(Mutex::new(Arc::default())),
        };
        let (findings, watched) = (Arc::clone(&monitor.findings), Arc::downgrade(&group.inner));
        let options = LeakMonitorOptions {
            least_samples: options.least_samples.clamp(6, growth::MOST_SAMPLES),
            ..options
        };
        group.go_cx("leak-monitor", move |cx| async move {
            let mut sampler = Sampler::default();
            while cx.run(tokio::time::sleep(options.every)).await.is_ok() {
                let Some(root) = watched.upgrade() else { break };
                let found = sampler.sample(&root, &options);
                for (_, finding) in found.iter().filter(|(is_new, _)| *is_new) {
                    tracing::warn!(verdict = finding.verdict.as_str(), "leak: {finding}");
                    on_finding(finding);
                }
                *findings.lock() = found.into_iter().map(|(_, finding)| finding).collect();
            }
        })?;
        Ok(monitor)
    }

    /// What is found at present, the strongest evidence first. A finding goes when what it is about
    /// goes.
    #[must_use]
    pub fn findings(&self) -> Arc<[Finding]> {
        Arc::clone(&self.findings.lock())
    }
}
