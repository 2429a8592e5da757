//! The tasks of inputs: gathering at each tick, or letting a service input work.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_config::{BuiltPlugin, InputSettings, TimeSource};
use muster_metric::{Batch, Room, Timestamp};
use muster_plugin::{
    ComponentId, Emit, GatherContext, Input, PluginError, Resources, ServiceContext, ServiceInput,
    StartContext,
};
use muster_tasks::{Ctx, Group, Outcome, StopOptions, catch_panic, catch_panic_sync, timeout};
use serde_json::Value;

use crate::core::{Core, Factory, sleep, sleep_until};
use crate::health::State;
use crate::refine::Refiner;
use crate::schedule::{Random, Schedule};
use crate::stats::Stats;

/// How long a predecessor or a gather's helpers get to end before they are aborted.
const SHORT_GRACE: Duration = Duration::from_millis(100);

/// How long a service input gets to finish what is at hand.
const SERVICE_GRACE: Duration = Duration::from_secs(1);

/// A run that lasted so long was a good one: losses before it no longer count.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// How long a service input's source is slowed at most for each batch while a queue is crowded.
const MOST_SLOWING: Duration = Duration::from_millis(50);

/// Everything that an input's task needs beside the plugin.
pub(crate) struct InputRun {
    pub(crate) core: Arc<Core>,
    pub(crate) id: ComponentId,
    pub(crate) settings: InputSettings,
    pub(crate) refiner: Arc<Refiner>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) group: Group,
    pub(crate) factory: Factory,
}

/// Ends the earlier generation of a component. In bounded time: one that is stuck in a poll stays
/// visible in the task tree, and its metrics go nowhere any more.
pub(crate) async fn end_predecessor(predecessor: Option<Group>, grace: Duration) {
    if let Some(group) = predecessor {
        let report = group
            .stop_with(StopOptions {
                abort_after: SERVICE_GRACE,
                ..StopOptions::grace(grace)
            })
            .await;
        if !report.is_clean() {
            tracing::warn!(group = %group.path(), "an earlier generation does not end: {report}");
        }
    }
}

/// A polled plugin whose state is kept when its task ends, also when it is aborted: on a busy
/// machine a task may not get to its end within the grace that its successor gives it.
struct KeptAtEnd<'a> {
    run: &'a InputRun,
    plugin: Option<Box<dyn Input>>,
}

impl Drop for KeptAtEnd<'_> {
    fn drop(&mut self) {
        if let Some(plugin) = self.plugin.take() {
            self.run.keep(|| plugin.state());
        }
    }
}

impl InputRun {
    /// What a plugin's start is given.
    pub(crate) fn start_context(&self) -> StartContext {
        let resources = self.core.resources.clone();
        start_context(
            &self.core,
            &self.id,
            &self.group,
            self.settings.interval,
            resources,
        )
    }

    /// Gathers at each tick until cancelled.
    pub(crate) async fn poll(
        self,
        cx: Ctx,
        plugin: Option<Box<dyn Input>>,
        predecessor: Option<Group>,
    ) {
        end_predecessor(predecessor, SHORT_GRACE).await;
        let mut kept = KeptAtEnd {
            run: &self,
            plugin: plugin.and_then(|live| self.restored(live, |live, state| live.restore(state))),
        };
        let plugin = &mut kept.plugin;
        let settings = &self.settings;
        let now = Timestamp::now();
        let schedule = Schedule::new(
            now,
            settings.interval,
            settings.collection_jitter,
            settings.collection_offset,
            settings.round_interval,
        );
        let mut random = Random::seeded(&self.id.id);
        let mut tick = if settings.gather_on_start {
            now
        } else {
            schedule.first()
        };
        let mut gatherer = Gatherer::new(&self);
        loop {
            let due = tick.saturating_add(schedule.jitter(random.next_u32()));
            if !sleep_until(&cx, due).await {
                break;
            }
            if let Some(live) = plugin.as_mut() {
                let (gathered, batch) = gatherer.gather(&cx, live.as_mut()).await;
                self.core
                    .pipeline
                    .load_full()
                    .submit(batch, Timestamp::now());
                match gathered {
                    Gathered::Cancelled => break,
                    Gathered::Done => {}
                    Gathered::Lost(panic) => {
                        *plugin = None;
                        let wait = self.lost(&panic, random.next_u32());
                        if !sleep(&cx, wait).await {
                            break;
                        }
                    }
                }
            }
            if plugin.is_none() {
                match self.rebuild_polled(random.next_u32()).await {
                    Ok(live) => *plugin = Some(live),
                    Err(wait) if sleep(&cx, wait).await => {}
                    Err(_) => break,
                }
            }
            let real = Timestamp::now();
            // A clock that was set back must not stop the input for as long as it was set back.
            let set_back = real.saturating_add(settings.interval) < tick;
            let now = if set_back { real } else { real.max(tick) };
            let passed = schedule.ticks_between(tick, now);
            self.stats.skipped.fetch_add(passed, Relaxed);
            tick = schedule.after(now);
        }
    }

    /// Lets a service input work until cancelled; starts it again when it ends by itself.
    pub(crate) async fn serve(
        self,
        cx: Ctx,
        plugin: Option<Box<dyn ServiceInput>>,
        predecessor: Option<Group>,
    ) {
        end_predecessor(predecessor, SERVICE_GRACE).await;
        let mut random = Random::seeded(&self.id.id);
        let mut plugin = match plugin {
            None => None,
            Some(live) => self.restored(live, |live, state| live.restore(state)),
        };
        while !cx.is_cancelled() {
            let Some(mut live) = plugin.take() else {
                match self.rebuild_service(random.next_u32()).await {
                    Ok(live) => plugin = Some(live),
                    Err(wait) if sleep(&cx, wait).await => {}
                    Err(_) => break,
                }
                continue;
            };
            let emitter = Arc::new(Emitter::of(&self));
            let _closes = CloseAtEnd(Arc::clone(&emitter));
            let (id, settings) = (self.id.clone(), &self.settings);
            let (interval, limit) = (settings.interval, settings.timeout);
            let began = Instant::now();
            self.stats
                .health(|health| health.set(State::Running, Timestamp::now()));
            let run = self.group.spawn_scoped("run", {
                let emitter: Arc<dyn Emit> = emitter.clone();
                move |cx| async move {
                    let cx = ServiceContext::new(id, cx, interval, limit, emitter);
                    let result = live.run(&cx).await;
                    (live, result)
                }
            });
            let Ok(run) = run else { break };
            let why = match run.join().await {
                Outcome::Done((live, result)) => {
                    self.keep(|| live.state());
                    match result {
                        Ok(()) if cx.is_cancelled() => break,
                        Ok(()) => "it ended by itself".to_owned(),
                        Err(error) => error.to_string(),
                    }
                }
                Outcome::Panicked(panic) => {
                    self.stats.panics.fetch_add(1, Relaxed);
                    format!("it panicked: {panic}")
                }
                _ => break,
            };
            if cx.is_cancelled() {
                break;
            }
            if began.elapsed() >= STABLE_AFTER {
                self.stats
                    .health(|health| health.succeeded(Timestamp::now()));
            }
            let wait = self.lost(&why, random.next_u32());
            if !sleep(&cx, wait).await {
                break;
            }
        }
    }

    /// Notes that the plugin was lost, and says how long to wait before it is made anew.
    fn lost(&self, why: &str, random: u32) -> Duration {
        let now = Timestamp::now();
        self.stats.error(why, now);
        let wait = self.stats.health(|health| health.lost(why, now, random));
        tracing::warn!(component = %self.id, "made anew in {wait:.1?}");
        wait
    }

    /// Makes a polled plugin anew, or says when to try again.
    async fn rebuild_polled(&self, random: u32) -> Result<Box<dyn Input>, Duration> {
        let built = (self.factory)().map(|component| component.built);
        let Ok(BuiltPlugin::Input(mut plugin)) = built else {
            return Err(self.lost("it cannot be built any more", random));
        };
        let cx = self.start_context();
        self.started(plugin.start(&cx), random).await?;
        self.restored(plugin, |live, state| live.restore(state))
            .ok_or_else(|| self.lost("its state cannot be restored", random))
    }

    /// Makes a service plugin anew, or says when to try again.
    async fn rebuild_service(&self, random: u32) -> Result<Box<dyn ServiceInput>, Duration> {
        let built = (self.factory)().map(|component| component.built);
        let Ok(BuiltPlugin::Service(mut plugin)) = built else {
            return Err(self.lost("it cannot be built any more", random));
        };
        let cx = self.start_context();
        self.started(plugin.start(&cx), random).await?;
        self.restored(plugin, |live, state| live.restore(state))
            .ok_or_else(|| self.lost("its state cannot be restored", random))
    }

    async fn started(
        &self,
        start: impl Future<Output = Result<(), PluginError>>,
        random: u32,
    ) -> Result<(), Duration> {
        let why = match timeout(self.settings.timeout, catch_panic(start)).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => format!("its start panicked: {panic}"),
            Err(_) => format!("its start took longer than {:?}", self.settings.timeout),
        };
        self.stats.startup_errors.fetch_add(1, Relaxed);
        Err(self.lost(&why, random))
    }

    /// Gives the plugin what it kept. A state on which it panics is forgotten, and the plugin with
    /// it: the next one starts without.
    fn restored<P>(&self, mut plugin: P, restore: impl FnOnce(&mut P, Value)) -> Option<P> {
        let Some(state) = self.core.states.get(&self.id) else {
            return Some(plugin);
        };
        let caught = catch_panic_sync(AssertUnwindSafe(|| {
            restore(&mut plugin, state);
            plugin
        }));
        match caught {
            Ok(plugin) => Some(plugin),
            Err(panic) => {
                self.core.states.remove(&self.id);
                self.stats.panics.fetch_add(1, Relaxed);
                let why = format!("it panicked when it was given its state back: {panic}");
                self.stats.error(why, Timestamp::now());
                None
            }
        }
    }

    /// Keeps what the plugin wants kept.
    fn keep(&self, state: impl FnOnce() -> Option<Value>) {
        match catch_panic_sync(AssertUnwindSafe(state)) {
            Ok(Some(state)) => self.core.states.put(&self.id, state),
            Ok(None) => {}
            Err(panic) => {
                self.stats.panics.fetch_add(1, Relaxed);
                let why = format!("it panicked when it was asked for its state: {panic}");
                self.stats.error(why, Timestamp::now());
            }
        }
    }
}

pub(crate) fn start_context(
    core: &Core,
    id: &ComponentId,
    group: &Group,
    interval: Duration,
    resources: Resources,
) -> StartContext {
    let cx = StartContext::new(id.clone(), group.clone(), resources, interval);
    match &*core.telemetry.lock() {
        Some(telemetry) => cx.with_telemetry(Arc::clone(telemetry)),
        None => cx,
    }
}

/// What one gather came to.
pub(crate) enum Gathered {
    /// The input was told to end meanwhile.
    Cancelled,
    /// It ended, well or not; the plugin can go on.
    Done,
    /// It panicked: the plugin cannot be trusted any more.
    Lost(String),
}

/// Runs single gathers of one input, each with its own scope for helpers.
pub(crate) struct Gatherer<'a> {
    run: &'a InputRun,
    helpers: Group,
    last_end: Timestamp,
    /// The room that the last batch took, for the next.
    room: Room,
}

impl<'a> Gatherer<'a> {
    pub(crate) fn new(run: &'a InputRun) -> Self {
        let helpers = run.group.group("gather");
        Self {
            run,
            helpers,
            last_end: Timestamp::now(),
            room: Room::default(),
        }
    }

    /// One gather: at most for the timeout, then cancelled with all that it started.
    /// What is in the batch is refined and to be used, however the gather ended.
    pub(crate) async fn gather(&mut self, cx: &Ctx, plugin: &mut dyn Input) -> (Gathered, Batch) {
        let run = self.run;
        let stats = &run.stats;
        let left_over = self.helpers.count() > 0 || self.helpers.is_closed();
        if left_over && !self.end_helpers().await {
            stats.skipped.fetch_add(1, Relaxed);
            return (Gathered::Done, Batch::new());
        }
        let began = Timestamp::now();
        let clock = Instant::now();
        let limit = run.settings.timeout;
        let gather_cx = GatherContext::new(
            run.id.clone(),
            self.helpers.clone(),
            began,
            run.settings.interval,
            limit,
        );
        let mut batch = Batch::with_room(self.room);
        let outcome = {
            let gather = timeout(limit, catch_panic(plugin.gather(&gather_cx, &mut batch)));
            match cx.run(gather).await {
                Ok(outcome) => outcome,
                Err(_) => return (Gathered::Cancelled, Batch::new()),
            }
        };
        stats.ran(began, clock.elapsed());
        let now = Timestamp::now();
        let force_time = match run.settings.time_source {
            TimeSource::Metric => None,
            TimeSource::CollectionStart => Some(began),
            TimeSource::CollectionEnd => Some(self.last_end),
        };
        self.last_end = now;
        self.room = batch.room();
        run.refiner.refine(&mut batch, now, force_time, stats);
        if self.helpers.count() > 0 {
            self.end_helpers().await;
        }
        let (reports, more) = gather_cx.take_reports();
        stats.errors.fetch_add(more, Relaxed);
        for report in &reports {
            stats.error(report.to_string(), now);
        }
        match outcome {
            Ok(Ok(Ok(()))) if reports.is_empty() => {
                stats.health(|health| health.succeeded(now));
            }
            Ok(Ok(Ok(()))) => {
                let why = reports.last().map(ToString::to_string).unwrap_or_default();
                stats.health(|health| health.failed(why, now));
            }
            Ok(Ok(Err(error))) => {
                stats.error(error.to_string(), now);
                stats.health(|health| health.failed(error.to_string(), now));
            }
            Ok(Err(panic)) => {
                stats.panics.fetch_add(1, Relaxed);
                return (
                    Gathered::Lost(format!("its gather panicked: {panic}")),
                    batch,
                );
            }
            Err(_) => {
                stats.timeouts.fetch_add(1, Relaxed);
                let why = format!("its gather was cancelled after {limit:?}");
                stats.error(&why, now);
                stats.health(|health| health.failed(why, now));
            }
        }
        (Gathered::Done, batch)
    }

    /// Ends what the last gather left behind; false if a thread of it still blocks.
    async fn end_helpers(&mut self) -> bool {
        let options = StopOptions {
            abort_after: SHORT_GRACE,
            ..StopOptions::grace(SHORT_GRACE)
        };
        let report = self.helpers.stop_with(options).await;
        if report.is_clean() {
            self.helpers = self.run.group.group("gather");
            return true;
        }
        let first = report.blocking.first().or(report.stuck.first());
        let what = first.map(ToString::to_string).unwrap_or_default();
        let why = format!("a thread of an earlier gather still blocks: {what}");
        self.run
            .stats
            .health(|health| health.failed(why, Timestamp::now()));
        false
    }
}

/// Closes an emitter at the end of its run, however that comes.
struct CloseAtEnd(Arc<Emitter>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.closed.store(true, Relaxed);
    }
}

/// Takes a service input's metrics into the pipeline.
pub(crate) struct Emitter {
    core: Arc<Core>,
    id: ComponentId,
    refiner: Arc<Refiner>,
    stats: Arc<Stats>,
    force_time: bool,
    /// Set when the run is over: what a forgotten helper still sends goes nowhere.
    closed: AtomicBool,
}

impl Emitter {
    pub(crate) fn of(run: &InputRun) -> Self {
        Self {
            core: Arc::clone(&run.core),
            id: run.id.clone(),
            refiner: Arc::clone(&run.refiner),
            stats: Arc::clone(&run.stats),
            force_time: run.settings.time_source != TimeSource::Metric,
            closed: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Emit for Emitter {
    async fn emit(&self, mut batch: Batch) {
        if self.closed.load(Relaxed) {
            return;
        }
        let now = Timestamp::now();
        let clock = Instant::now();
        self.refiner
            .refine(&mut batch, now, self.force_time.then_some(now), &self.stats);
        let pipeline = self.core.pipeline.load_full();
        pipeline.submit(batch, now);
        self.stats.ran(now, clock.elapsed());
        if self.stats.health(|health| health.state()) != State::Running {
            self.stats.health(|health| health.succeeded(now));
        }
        if let Some(queue) = pipeline.crowded() {
            // A burst is slowed a little rather than dropped; a queue that stays full slows its
            // sources no further than this.
            let _ = timeout(MOST_SLOWING, queue.room()).await;
        } else {
            tokio::task::consume_budget().await;
        }
    }

    fn report(&self, error: PluginError) {
        let now = Timestamp::now();
        self.stats.error(error.to_string(), now);
        self.stats
            .health(|health| health.failed(error.to_string(), now));
    }

    fn save_state(&self, state: serde_json::Value) {
        self.core.states.put(&self.id, state);
    }
}
