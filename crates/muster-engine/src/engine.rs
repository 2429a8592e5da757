//! From desired to observed: prepare, commit, observe, stop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use muster_config::{AgentSettings, Definition, Environment, Source, Tags};
use muster_metric::Timestamp;
use muster_options::OptionError;
use muster_plugin::{ComponentId, Registry, Resources, Telemetry};
use muster_tasks::{Group, StopOptions, StopReport, timeout};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::aggregation::Aggregation;
use crate::core::{Core, Groups, States, sleep_until};
use crate::health::State;
use crate::link::Link;
use crate::output::{End, end_output};
use crate::pipeline::{Outlet, Pipeline};
use crate::prepare::{self, Prepared, PreparedPart};
use crate::queue::{Buffers, OutputQueue};
use crate::stats::{Observed, Stats};
use crate::tap::Taps;

/// The part of the stop's time that inputs get at most.
const INPUTS_SHARE: u32 = 4;

/// How long a removed component gets to end by itself.
const LEAVING_GRACE: Duration = Duration::from_secs(2);

/// How long what is aborted gets to be dropped.
const ABORT_AFTER: Duration = Duration::from_millis(500);

/// A change of what is to run.
#[derive(Clone, Debug)]
pub struct Change {
    /// Components to start, or to replace where the ID runs already.
    pub put: Vec<Arc<Definition>>,
    /// Components to end.
    pub remove: Vec<ComponentId>,
    /// The agent's settings that the started components inherit.
    pub agent: Arc<AgentSettings>,
    /// The tags that the started inputs add to their metrics.
    pub global_tags: Arc<Tags>,
    /// Components that never refuse the change: one that cannot be built or started is shown as
    /// failing and tried again.
    pub lenient: BTreeSet<ComponentId>,
}

/// Why a change cannot be made: all that is wrong with one component.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The component.
    pub id: ComponentId,
    /// Where its definition stands.
    pub source: Source,
    /// What is wrong.
    pub errors: Vec<OptionError>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{} ({}): ", self.id, self.source)?;
            if !error.path.is_empty() {
                write!(f, "{}: ", error.path)?;
            }
            f.write_str(&error.message)?;
            if let Some(hint) = &error.hint {
                write!(f, " ({hint})")?;
            }
        }
        Ok(())
    }
}

/// A component as it is seen: its definition and what became of it.
#[derive(Clone, Debug)]
pub struct Component {
    /// What was asked for.
    pub definition: Arc<Definition>,
    /// What runs.
    pub observed: Observed,
    /// For an output, what waits in its queue.
    pub queue: Option<crate::queue::QueueCounts>,
}

/// What a stop left.
#[derive(Debug)]
pub struct Stopped {
    /// Tasks and threads that would not end, each by name with the line that spawned it.
    pub reports: Vec<StopReport>,
    /// Metrics that could not be written any more, by output; those on disk are written after the
    /// next start and do not count.
    pub unwritten: Vec<(ComponentId, usize)>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Stopped {
    /// Whether everything ended and was written.
    pub fn is_clean(&self) -> bool {
        self.unwritten.is_empty() && self.reports.iter().all(StopReport::is_clean)
    }
}

/// One component that runs (or is paused).
struct Running {
    definition: Arc<Definition>,
    group: Group,
    stats: Arc<Stats>,
    part: Part,
}

enum Part {
    Input,
    Paused,
    Processor {
        before: Option<Arc<Link>>,
        after: Option<Arc<Link>>,
    },
    Aggregator(Arc<Aggregation>),
    Output {
        outlet: Arc<Outlet>,
        end: watch::Sender<End>,
    },
}

/// Runs components. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<EngineInner>,
}

pub(crate) struct EngineInner {
    core: Arc<Core>,
    running: Mutex<BTreeMap<ComponentId, Running>>,
    /// Removed and paused components that have not ended yet, each with the number of its leave.
    leaving: Mutex<BTreeMap<ComponentId, (u64, Group)>>,
    tickets: AtomicU64,
    taps: Arc<Taps>,
    started: Timestamp,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("components", &self.inner.running.lock().len())
            .finish()
    }
}

impl Engine {
    /// An engine with nothing to run yet, whose tasks live under `parent`. `states` is what
    /// components kept from an earlier run.
    pub fn new(
        parent: &Group,
        registry: Arc<Registry>,
        environment: Arc<dyn Environment>,
        states: States,
    ) -> Self {
        let taps = Arc::new(Taps::default());
        let pipeline = Pipeline {
            taps: Arc::clone(&taps),
            ..Pipeline::default()
        };
        let core = Arc::new(Core {
            registry,
            environment,
            resources: Resources::new(),
            pipeline: ArcSwap::from_pointee(pipeline),
            states,
            buffers: Buffers::default(),
            flush: tokio::sync::Notify::new(),
            telemetry: Mutex::new(None),
            groups: Groups::under(parent),
        });
        let inner = EngineInner {
            core,
            running: Mutex::default(),
            leaving: Mutex::default(),
            tickets: AtomicU64::new(0),
            taps,
            started: Timestamp::now(),
        };
        let engine = Self {
            inner: Arc::new(inner),
        };
        let telemetry: Arc<dyn Telemetry> = Arc::new(crate::telemetry::Internal::of(&engine));
        *engine.inner.core.telemetry.lock() = Some(telemetry);
        engine
    }

    /// Lets outputs whose definition asks for it have their metrics wait on disk, in folders of this
    /// directory unless `buffer_directory` names another. Call it before the first change; without
    /// it metrics wait in memory. The first call counts.
    pub fn allow_buffers_in(&self, directory: &Path) {
        self.inner.core.buffers.allow(directory);
    }

    /// Lets components keep files below this directory. Without it those that need some do not start.
    pub fn allow_files_in(&self, directory: &Path) {
        self.inner.core.resources.allow_files_in(directory);
    }

    /// Folders with metrics that no output uses: what was left of one that is gone. Reads
    /// directories.
    pub fn left_over_buffers(&self) -> Vec<PathBuf> {
        self.inner.core.buffers.left_over()
    }

    pub(crate) fn from_inner(inner: Arc<EngineInner>) -> Self {
        Self { inner }
    }

    /// A fresh engine with the same plugins and environment, to try things out.
    pub(crate) fn scratch(&self, parent: &Group) -> Self {
        let core = &self.inner.core;
        let (registry, environment) = (Arc::clone(&core.registry), Arc::clone(&core.environment));
        Self::new(parent, registry, environment, States::default())
    }

    /// Adds an outlet that belongs to no component.
    pub(crate) fn add_outlet(&self, outlet: Arc<Outlet>) {
        self.inner.core.pipeline.rcu(|pipeline| {
            let mut pipeline = Pipeline::clone(pipeline);
            pipeline
                .outlets
                .insert(outlet.id.clone(), Arc::clone(&outlet));
            pipeline
        });
    }

    /// Builds and starts everything that the change brings, without touching what runs. Dropping
    /// what is returned leaves nothing behind.
    ///
    /// # Errors
    /// Everything that is wrong with any of the components.
    ///
    /// # Cancel safety
    /// Dropping the future ends what was started so far.
    pub async fn prepare(&self, change: &Change) -> Result<Prepared, Vec<Refusal>> {
        let stats_of = |id: &ComponentId| {
            let running = self.inner.running.lock();
            running.get(id).map(|running| Arc::clone(&running.stats))
        };
        prepare::prepare(&self.inner.core, change, &stats_of).await
    }

    /// Makes a prepared change true: starts, replaces and ends components. Cannot fail and does not
    /// wait; components that the change does not name are not touched.
    pub fn commit(&self, prepared: Prepared) {
        let mut running = self.inner.running.lock();
        let mut inputs = Vec::new();
        let mut leaving = Vec::new();
        let mut reroute = false;
        for id in &prepared.remove {
            if let Some(old) = running.remove(id) {
                reroute |= id.kind.is_routed();
                leaving.push((old, true));
            }
        }
        for component in prepared.put {
            let id = component.id.clone();
            reroute |= id.kind.is_routed();
            let old = running.remove(&id);
            // A component that was paused or removed a moment ago may not have ended yet.
            let predecessor = match &old {
                Some(old) if !matches!(old.part, Part::Paused) => Some(old.group.clone()),
                _ => self
                    .inner
                    .leaving
                    .lock()
                    .get(&id)
                    .map(|(_, group)| group.clone()),
            };
            let same_plugin = old
                .as_ref()
                .is_some_and(|old| old.definition.plugin == component.definition.plugin);
            let part = match component.part {
                PreparedPart::Broken => {
                    leaving.extend(old.map(|old| (old, false)));
                    Part::Paused
                }
                PreparedPart::Paused => {
                    component
                        .stats
                        .health(|h| h.set(State::Paused, Timestamp::now()));
                    leaving.extend(old.map(|old| (old, false)));
                    Part::Paused
                }
                PreparedPart::Input(start) => {
                    component
                        .stats
                        .health(|h| h.set(State::Starting, Timestamp::now()));
                    if let Some(old) = &old {
                        old.group.cancel("replaced");
                    }
                    inputs.push((start, predecessor));
                    Part::Input
                }
                PreparedPart::Processor { before, after } => {
                    component
                        .stats
                        .health(|h| h.set(State::Running, Timestamp::now()));
                    match old {
                        Some(Running {
                            part:
                                Part::Processor {
                                    before: old_before,
                                    after: old_after,
                                },
                            ..
                        }) if same_plugin => {
                            hand_over(&old_before, &before);
                            hand_over(&old_after, &after);
                        }
                        old => {
                            leaving.extend(old.map(|old| (old, false)));
                            let state = self.inner.core.states.get(&id);
                            if let (Some(state), Some(new)) = (state, &before) {
                                new.restore(state);
                            }
                        }
                    }
                    Part::Processor { before, after }
                }
                PreparedPart::Aggregator(aggregation) => {
                    component
                        .stats
                        .health(|h| h.set(State::Running, Timestamp::now()));
                    match old {
                        Some(Running {
                            part: Part::Aggregator(old),
                            group,
                            ..
                        }) if same_plugin => {
                            old.hand_over(&aggregation);
                            group.cancel("replaced");
                        }
                        old => {
                            leaving.extend(old.map(|old| (old, false)));
                            if let Some(state) = self.inner.core.states.get(&id) {
                                aggregation.restore(state);
                            }
                        }
                    }
                    self.start_aggregation(&component.group, Arc::clone(&aggregation));
                    Part::Aggregator(aggregation)
                }
                PreparedPart::Output(mut output) => {
                    component
                        .stats
                        .health(|h| h.set(State::Starting, Timestamp::now()));
                    if let Some(Part::Output { outlet, end }) = old.map(|old| old.part) {
                        // The queue goes on: what waits in it is the successor's to write.
                        end.send_replace(End::HandOver);
                        output.inherit(&outlet);
                    }
                    let (outlet, end) = output.start(predecessor);
                    Part::Output { outlet, end }
                }
            };
            let (definition, group, stats) =
                (component.definition, component.group, component.stats);
            running.insert(
                id,
                Running {
                    definition,
                    group,
                    stats,
                    part,
                },
            );
        }
        if reroute {
            let pipeline = self.route(&running, &prepared.agent);
            self.inner.core.pipeline.store(Arc::new(pipeline));
        }
        drop(running);
        let pipeline = self.inner.core.pipeline.load();
        let now = Timestamp::now();
        for (old, removed) in leaving {
            self.drain(&pipeline, &old, now);
            self.see_off(old, removed);
        }
        for (start, predecessor) in inputs {
            start.start(predecessor);
        }
    }

    /// The pipeline of what runs.
    fn route(&self, running: &BTreeMap<ComponentId, Running>, agent: &AgentSettings) -> Pipeline {
        let mut pipeline = Pipeline {
            taps: Arc::clone(&self.inner.taps),
            ..Pipeline::default()
        };
        for (id, component) in running.iter().filter(|(id, _)| id.kind.is_routed()) {
            match &component.part {
                Part::Processor { before, after } => {
                    pipeline.before.extend(before.clone());
                    pipeline.after.extend(after.clone());
                }
                Part::Aggregator(aggregation) => {
                    pipeline.aggregations.push(Arc::clone(aggregation));
                }
                Part::Output { outlet, .. } => {
                    pipeline.outlets.insert(id.clone(), Arc::clone(outlet));
                }
                Part::Input | Part::Paused => {}
            }
        }
        pipeline.before.sort_by_key(|link| link.place);
        pipeline.after.sort_by_key(|link| link.place);
        if agent.skip_processors_before_aggregators && !pipeline.aggregations.is_empty() {
            pipeline.before.clear();
        }
        pipeline
    }

    fn start_aggregation(&self, group: &Group, aggregation: Arc<Aggregation>) {
        let core = Arc::clone(&self.inner.core);
        let pushing = group.go_cx("push", move |cx| async move {
            while let Some(due) = aggregation.due() {
                if !sleep_until(&cx, due).await {
                    break;
                }
                let (now, clock) = (Timestamp::now(), Instant::now());
                let batch = aggregation.push(now);
                core.pipeline.load().submit_aggregate(batch, now);
                aggregation.stats.ran(now, clock.elapsed());
            }
        });
        if let Err(closed) = pushing {
            tracing::debug!("{closed}");
        }
    }

    /// What a processor held back and an aggregator's open window go on their way when the
    /// component leaves.
    fn drain(&self, pipeline: &Pipeline, old: &Running, now: Timestamp) {
        match &old.part {
            Part::Processor { before, after } => {
                if let Some(link) = before {
                    pipeline.submit_after(link.place, link.finish(), now);
                    // What was given out must not come again when the component comes back.
                    if let Some(state) = link.state() {
                        self.inner.core.states.put(&old.definition.id, state);
                    }
                }
                if let Some(link) = after {
                    pipeline.submit_aggregate_after(link.place, link.finish(), now);
                }
            }
            Part::Aggregator(aggregation) => {
                pipeline.submit_aggregate(aggregation.push(now), now);
                if let Some(state) = aggregation.state() {
                    self.inner.core.states.put(&old.definition.id, state);
                }
            }
            Part::Input | Part::Paused | Part::Output { .. } => {}
        }
    }

    /// Ends a component that was removed or paused, and waits for it in the background. What a
    /// removed one kept is forgotten when it has ended.
    fn see_off(&self, old: Running, removed: bool) {
        old.stats.health(|h| {
            if h.state() != State::Paused {
                h.set(State::Stopping, Timestamp::now());
            }
        });
        let id = old.definition.id.clone();
        let ticket = self.inner.tickets.fetch_add(1, Relaxed);
        let leaves = (ticket, old.group.clone());
        self.inner.leaving.lock().insert(id.clone(), leaves);
        let this = self.clone();
        let name = id.to_string();
        let seeing_off = self.inner.core.groups.leaving.go(name, async move {
            if let Part::Output { outlet, end } = &old.part {
                end.send_replace(End::Flush);
                let _ = end_output(&old.group, LEAVING_GRACE, ABORT_AFTER).await;
                outlet.queue.leave().await;
                warn_of_unwritten(&id, &outlet.queue);
            } else {
                let report = old.group.stop_with(StopOptions::grace(LEAVING_GRACE)).await;
                if !report.is_clean() {
                    tracing::warn!(component = %id, "would not end: {report}");
                }
            }
            {
                let mut leaving = this.inner.leaving.lock();
                if leaving
                    .get(&id)
                    .is_some_and(|(latest, _)| *latest == ticket)
                {
                    leaving.remove(&id);
                }
            }
            if removed && !this.inner.running.lock().contains_key(&id) {
                this.inner.core.states.remove(&id);
            }
        });
        if let Err(closed) = seeing_off {
            tracing::debug!("{closed}");
        }
    }

    /// All components as they are, sorted by kind and ID.
    pub fn observe(&self) -> Vec<Component> {
        self.inner
            .running
            .lock()
            .values()
            .map(Running::observe)
            .collect()
    }

    /// One component as it is.
    pub fn observe_one(&self, id: &ComponentId) -> Option<Component> {
        self.inner.running.lock().get(id).map(Running::observe)
    }

    /// What components want kept on disk.
    pub fn states(&self) -> &States {
        &self.inner.core.states
    }

    /// Collects into [`states`](Self::states) what processors and aggregators remember; inputs put
    /// it there themselves.
    pub fn collect_states(&self) {
        let parts: Vec<_> = {
            let running = self.inner.running.lock();
            let state = |(id, component): (&ComponentId, &Running)| match &component.part {
                Part::Processor {
                    before: Some(link), ..
                } => Some((id.clone(), Ok(Arc::clone(link)))),
                Part::Aggregator(aggregation) => Some((id.clone(), Err(Arc::clone(aggregation)))),
                _ => None,
            };
            running.iter().filter_map(state).collect()
        };
        for (id, part) in parts {
            let state = match part {
                Ok(link) => link.state(),
                Err(aggregation) => aggregation.state(),
            };
            if let Some(state) = state {
                self.inner.core.states.put(&id, state);
            }
        }
    }

    /// Watches the metrics that pass to the outputs. A watcher that is slow misses some; nobody
    /// waits for it. `None` if 32 watch already.
    pub fn watch(&self) -> Option<tokio::sync::mpsc::Receiver<Arc<muster_metric::Batch>>> {
        self.inner.taps.watch()
    }

    /// Tells all outputs to write now what waits.
    pub fn flush(&self) {
        self.inner.core.flush.notify_waiters();
    }

    /// When the engine began.
    pub fn started(&self) -> Timestamp {
        self.inner.started
    }

    /// The plugins that there are.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.inner.core.registry
    }

    /// The one `T` that all components have in common.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.inner.core.resources.shared()
    }

    /// Where environment variables come from.
    pub fn environment(&self) -> &Arc<dyn Environment> {
        &self.inner.core.environment
    }

    /// Ends everything in at most `within`, whatever plugins do: inputs first, then what processors
    /// and aggregators hold goes to the outputs, then the outputs write what waits.
    pub async fn stop(&self, within: Duration) -> Stopped {
        let begin = Instant::now();
        let groups = &self.inner.core.groups;
        let grace = (within / INPUTS_SHARE).min(Duration::from_secs(1));
        let abort_after = (within / 10).min(ABORT_AFTER);
        let stop = |group: &Group, grace| {
            let group = group.clone();
            async move {
                let options = StopOptions {
                    abort_after,
                    ..StopOptions::grace(grace)
                };
                group.stop_with(options).await
            }
        };
        // Publishers first: that checks end is no news about what they checked.
        let mut reports = vec![stop(&groups.publishers, grace).await];
        let (inputs, checks, scalers) = tokio::join!(
            stop(&groups.inputs, grace),
            stop(&groups.checks, grace),
            stop(&groups.scalers, grace)
        );
        reports.extend([inputs, checks, scalers]);
        reports.push(stop(&groups.processors, Duration::ZERO).await);
        reports.push(stop(&groups.aggregators, Duration::ZERO).await);
        self.empty_pipeline();
        // After the processors gave out what they held back: it must not come twice.
        self.collect_states();
        let left = within
            .saturating_sub(begin.elapsed())
            .saturating_sub(abort_after);
        for component in self.inner.running.lock().values() {
            if let Part::Output { end, .. } = &component.part {
                end.send_replace(End::Flush);
            }
        }
        let (outputs, leaving) = tokio::join!(
            end_output(&groups.outputs, left, abort_after),
            stop(&groups.leaving, left)
        );
        reports.extend([outputs, leaving]);
        self.close_buffers(within.saturating_sub(begin.elapsed()))
            .await;
        reports.push(stop(&groups.buffers, abort_after).await);
        let running = self.inner.running.lock();
        let unwritten = running.iter().filter_map(|(id, component)| {
            let Part::Output { outlet, .. } = &component.part else {
                return None;
            };
            let left = outlet.queue.in_memory();
            (left > 0).then(|| (id.clone(), left))
        });
        Stopped {
            reports,
            unwritten: unwritten.collect(),
            elapsed: begin.elapsed(),
        }
    }

    /// Brings to the disk what waits in memory for outputs that have their queue there.
    async fn close_buffers(&self, within: Duration) {
        let queues: Vec<_> = {
            let running = self.inner.running.lock();
            let queue = |component: &Running| match &component.part {
                Part::Output { outlet, .. } => Some(Arc::clone(&outlet.queue)),
                _ => None,
            };
            running.values().filter_map(queue).collect()
        };
        let closing = queues.iter().map(|queue| queue.close());
        // A disk that hangs is reported with the thread that it holds.
        let _ = timeout(within, futures_util::future::join_all(closing)).await;
    }

    /// What processors held back and the open windows of aggregators go to the outputs.
    fn empty_pipeline(&self) {
        let pipeline = self.inner.core.pipeline.load();
        let now = Timestamp::now();
        for link in &pipeline.before {
            pipeline.submit_after(link.place, link.finish(), now);
        }
        for aggregation in &pipeline.aggregations {
            pipeline.submit_aggregate(aggregation.push(now), now);
        }
        for link in &pipeline.after {
            pipeline.submit_aggregate_after(link.place, link.finish(), now);
        }
    }
}

/// Says what an output that is gone left, and where.
fn warn_of_unwritten(id: &ComponentId, queue: &OutputQueue) {
    let (left, lost) = (queue.counts().metrics, queue.in_memory());
    if lost > 0 {
        tracing::warn!(component = %id, "{lost} metrics were not written");
    }
    if let Some(folder) = queue.folder().filter(|_| left > lost) {
        let (kept, folder) = (left - lost, folder.display());
        tracing::warn!(
            component = %id,
            "{kept} metrics were not written and are kept in {folder}: an output of this ID writes them"
        );
    }
}

/// Moves the memory of a processor to its successor, in one of the two runs.
fn hand_over(old: &Option<Arc<Link>>, new: &Option<Arc<Link>>) {
    if let (Some(old), Some(new)) = (old, new) {
        old.hand_over(new);
    }
}

impl Running {
    fn observe(&self) -> Component {
        let queue = match &self.part {
            Part::Output { outlet, .. } => Some(outlet.queue.counts()),
            _ => None,
        };
        Component {
            definition: Arc::clone(&self.definition),
            observed: self.stats.observe(),
            queue,
        }
    }
}
