//! Checking that nothing is left.

use std::fmt;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::group::Group;
use crate::snapshot::{SnapshotOptions, TaskInfo};

/// Checks that a group has come to rest: no task is live in it, and the runtime has no more tasks
/// than when the check was made.
///
/// Tasks that are just ending get time: the check looks again with growing pauses, for about half a
/// second in all by default. It is scoped to one group and one runtime, so tests that run in parallel do
/// not see each other.
///
/// ```
/// use muster_tasks::{Group, LeakCheck};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root = Group::root("app");
/// let check = LeakCheck::new(&root);
/// root.go("forgotten", std::future::pending::<()>())?;
/// let report = check.patience(std::time::Duration::ZERO).check().await.unwrap_err();
/// assert_eq!(report.tasks[0].name, "forgotten");
/// # root.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "call check()"]
pub struct LeakCheck {
    group: Group,
    runtime: Option<Handle>,
    /// Tasks of the runtime that are not the group's, at the beginning.
    foreign: usize,
    patience: Duration,
    ignored: Vec<&'static str>,
}

/// What [`LeakCheck`] found.
#[derive(Clone, Debug, thiserror::Error)]
pub struct LeakReport {
    /// Tasks of the group that are still live.
    pub tasks: Vec<TaskInfo>,
    /// Tasks of the runtime that no group knows of, more than at the beginning.
    pub foreign: usize,
}

impl LeakCheck {
    /// Begins a check: notes how many tasks the runtime has now.
    pub fn new(group: &Group) -> Self {
        let runtime = Handle::try_current().ok();
        let foreign = foreign(runtime.as_ref(), group);
        let patience = Duration::from_millis(500);
        Self {
            group: group.clone(),
            runtime,
            foreign,
            patience,
            ignored: Vec::new(),
        }
    }

    /// How long to wait for tasks that are just ending, in real time.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Leaves tasks of this name out.
    pub fn ignore(mut self, name: &'static str) -> Self {
        self.ignored.push(name);
        self
    }

    /// Looks for what is left.
    ///
    /// Between two looks it gives other tasks of its runtime the chance to end; on a
    /// current-thread runtime it blocks the thread in its pauses, so call it last.
    ///
    /// # Errors
    /// [`LeakReport`] if something is left when the patience is over.
    pub async fn check(&self) -> Result<(), LeakReport> {
        let mut pause = Duration::from_micros(1);
        let mut waited = Duration::ZERO;
        loop {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let Err(report) = self.look() else {
                return Ok(());
            };
            if waited >= self.patience {
                return Err(report);
            }
            // Real time: a paused clock says nothing about threads that are just ending.
            std::thread::sleep(pause);
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn look(&self) -> Result<(), LeakReport> {
        let mut tasks = Vec::new();
        let everything = SnapshotOptions {
            max_tasks: usize::MAX,
            ..SnapshotOptions::default()
        };
        let mut groups = vec![self.group.snapshot(everything).root];
        while let Some(mut group) = groups.pop() {
            tasks.append(&mut group.tasks);
            groups.append(&mut group.groups);
        }
        tasks.retain(|task| !self.ignored.iter().any(|name| task.name == *name));
        let foreign = foreign(self.runtime.as_ref(), &self.group).saturating_sub(self.foreign);
        if tasks.is_empty() && foreign == 0 {
            return Ok(());
        }
        tasks.sort_by_key(|task| task.id);
        Err(LeakReport { tasks, foreign })
    }
}

/// Tasks of the runtime that are not the group's.
fn foreign(runtime: Option<&Handle>, group: &Group) -> usize {
    let all = runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    let threads = group.blocking_threads().0;
    all.saturating_sub(group.count().saturating_sub(threads))
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 50;
        write!(f, "{} tasks leaked", self.tasks.len() + self.foreign)?;
        for task in self.tasks.iter().take(SHOWN) {
            write!(f, "\n  {task}")?;
        }
        if self.tasks.len() > SHOWN {
            write!(f, "\n  and {} more", self.tasks.len() - SHOWN)?;
        }
        if self.foreign > 0 {
            write!(
                f,
                "\n  {} tasks that were not spawned into the group",
                self.foreign
            )?;
        }
        Ok(())
    }
}
