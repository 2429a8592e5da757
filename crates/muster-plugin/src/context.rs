//! What a running plugin is given.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_metric::{Batch, Timestamp};
use muster_tasks::{BlockingCtx, Ctx, Group};
use parking_lot::Mutex;

use crate::{ComponentId, PluginError, Resources};

/// So many problems of one gather are kept; further ones are counted.
const MOST_REPORTS: usize = 20;

/// The agent's numbers about itself, for the input `internal`.
pub trait Telemetry: Send + Sync {
    /// Appends the present numbers as metrics. With `per_instance` each component counts for
    /// itself; otherwise those of the same plugin and alias are added up.
    fn collect(&self, per_instance: bool, batch: &mut Batch);
}

/// What [`start`](crate::Input::start) is given.
#[derive(Clone)]
pub struct StartContext {
    id: ComponentId,
    group: Group,
    resources: Resources,
    interval: Duration,
    telemetry: Option<Arc<dyn Telemetry>>,
}

impl std::fmt::Debug for StartContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartContext")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl StartContext {
    /// The context of a component that starts. `group` is owned by the prepared component and
    /// stopped with it.
    pub fn new(id: ComponentId, group: Group, resources: Resources, interval: Duration) -> Self {
        Self {
            id,
            group,
            resources,
            interval,
            telemetry: None,
        }
    }

    /// The same with the agent's numbers about itself.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Arc<dyn Telemetry>) -> Self {
        self.telemetry = Some(telemetry);
        self
    }

    /// The component.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// The agent's numbers about itself, where there are any.
    pub fn telemetry(&self) -> Option<Arc<dyn Telemetry>> {
        self.telemetry.clone()
    }

    /// The component's group. It lives as long as the component.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The exclusive resources of the agent.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The component's interval (inputs) or flush interval (outputs).
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

/// What [`gather`](crate::Input::gather) is given.
#[derive(Clone, Debug)]
pub struct GatherContext {
    id: ComponentId,
    group: Group,
    started: Timestamp,
    timeout: Duration,
    interval: Duration,
    reports: Arc<Mutex<Reports>>,
}

#[derive(Debug, Default)]
struct Reports {
    errors: Vec<PluginError>,
    more: u64,
}

impl GatherContext {
    /// The context of one gather. What is in `group` is stopped after the gather.
    pub fn new(
        id: ComponentId,
        group: Group,
        started: Timestamp,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        Self {
            id,
            group,
            started,
            timeout,
            interval,
            reports: Arc::default(),
        }
    }

    /// The component.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// When this gather started: the time of its metrics unless they bring their own.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// How long the gather may take; then it is cancelled. The bound for connections beneath.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The component's interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The gather's group in the task tree, to spawn helpers; they end with the gather.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Notes a failure that concerns a part of the gather only. It is counted and logged, and the
    /// gather goes on.
    pub fn report(&self, error: PluginError) {
        let mut reports = self.reports.lock();
        if reports.errors.len() < MOST_REPORTS {
            reports.errors.push(error);
        } else {
            reports.more += 1;
        }
    }

    /// The reported failures, and how many there were beyond those kept.
    pub fn take_reports(&self) -> (Vec<PluginError>, u64) {
        let reports = std::mem::take(&mut *self.reports.lock());
        (reports.errors, reports.more)
    }

    /// Runs what would block the thread (a system call that may hang) on a thread of its own, named
    /// and bounded, from the call on. When the gather is cancelled the wait ends at once; the thread
    /// ends when the call does, and is reported until then with the line that called this.
    ///
    /// # Errors
    /// If no thread is to be had, or the work panicked or was cancelled.
    #[track_caller]
    pub fn blocking<T: Send + 'static, W>(
        &self,
        name: &'static str,
        work: W,
    ) -> impl Future<Output = Result<T, PluginError>> + Send + use<T, W>
    where
        W: FnOnce(&BlockingCtx) -> T + Send + 'static,
    {
        let failed = move || PluginError::new(format!("run {name} on a thread"));
        let handle = self.group.spawn_blocking(name, move |cx| work(&cx));
        async move {
            let handle = handle.map_err(|refused| failed().because(refused.to_string()))?;
            let ended = handle.join().await.into_result();
            ended.map_err(|why| failed().because(why))
        }
    }
}

/// Where a service input sends its metrics.
#[async_trait]
pub trait Emit: Send + Sync {
    /// Takes the metrics into the pipeline. Waits while the pipeline is busy.
    async fn emit(&self, batch: Batch);

    /// Notes a failure: counted and logged with the component's ID.
    fn report(&self, error: PluginError);

    /// Keeps what must survive a change of options or a restart.
    fn save_state(&self, state: serde_json::Value);
}

/// What [`run`](crate::ServiceInput::run) is given.
#[derive(Clone)]
pub struct ServiceContext {
    id: ComponentId,
    ctx: Ctx,
    interval: Duration,
    timeout: Duration,
    emit: Arc<dyn Emit>,
}

impl std::fmt::Debug for ServiceContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceContext")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ServiceContext {
    /// The context of a service input's run.
    pub fn new(
        id: ComponentId,
        ctx: Ctx,
        interval: Duration,
        timeout: Duration,
        emit: Arc<dyn Emit>,
    ) -> Self {
        Self {
            id,
            ctx,
            interval,
            timeout,
            emit,
        }
    }

    /// The component.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// The component's interval, for inputs that do something each interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The component's timeout, for single pieces of work.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The run's scope in the task tree.
    pub fn tasks(&self) -> &Ctx {
        &self.ctx
    }

    /// The run's group, to spawn helpers; it is stopped when the run ends.
    pub fn group(&self) -> Group {
        self.ctx.group()
    }

    /// Resolves when the input is to end.
    pub async fn cancelled(&self) {
        self.ctx.cancelled().await;
    }

    /// Sends metrics into the pipeline; waits while the pipeline is busy, which is the back-pressure
    /// for whoever sends them to us. Those without a time get the present one.
    ///
    /// Metrics that must not be acknowledged before they are dealt with carry a guard
    /// ([`Batch::attach`]).
    pub async fn emit(&self, batch: Batch) {
        if !batch.is_empty() {
            self.emit.emit(batch).await;
        }
    }

    /// Notes a failure after which the input goes on. It is counted and logged.
    pub fn report(&self, error: PluginError) {
        self.emit.report(error);
    }

    /// Keeps what must survive a change of options, a restart or a kill, in place of what was kept
    /// before. Written to disk about once a second. Cheap enough to call after every batch.
    pub fn save_state(&self, state: serde_json::Value) {
        self.emit.save_state(state);
    }
}

/// What an output's [`write`](crate::Output::write) is given.
#[derive(Clone, Debug)]
pub struct OutputContext {
    id: ComponentId,
    ctx: Ctx,
    timeout: Duration,
}

impl OutputContext {
    /// The context of an output's calls.
    pub fn new(id: ComponentId, ctx: Ctx, timeout: Duration) -> Self {
        Self { id, ctx, timeout }
    }

    /// The component.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// How long the call may take; then it is cancelled. The bound for connections beneath.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The output's scope in the task tree.
    pub fn tasks(&self) -> &Ctx {
        &self.ctx
    }
}
