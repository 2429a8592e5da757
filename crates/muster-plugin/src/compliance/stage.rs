//! Gives a plugin in a test all that the engine would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use muster_metric::{Batch, Metrics, Timestamp};
use muster_options::OptionError;
use muster_tasks::{Ctx, Group, Outcome, StopOptions, StopReport, TaskHandle};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use toml::Table;

use crate::{
    Aggregator, Build, BuildContext, ComponentId, Emit, GatherContext, Input, Kind, Output,
    OutputContext, PluginError, PluginRow, Processor, Resources, ServiceContext, ServiceInput,
    StartContext, StatefulProcessor, WriteError,
};

/// A plugin that was built.
#[expect(missing_docs, reason = "the names say it")]
pub enum Plugin {
    Input(Box<dyn Input>),
    Service(Box<dyn ServiceInput>),
    Processor(Box<dyn Processor>),
    StatefulProcessor(Box<dyn StatefulProcessor>),
    Aggregator(Box<dyn Aggregator>),
    Output(Box<dyn Output>),
}

/// A root of tasks, resources, and an ID: where one component runs.
pub struct Stage {
    root: Group,
    id: ComponentId,
    resources: Resources,
    /// The component's interval.
    pub interval: Duration,
    /// The component's timeout.
    pub timeout: Duration,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// A stage for one component of that kind, with an interval of 1 s and a timeout of 5 s.
    pub fn new(kind: Kind) -> Self {
        Self {
            root: Group::root("stage"),
            id: ComponentId::new(kind, "tested"),
            resources: Resources::new(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
        }
    }

    /// Builds a plugin from its options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(row: &PluginRow, options: &Table) -> Result<Plugin, Vec<OptionError>> {
        let cx = BuildContext::new(row, options)?;
        Ok(match row.build {
            Build::Input(build) => Plugin::Input(build(&cx)?),
            Build::Service(build)
            | Build::Check(build)
            | Build::Publisher(build)
            | Build::Scaler(build) => Plugin::Service(build(&cx)?),
            Build::Processor(build) => Plugin::Processor(build(&cx)?),
            Build::StatefulProcessor(build) => Plugin::StatefulProcessor(build(&cx)?),
            Build::Aggregator(build) => Plugin::Aggregator(build(&cx)?),
            Build::Output(build) => Plugin::Output(build(&cx)?),
        })
    }

    /// The stage's tasks.
    pub fn root(&self) -> &Group {
        &self.root
    }

    /// What a plugin's `start` is given.
    pub fn start_context(&self) -> StartContext {
        let group = self.root.group("component");
        StartContext::new(
            self.id.clone(),
            group,
            self.resources.clone(),
            self.interval,
        )
    }

    /// A scope such as each gather and each run has.
    ///
    /// # Errors
    /// If the stage has ended.
    pub async fn scope(&self) -> Result<Scope, PluginError> {
        let (sender, receiver) = oneshot::channel();
        let hold = |cx: Ctx| async move {
            let _ = sender.send(cx.clone());
            cx.cancelled().await;
        };
        let failed = || PluginError::new("open a scope");
        let handle = self
            .root
            .spawn_scoped("scope", hold)
            .map_err(|why| failed().because(why))?;
        let ctx = receiver.await.map_err(|why| failed().because(why))?;
        Ok(Scope { ctx, handle })
    }

    /// What a gather in this scope is given.
    pub fn gather_context(&self, scope: &Scope) -> GatherContext {
        let (id, group) = (self.id.clone(), scope.ctx.group());
        GatherContext::new(id, group, Timestamp::now(), self.interval, self.timeout)
    }

    /// What an output in this scope is given.
    pub fn output_context(&self, scope: &Scope) -> OutputContext {
        OutputContext::new(self.id.clone(), scope.ctx.clone(), self.timeout)
    }

    /// Gathers once: the metrics, the reported failures, and how it ended.
    ///
    /// # Errors
    /// If the stage has ended. A gather's own failure is in the result.
    pub async fn gather(
        &self,
        input: &mut dyn Input,
    ) -> Result<(Batch, Vec<PluginError>, Result<(), PluginError>), PluginError> {
        let scope = self.scope().await?;
        let cx = self.gather_context(&scope);
        let mut batch = Batch::new();
        let timeout = || PluginError::new("gather in time");
        let gathered = tokio::time::timeout(self.timeout, input.gather(&cx, &mut batch)).await;
        let result = gathered.unwrap_or_else(|_| Err(timeout()));
        scope.end().await;
        Ok((batch, cx.take_reports().0, result))
    }

    /// Writes once.
    ///
    /// # Errors
    /// As the output says, or if it takes longer than the timeout.
    pub async fn write(
        &self,
        output: &mut dyn Output,
        metrics: &Metrics,
    ) -> Result<(), WriteError> {
        let scope = self.scope().await?;
        let cx = self.output_context(&scope);
        let written = tokio::time::timeout(self.timeout, output.write(&cx, metrics)).await;
        scope.end().await;
        written.unwrap_or_else(|_| Err(PluginError::new("write in time").into()))
    }

    /// Closes an output.
    ///
    /// # Errors
    /// As the output says, or if it takes longer than the timeout.
    pub async fn close(&self, output: &mut dyn Output) -> Result<(), PluginError> {
        let scope = self.scope().await?;
        let cx = self.output_context(&scope);
        let closed = tokio::time::timeout(self.timeout, output.close(&cx)).await;
        scope.end().await;
        closed.unwrap_or_else(|_| Err(PluginError::new("close in time")))
    }

    /// Runs a service input, started before, until [`Running::stop`].
    ///
    /// # Errors
    /// If the stage has ended.
    pub fn run(&self, mut service: Box<dyn ServiceInput>) -> Result<Running, PluginError> {
        let seen = Arc::new(Seen::default());
        let (id, emit) = (self.id.clone(), Arc::clone(&seen) as Arc<dyn Emit>);
        let (interval, timeout) = (self.interval, self.timeout);
        let began = Arc::clone(&seen);
        let run = move |cx: Ctx| async move {
            began.began.store(true, Relaxed);
            began.news.notify_waiters();
            let cx = ServiceContext::new(id, cx, interval, timeout, emit);
            let result = service.run(&cx).await;
            (service, result)
        };
        let handle = self.root.spawn_scoped("run", run);
        let handle = handle.map_err(|why| PluginError::new("run").because(why))?;
        Ok(Running { handle, seen })
    }

    /// Stops everything on the stage, and says how that went.
    pub async fn end(self) -> StopReport {
        self.root
            .stop_with(StopOptions::grace(Duration::from_secs(1)))
            .await
    }
}

/// The scope of one gather, write or run: what is spawned in it ends with it.
#[derive(Debug)]
pub struct Scope {
    /// The scope's place in the tree of tasks.
    pub ctx: Ctx,
    handle: TaskHandle<()>,
}

impl Scope {
    /// Ends everything in the scope.
    pub async fn end(self) {
        self.handle.cancel();
        let _ = self.handle.join().await;
    }
}

/// What a service input sent.
#[derive(Default)]
struct Seen {
    began: AtomicBool,
    batches: Mutex<Vec<Batch>>,
    reports: Mutex<Vec<PluginError>>,
    state: Mutex<Option<Value>>,
    /// Told about all of these.
    news: Notify,
}

#[async_trait]
impl Emit for Seen {
    async fn emit(&self, batch: Batch) {
        self.batches.lock().push(batch);
        self.news.notify_waiters();
    }

    fn report(&self, error: PluginError) {
        self.reports.lock().push(error);
        self.news.notify_waiters();
    }

    fn save_state(&self, state: Value) {
        *self.state.lock() = Some(state);
        self.news.notify_waiters();
    }
}

/// A service input that runs.
pub struct Running {
    handle: TaskHandle<(Box<dyn ServiceInput>, Result<(), PluginError>)>,
    seen: Arc<Seen>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// How many metrics have come and were not taken yet.
    pub fn count(&self) -> usize {
        self.seen.batches.lock().iter().map(Batch::len).sum()
    }

    /// Takes the batches that have come so far. What outputs would do with a batch is done when it
    /// is dropped: its guards are released.
    pub fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.seen.batches.lock())
    }

    /// Takes the failures that were reported so far.
    pub fn take_reports(&self) -> Vec<PluginError> {
        std::mem::take(&mut *self.seen.reports.lock())
    }

    /// The state that was kept last.
    pub fn state(&self) -> Option<Value> {
        self.seen.state.lock().clone()
    }

    /// Whether the run has ended.
    pub fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until `done` holds; false if that does not come to pass within `patience`.
    pub async fn wait_until(&self, patience: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let wait = async {
            while !done(self) {
                let news = self.seen.news.notified();
                let step = tokio::time::sleep(Duration::from_millis(20));
                tokio::select! { () = news => {}, () = step => {} }
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    /// Asks the run to end and waits for it: the input and how the run ended. `None` if it
    /// panicked or did not end within a second; it is dropped then.
    pub async fn stop(self) -> Option<(Box<dyn ServiceInput>, Result<(), PluginError>)> {
        // One that was never polled would be dropped unheard.
        let began = |running: &Self| running.seen.began.load(Relaxed) || running.has_ended();
        self.wait_until(Duration::from_secs(1), began).await;
        self.handle.cancel();
        let mut handle = self.handle;
        match tokio::time::timeout(Duration::from_secs(1), &mut handle).await {
            Ok(Outcome::Done(ended)) => Some(ended),
            Ok(_) => None,
            Err(_) => {
                handle.abort();
                let _ = handle.join().await;
                None
            }
        }
    }
}

/// Metrics of all types and shapes: what outputs, processors and aggregators are checked with.
pub fn sample() -> Batch {
    let mut batch = Batch::new();
    let time = Timestamp::from_seconds(1_700_000_000);
    for number in 0..10_i64 {
        batch
            .metric("cpu")
            .tag("host", "a")
            .tag("cpu", format!("cpu{}", number % 2))
            .field("usage_idle", 98.5 - number as f64)
            .field("count", number)
            .at(time.saturating_add(Duration::from_secs(number.unsigned_abs())));
    }
    batch.metric("plain").field("value", 1_u64).at(time);
    batch
        .metric("odd names, = \"x\"")
        .tag("a b", "c,d=e\\")
        .field("täg", "ü \"q\"\n")
        .at(time);
    batch
        .metric("types")
        .field("yes", true)
        .field("text", "")
        .field("min", i64::MIN)
        .at(time);
    batch
        .metric("floats")
        .field("nan", f64::NAN)
        .field("inf", f64::INFINITY)
        .at(time);
    batch
        .metric("floats")
        .field("nan", f64::NAN)
        .field("fine", 1e300)
        .at(time);
    batch
        .metric("early")
        .field("value", 1.0)
        .at(Timestamp::from_nanos(-1));
    batch
}
