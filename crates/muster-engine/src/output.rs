//! The tasks of outputs: writing what waits, retrying, halving what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use muster_config::{BuiltPlugin, OutputSettings};
use muster_metric::{Metrics, Timestamp};
use muster_plugin::{ComponentId, Output, OutputContext, PluginError, WriteError};
use muster_tasks::{Ctx, Group, StopOptions, StopReport, catch_panic, timeout};
use tokio::sync::watch;

use crate::core::{Core, Factory, sleep};
use crate::dead_letter::DeadLetters;
use crate::health::State;
use crate::input::start_context;
use crate::queue::{OutputQueue, Taken};
use crate::schedule::Random;
use crate::stats::Stats;

/// The first wait after a failed write; doubles with each failure in a row.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How long the writer of an output that is being changed may take to finish its write.
const HAND_OVER_GRACE: Duration = Duration::from_secs(2);

/// How long what is aborted gets to be dropped.
const SHORT_GRACE: Duration = Duration::from_millis(200);

/// Waits at most `grace` for an output that was told to end, then ends it by force. Returns what
/// would not end even so.
pub(crate) async fn end_output(
    group: &Group,
    grace: Duration,
    abort_after: Duration,
) -> StopReport {
    let _ = timeout(grace, group.wait()).await;
    let options = StopOptions {
        abort_after,
        ..StopOptions::grace(Duration::ZERO)
    };
    let report = group.stop_with(options).await;
    if !report.is_clean() {
        tracing::warn!(group = %group.path(), "an output does not end: {report}");
    }
    report
}

/// Everything that an output's task needs beside the plugin.
pub(crate) struct OutputRun {
    pub(crate) core: Arc<Core>,
    pub(crate) id: ComponentId,
    pub(crate) settings: OutputSettings,
    pub(crate) queue: Arc<OutputQueue>,
    pub(crate) healthy: Arc<AtomicBool>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) group: Group,
    pub(crate) factory: Factory,
    /// Told how the output is to end. Its group is cancelled only afterwards: the last write may
    /// need helpers of its own.
    pub(crate) end: watch::Receiver<End>,
    /// Metrics wait, none is written.
    pub(crate) paused: bool,
}

/// Whether and how an output is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes on.
    NotYet,
    /// A successor takes the queue over: what waits is left to it.
    HandOver,
    /// What waits is written once more.
    Flush,
}

/// How a write ended.
enum Delivery {
    /// All is dealt with.
    Done,
    /// The rest is to be tried again.
    Retry,
    /// The plugin panicked and is gone; the rest is to be tried again.
    Lost,
}

impl OutputRun {
    /// Writes until cancelled; then once more all that waits, unless a successor takes it over.
    pub(crate) async fn write(
        self,
        cx: Ctx,
        mut plugin: Option<Box<dyn Output>>,
        predecessor: Option<Group>,
    ) {
        if let Some(predecessor) = predecessor {
            let _ = end_output(&predecessor, HAND_OVER_GRACE, SHORT_GRACE).await;
        }
        self.queue.inherit();
        if self.paused {
            self.stats
                .health(|health| health.set(State::Paused, Timestamp::now()));
            let mut end = self.end.clone();
            tokio::select! {
                _ = cx.cancelled() => {}
                _ = end.wait_for(|end| *end != End::NotYet) => {}
            }
            return;
        }
        let mut end = self.end.clone();
        let write_cx = OutputContext::new(self.id.clone(), cx.clone(), self.settings.timeout);
        let mut random = Random::seeded(&self.id.id);
        let mut failures = 0u32;
        let mut next_flush = self.next_flush(&mut random);
        loop {
            let full_batch = async {
                while failures > 0 || !self.queue.is_due() {
                    self.queue.due().await;
                }
            };
            let all = tokio::select! {
                biased;
                _ = cx.cancelled() => break,
                _ = end.wait_for(|end| *end != End::NotYet) => break,
                () = self.core.flush.notified() => true,
                () = tokio::time::sleep_until(next_flush) => true,
                () = full_batch => false,
            };
            let delivery = match plugin.as_mut() {
                Some(live) if all => self.flush(&write_cx, live.as_mut()).await,
                Some(live) => self.write_batch(&write_cx, live.as_mut()).await,
                None => {
                    plugin = self.rebuild().await;
                    if plugin.is_some() {
                        Delivery::Done
                    } else {
                        Delivery::Retry
                    }
                }
            };
            match delivery {
                Delivery::Done => failures = 0,
                Delivery::Retry => failures = failures.saturating_add(1),
                Delivery::Lost => {
                    plugin = None;
                    let wait = self.lost("its write panicked", random.next_u32());
                    if !sleep(&cx, wait).await {
                        break;
                    }
                    plugin = self.rebuild().await;
                }
            }
            self.healthy.store(failures == 0, Relaxed);
            if failures > 0 {
                next_flush = tokio::time::Instant::now() + self.retry_wait(failures, &mut random);
            } else if all {
                next_flush = self.next_flush(&mut random);
            }
        }
        let Some(mut live) = plugin else { return };
        if *self.end.borrow() != End::HandOver {
            self.flush(&write_cx, live.as_mut()).await;
        }
        if let Ok(Err(error)) = catch_panic(live.close(&write_cx)).await {
            self.stats.error(error.to_string(), Timestamp::now());
        }
    }

    fn next_flush(&self, random: &mut Random) -> tokio::time::Instant {
        let jitter = f64::from(random.next_u32()) / f64::from(u32::MAX);
        let wait = self.settings.flush_interval + self.settings.flush_jitter.mul_f64(jitter);
        tokio::time::Instant::now() + wait.max(Duration::from_millis(1))
    }

    /// Doubles from a second to the configured maximum, spread by a tenth.
    fn retry_wait(&self, failures: u32, random: &mut Random) -> Duration {
        let doubled = FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16));
        let spread = 1.0 + 0.1 * f64::from(random.next_u32()) / f64::from(u32::MAX);
        doubled.min(self.settings.retry_backoff_max).mul_f64(spread)
    }

    /// Writes all that waits, up to the first failure or until the output is told to end.
    async fn flush(&self, write_cx: &OutputContext, plugin: &mut dyn Output) -> Delivery {
        let end = *self.end.borrow();
        let waiting = self.queue.counts().metrics;
        let batches = waiting / self.settings.metric_batch_size.max(1) + 1;
        for _ in 0..batches {
            let delivery = self.write_batch(write_cx, plugin).await;
            let over = *self.end.borrow() != end || self.queue.counts().metrics == 0;
            if over || !matches!(delivery, Delivery::Done) {
                return delivery;
            }
        }
        Delivery::Done
    }

    /// Writes one batch. What is refused is halved until the metrics at fault are found.
    async fn write_batch(&self, write_cx: &OutputContext, plugin: &mut dyn Output) -> Delivery {
        let Some(Taken { metrics, epoch }) = self.queue.take().await else {
            return Delivery::Retry;
        };
        if metrics.is_empty() {
            return Delivery::Done;
        }
        let mut parts = vec![metrics];
        while let Some(part) = parts.pop() {
            let (began, clock) = (Timestamp::now(), Instant::now());
            let limit = self.settings.timeout;
            let written = timeout(limit, catch_panic(plugin.write(write_cx, &part))).await;
            self.stats.ran(began, clock.elapsed());
            let now = Timestamp::now();
            let error = match written {
                Ok(Ok(Ok(()))) => {
                    self.stats.metrics.fetch_add(part.len() as u64, Relaxed);
                    self.stats.health(|health| health.succeeded(now));
                    self.queue.settle(epoch, part.len());
                    continue;
                }
                Ok(Ok(Err(WriteError::Rejected(error)))) if part.len() > 1 => {
                    tracing::debug!(component = %self.id, "halves a refused batch: {error}");
                    let (front, back) = part.split_at(part.len() / 2);
                    parts.extend([back, front]);
                    continue;
                }
                Ok(Ok(Err(WriteError::Rejected(error)))) => {
                    self.reject(&part, &error, now).await;
                    self.queue.settle(epoch, part.len());
                    continue;
                }
                Ok(Ok(Err(WriteError::Partial { rejected, error }))) => {
                    self.stats
                        .metrics
                        .fetch_add(part.len().saturating_sub(rejected.len()) as u64, Relaxed);
                    let refused = pick(&part, &rejected);
                    self.reject(&refused, &error, now).await;
                    self.queue.settle(epoch, part.len());
                    continue;
                }
                Ok(Ok(Err(WriteError::Retry(error)))) => error.to_string(),
                Ok(Err(panic)) => {
                    self.stats.panics.fetch_add(1, Relaxed);
                    self.queue.put_back(epoch);
                    self.stats
                        .error(format!("its write panicked: {panic}"), now);
                    return Delivery::Lost;
                }
                Err(_) => {
                    self.stats.timeouts.fetch_add(1, Relaxed);
                    format!("its write was cancelled after {limit:?}")
                }
            };
            self.stats.error(&error, now);
            self.stats.health(|health| health.failed(error, now));
            self.queue.put_back(epoch);
            return Delivery::Retry;
        }
        Delivery::Done
    }

    /// Counts what the service will never take, and keeps it in the dead-letter file if there is
    /// one.
    async fn reject(&self, metrics: &Metrics, error: &PluginError, now: Timestamp) {
        self.stats.rejected.fetch_add(metrics.len() as u64, Relaxed);
        self.stats.error(
            format!("{} metrics refused for good: {error}", metrics.len()),
            now,
        );
        let Some(path) = &self.settings.dead_letter_file else {
            return;
        };
        if let Err(error) = DeadLetters::append(&self.group, path, metrics).await {
            self.stats.error(error.to_string(), now);
        }
    }

    fn lost(&self, why: &str, random: u32) -> Duration {
        let now = Timestamp::now();
        let wait = self.stats.health(|health| health.lost(why, now, random));
        tracing::warn!(component = %self.id, "{why}; made anew in {wait:.1?}");
        wait
    }

    async fn rebuild(&self) -> Option<Box<dyn Output>> {
        let Ok(BuiltPlugin::Output(mut plugin)) = (self.factory)().map(|c| c.built) else {
            return None;
        };
        let resources = self.core.resources.clone();
        let interval = self.settings.flush_interval;
        let cx = start_context(&self.core, &self.id, &self.group, interval, resources);
        let started = timeout(self.settings.timeout, catch_panic(plugin.start(&cx))).await;
        if matches!(started, Ok(Ok(Ok(())))) {
            return Some(plugin);
        }
        self.stats.startup_errors.fetch_add(1, Relaxed);
        self.stats.error("its start failed", Timestamp::now());
        None
    }
}

/// The metrics at these positions.
fn pick(metrics: &Metrics, positions: &[usize]) -> Metrics {
    let mut batch = muster_metric::Batch::new();
    for (position, metric) in metrics.iter().enumerate() {
        if positions.binary_search(&position).is_ok() {
            batch.push(metric);
        }
    }
    Metrics::from(batch)
}
