//! Stopping a group in bounded time, with a report.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Group;
use super::inner::GroupInner;
use crate::Cause;
use crate::snapshot::TaskInfo;

/// How to stop a group.
///
/// The whole stop takes at most `grace + abort_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopOptions {
    /// How long tasks get to end by themselves after they were asked. Default 5 s.
    pub grace: Duration,
    /// How long to wait for the rest to be dropped after they were aborted. Default 1 s.
    pub abort_after: Duration,
    /// Who is asked when.
    pub order: StopOrder,
}

impl Default for StopOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            abort_after: Duration::from_secs(1),
            order: StopOrder::Parallel,
        }
    }
}

impl StopOptions {
    /// The default options with this grace period.
    #[must_use]
    pub fn grace(grace: Duration) -> Self {
        Self {
            grace,
            ..Self::default()
        }
    }
}

/// In which order a stop asks tasks to end. The grace period is for all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopOrder {
    /// All at once.
    #[default]
    Parallel,
    /// One after another, the latest spawned first; each is waited for.
    ReverseStart,
    /// The deepest groups first; each depth is waited for before the one above is asked.
    Layers,
}

/// What a stop found and did.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use]
pub struct StopReport {
    /// Tasks that were live when the stop began.
    pub asked: usize,
    /// Of these, how many had ended (or were dropped without force) within the grace period.
    pub finished_in_grace: usize,
    /// How many were dropped by force after it.
    pub aborted: usize,
    /// Tasks that could not be dropped: busy inside one poll. They are dropped as soon as that
    /// poll returns, and stay listed until then.
    pub stuck: Vec<TaskInfo>,
    /// Blocking threads that still run. They stay listed until they end.
    pub blocking: Vec<TaskInfo>,
    /// How long the stop took.
    pub elapsed: Duration,
}

impl StopReport {
    /// Whether nothing is left running.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.stuck.is_empty() && self.blocking.is_empty()
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            asked,
            finished_in_grace,
            aborted,
            elapsed,
            ..
        } = self;
        write!(
            f,
            "stopped {asked} tasks in {elapsed:.1?}: {finished_in_grace} ended when asked"
        )?;
        if *aborted > 0 {
            write!(f, ", {aborted} aborted")?;
        }
        for (tasks, what) in [
            (&self.stuck, "busy in a poll"),
            (&self.blocking, "blocking"),
        ] {
            if !tasks.is_empty() {
                write!(f, ", {} still {what}", tasks.len())?;
            }
        }
        for task in self.stuck.iter().chain(&self.blocking) {
            write!(f, "\n  {task}")?;
        }
        Ok(())
    }
}

impl Group {
    /// Stops the group with its own grace period (see [`GroupBuilder::grace`]) and a second for
    /// what must be aborted. See [`stop_with`](Self::stop_with).
    ///
    /// [`GroupBuilder::grace`]: crate::GroupBuilder::grace
    pub async fn stop(&self) -> StopReport {
        let grace = self.inner.settings.grace;
        self.stop_with(StopOptions::grace(grace)).await
    }

    /// Ends everything here and below in bounded time, and says how that went.
    ///
    /// Closes the group and asks its tasks to end ([`cancel`](Self::cancel) with
    /// [`Cause::Stop`]); after the grace period aborts what is left; then returns. It returns as
    /// soon as every future has been **dropped** and every blocking closure has returned, and at
    /// the latest after `grace + abort_after`. What still runs then is named in the report and stays
    /// listed in the group until it ends.
    ///
    /// Stopping twice, or from several places at once, is fine.
    ///
    /// # Cancel safety
    /// Dropping the future early leaves the group cancelled, but nothing is aborted for it.
    pub async fn stop_with(&self, options: StopOptions) -> StopReport {
        let begin = Instant::now();
        let ask_until = begin + options.grace;
        let asked = self.inner.live();
        self.ask(options.order, ask_until).await;
        let drained = timeout_at(ask_until, self.inner.drained()).await.is_ok();
        let left = if drained { 0 } else { self.inner.live() };
        if left > 0 {
            self.inner.abort_all();
            let _ = timeout_at(ask_until + options.abort_after, self.inner.drained()).await;
        }
        let (stuck, blocking) = if left > 0 {
            remains(&self.inner)
        } else {
            Default::default()
        };
        StopReport {
            asked,
            finished_in_grace: asked.saturating_sub(left),
            aborted: left.saturating_sub(stuck.len() + blocking.len()),
            stuck,
            blocking,
            elapsed: begin.elapsed(),
        }
    }

    /// Stops many groups at the same time, which takes no longer than the slowest of them, and
    /// returns their reports in the order of the groups.
    ///
    /// All are asked before anything is waited for. A group that is given twice, or together with
    /// one above it, is simply stopped twice.
    ///
    /// ```
    /// use muster_tasks::{Group, StopOptions, StopReport};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = Group::root("app");
    /// let shops: Vec<Group> = (0..3).map(|n| root.group(format!("shop-{n}"))).collect();
    /// for shop in &shops {
    ///     shop.go_cx("till", |cx| async move { cx.cancelled().await; })?;
    /// }
    /// let reports = Group::stop_all(&shops, StopOptions::default()).await;
    /// assert!(reports.iter().all(StopReport::is_clean));
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    /// As [`stop_with`](Self::stop_with), for each group.
    pub async fn stop_all<'a>(
        groups: impl IntoIterator<Item = &'a Self>,
        options: StopOptions,
    ) -> Vec<StopReport> {
        let stops = groups.into_iter().map(|group| group.stop_with(options));
        futures_util::future::join_all(stops).await
    }

    async fn ask(&self, order: StopOrder, until: Instant) {
        let inner = &self.inner;
        match order {
            StopOrder::Parallel => {}
            StopOrder::ReverseStart => {
                inner.close();
                let mut entries = Vec::new();
                inner.walk(|group| group.each_entry(|entry| entries.push(entry.clone())));
                entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id));
                for entry in entries {
                    entry.cancel(Cause::Stop);
                    if !within(until, entry.ended()).await {
                        break;
                    }
                }
            }
            StopOrder::Layers => {
                inner.close();
                for layer in layers(inner).iter().rev() {
                    for group in layer {
                        group.cancel_own(&Cause::Stop);
                    }
                    for group in layer {
                        if !within(until, group.drained()).await {
                            break;
                        }
                    }
                }
            }
        }
        inner.cancel(Cause::Stop);
    }
}

async fn within(until: Instant, what: impl Future<Output = ()>) -> bool {
    timeout_at(until, what).await.is_ok()
}

/// The groups by depth, from the given one down.
fn layers(top: &Arc<GroupInner>) -> Vec<Vec<Arc<GroupInner>>> {
    let mut layers = vec![vec![Arc::clone(top)]];
    loop {
        let next: Vec<_> = match layers.last() {
            Some(last) => last.iter().flat_map(|group| group.children()).collect(),
            None => Vec::new(),
        };
        if next.is_empty() {
            return layers;
        }
        layers.push(next);
    }
}

/// What is left: tasks that are busy in a poll, and blocking ones.
fn remains(top: &Arc<GroupInner>) -> (Vec<TaskInfo>, Vec<TaskInfo>) {
    let (mut stuck, mut blocking) = (Vec::new(), Vec::new());
    top.walk(|group| {
        group.each_entry(|entry| {
            let info = TaskInfo::of(entry);
            if entry.is_blocking() {
                blocking.push(info);
            } else {
                stuck.push(info);
            }
        });
    });
    (stuck, blocking)
}
