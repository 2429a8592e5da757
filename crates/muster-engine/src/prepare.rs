//! Building what a change brings, without touching what runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use muster_config::{
    AgentSettings, BuiltPlugin, Component, Definition, InputSettings, Settings,
    StartupErrorBehavior, prepare as check,
};
use muster_metric::{Precision, Timestamp};
use muster_options::OptionError;
use muster_plugin::{ComponentId, Input, Kind, Output, PluginError, ServiceInput};
use muster_tasks::{Group, catch_panic, timeout};
use tokio::sync::watch;

use crate::aggregation::Aggregation;
use crate::core::{Core, Factory};
use crate::engine::{Change, Refusal};
use crate::input::{InputRun, start_context};
use crate::link::Link;
use crate::output::{End, OutputRun};
use crate::pipeline::Outlet;
use crate::queue::Limits;
use crate::refine::Refiner;
use crate::stats::Stats;

/// So many components of one change are started at the same time.
const STARTS_AT_ONCE: usize = 64;

/// A change that is ready to be made. Dropping it leaves nothing behind.
#[must_use = "a prepared change does nothing before it is committed"]
pub struct Prepared {
    pub(crate) put: Vec<PreparedComponent>,
    pub(crate) remove: Vec<ComponentId>,
    pub(crate) agent: Arc<AgentSettings>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let put: Vec<_> = self
            .put
            .iter()
            .map(|component| component.id.to_string())
            .collect();
        f.debug_struct("Prepared")
            .field("put", &put)
            .field("remove", &self.remove)
            .finish()
    }
}

pub(crate) struct PreparedComponent {
    pub(crate) id: ComponentId,
    pub(crate) definition: Arc<Definition>,
    pub(crate) group: Group,
    pub(crate) stats: Arc<Stats>,
    pub(crate) part: PreparedPart,
}

pub(crate) enum PreparedPart {
    Paused,
    /// Cannot even be built, and must not keep the others from running.
    Broken,
    Input(Box<PreparedInput>),
    Processor {
        before: Option<Arc<Link>>,
        after: Option<Arc<Link>>,
    },
    Aggregator(Arc<Aggregation>),
    Output(Box<PreparedOutput>),
}

pub(crate) struct PreparedInput {
    pub(crate) run: InputRun,
    pub(crate) plugin: InputPlugin,
}

pub(crate) enum InputPlugin {
    Polled(Option<Box<dyn Input>>),
    Service(Option<Box<dyn ServiceInput>>),
}

impl PreparedInput {
    /// Starts the input's task; it first waits for its predecessor to end.
    pub(crate) fn start(self, predecessor: Option<Group>) {
        let group = self.run.group.clone();
        let spawned = match self.plugin {
            InputPlugin::Polled(plugin) => {
                group.go_cx("gather", move |cx| self.run.poll(cx, plugin, predecessor))
            }
            InputPlugin::Service(plugin) => {
                group.go_cx("serve", move |cx| self.run.serve(cx, plugin, predecessor))
            }
        };
        if let Err(closed) = spawned {
            tracing::debug!("{closed}");
        }
    }
}

pub(crate) struct PreparedOutput {
    run: OutputRun,
    end: watch::Sender<End>,
    plugin: Option<Box<dyn Output>>,
    outlet: Outlet,
}

impl PreparedOutput {
    /// Goes on with a predecessor's queue.
    pub(crate) fn inherit(&mut self, old: &Outlet) {
        old.queue.become_like(&self.run.queue);
        self.run.core.buffers.note(&self.run.id, &old.queue);
        self.run.queue = Arc::clone(&old.queue);
        self.outlet.queue = Arc::clone(&old.queue);
    }

    /// Starts the output's writer; it first waits for its predecessor to end.
    pub(crate) fn start(self, predecessor: Option<Group>) -> (Arc<Outlet>, watch::Sender<End>) {
        let group = self.run.group.clone();
        let plugin = self.plugin;
        self.run.queue.set_limits(Limits::of(&self.run.settings));
        self.run
            .queue
            .enter(&self.run.core.groups.buffers, &self.run.stats);
        let spawned = group.go_cx("write", move |cx| self.run.write(cx, plugin, predecessor));
        if let Err(closed) = spawned {
            tracing::debug!("{closed}");
        }
        (Arc::new(self.outlet), self.end)
    }
}

/// Checks, builds and starts all components of a change.
pub(crate) async fn prepare(
    core: &Arc<Core>,
    change: &Change,
    stats_of: &(dyn Fn(&ComponentId) -> Option<Arc<Stats>> + Sync),
) -> Result<Prepared, Vec<Refusal>> {
    let mut put = Vec::with_capacity(change.put.len());
    let mut refusals = Vec::new();
    for definitions in change.put.chunks(STARTS_AT_ONCE) {
        let starts = definitions.iter().map(|definition| async move {
            let stats = stats_of(&definition.id)
                .unwrap_or_else(|| Arc::new(Stats::new(definition.id.clone(), Timestamp::now())));
            let refusal = |errors| Refusal {
                id: definition.id.clone(),
                source: definition.source.clone(),
                errors,
            };
            match component(core, change, definition, Arc::clone(&stats)).await {
                Err(errors) if change.lenient.contains(&definition.id) => Ok(broken(
                    core,
                    definition,
                    stats,
                    &refusal(errors).to_string(),
                )),
                outcome => outcome.map_err(refusal),
            }
        });
        for outcome in futures_util::future::join_all(starts).await {
            match outcome {
                Ok(component) => put.push(component),
                Err(refusal) => refusals.push(refusal),
            }
        }
    }
    if refusals.is_empty() {
        Ok(Prepared {
            put,
            remove: change.remove.clone(),
            agent: Arc::clone(&change.agent),
        })
    } else {
        Err(refusals)
    }
}

async fn component(
    core: &Arc<Core>,
    change: &Change,
    definition: &Arc<Definition>,
    stats: Arc<Stats>,
) -> Result<PreparedComponent, Vec<OptionError>> {
    let factory = factory(core, change, definition);
    let Component {
        id,
        plugin: plugin_name,
        settings,
        built,
    } = factory()?;
    let group = core.groups.component(&id);
    let paused = definition.paused;
    let lenient = change.lenient.contains(&id);
    // What a component holds that this change removes is free for those that it brings.
    let resources = core
        .resources
        .inheriting_from(change.remove.iter().cloned());
    let part = match (settings, built) {
        // A paused output goes on taking metrics into its queue; other components rest.
        _ if paused && id.kind != Kind::Output => PreparedPart::Paused,
        (Settings::Input(settings), built) => {
            let refiner = Arc::new(refiner(plugin_name, &settings, &built));
            let (core, id, stats, group) = (
                Arc::clone(core),
                id.clone(),
                Arc::clone(&stats),
                group.clone(),
            );
            let run = InputRun {
                core,
                id,
                settings,
                refiner,
                stats,
                group,
                factory,
            };
            let cx = start_context(
                &run.core,
                &run.id,
                &run.group,
                run.settings.interval,
                resources,
            );
            let limit = run.settings.timeout;
            let retry =
                lenient || run.settings.startup_error_behavior == StartupErrorBehavior::Retry;
            let plugin = match built {
                BuiltPlugin::Input(mut plugin) => {
                    let started = start(limit, plugin.start(&cx)).await;
                    InputPlugin::Polled(or_later(started, retry, &run.stats)?.then_some(plugin))
                }
                BuiltPlugin::Service(mut plugin) => {
                    let started = start(limit, plugin.start(&cx)).await;
                    InputPlugin::Service(or_later(started, retry, &run.stats)?.then_some(plugin))
                }
                _ => return Err(mismatch()),
            };
            PreparedPart::Input(Box::new(PreparedInput { run, plugin }))
        }
        (Settings::Processor(settings), built) => {
            let place = (settings.order, settings.position);
            let link = |built, settings: muster_config::ProcessorSettings| match built {
                BuiltPlugin::Processor(plugin) => Ok(Arc::new(Link::stateless(
                    place,
                    settings.filter,
                    plugin,
                    Arc::clone(&stats),
                ))),
                BuiltPlugin::StatefulProcessor(plugin) => Ok(Arc::new(Link::stateful(
                    place,
                    settings.filter,
                    plugin,
                    Arc::clone(&stats),
                ))),
                _ => Err(mismatch()),
            };
            // The second run, behind the aggregators, has instances of its own.
            let after = if change.agent.skips_processors_after_aggregators() {
                None
            } else {
                let second = factory()?;
                let Settings::Processor(settings) = second.settings else {
                    return Err(mismatch());
                };
                Some(link(second.built, settings)?)
            };
            PreparedPart::Processor {
                before: Some(link(built, settings)?),
                after,
            }
        }
        (Settings::Aggregator(settings), BuiltPlugin::Aggregator(plugin)) => {
            let now = Timestamp::now();
            let stats = Arc::clone(&stats);
            let aggregation = Aggregation::new(settings, plugin, stats, now);
            PreparedPart::Aggregator(Arc::new(aggregation))
        }
        (Settings::Output(settings), BuiltPlugin::Output(mut plugin)) => {
            let cx = start_context(core, &id, &group, settings.flush_interval, resources);
            let retry = lenient || settings.startup_error_behavior == StartupErrorBehavior::Retry;
            let started = start(settings.timeout, plugin.start(&cx)).await;
            let plugin = or_later(started, retry, &stats)?.then_some(plugin);
            let buffers = &core.buffers;
            let queue = buffers.queue(&settings, &group, &stats, retry).await;
            let queue = queue.map_err(|error| vec![error])?;
            let healthy = Arc::new(AtomicBool::new(true));
            let outlet = Outlet {
                id: id.clone(),
                filter: settings.filter.clone(),
                naming: settings.naming.clone(),
                queue: Arc::clone(&queue),
                healthy: Arc::clone(&healthy),
                stats: Arc::clone(&stats),
            };
            let (end, ending) = watch::channel(End::NotYet);
            let run = OutputRun {
                core: Arc::clone(core),
                id: id.clone(),
                settings,
                queue,
                healthy,
                stats: Arc::clone(&stats),
                group: group.clone(),
                factory,
                end: ending,
                paused,
            };
            PreparedPart::Output(Box::new(PreparedOutput {
                run,
                end,
                plugin,
                outlet,
            }))
        }
        _ => return Err(mismatch()),
    };
    Ok(PreparedComponent {
        id,
        definition: Arc::clone(definition),
        group,
        stats,
        part,
    })
}

fn factory(core: &Arc<Core>, change: &Change, definition: &Arc<Definition>) -> Factory {
    let (core, definition) = (Arc::clone(core), Arc::clone(definition));
    let (agent, tags) = (Arc::clone(&change.agent), Arc::clone(&change.global_tags));
    Arc::new(move || {
        check(
            &definition,
            &agent,
            &tags,
            &core.registry,
            core.environment.as_ref(),
        )
    })
}

/// A plugin's start: bounded in time, its panic caught.
async fn start(
    limit: std::time::Duration,
    start: impl Future<Output = Result<(), PluginError>>,
) -> Result<(), Vec<OptionError>> {
    let message = match timeout(limit, catch_panic(start)).await {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(error))) => {
            let failed = OptionError::new("", format!("failed to {error}"));
            return Err(vec![match error.hint() {
                Some(hint) => failed.with_hint(hint),
                None => failed,
            }]);
        }
        Ok(Err(panic)) => format!("its start panicked: {panic}"),
        Err(_) => format!("its start took longer than {limit:?}"),
    };
    Err(vec![OptionError::new("", message)])
}

/// Whether it started; one that did not is tried again later, if that is wanted.
fn or_later(
    started: Result<(), Vec<OptionError>>,
    retry: bool,
    stats: &Stats,
) -> Result<bool, Vec<OptionError>> {
    match started {
        Ok(()) => Ok(true),
        Err(errors) if retry => {
            let why: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            stats.startup_errors.fetch_add(1, Relaxed);
            stats.error(why.join("; "), Timestamp::now());
            Ok(false)
        }
        Err(errors) => Err(errors),
    }
}

/// A component that cannot be built, to be shown.
fn broken(
    core: &Core,
    definition: &Arc<Definition>,
    stats: Arc<Stats>,
    why: &str,
) -> PreparedComponent {
    let now = Timestamp::now();
    stats.startup_errors.fetch_add(1, Relaxed);
    stats.error(why, now);
    stats.health(|health| health.quarantine(why, now));
    let id = definition.id.clone();
    let group = core.groups.component(&id);
    let definition = Arc::clone(definition);
    PreparedComponent {
        id,
        definition,
        group,
        stats,
        part: PreparedPart::Broken,
    }
}

fn refiner(plugin: &'static str, settings: &InputSettings, built: &BuiltPlugin) -> Refiner {
    // What a service input brings has a time of its own; only its own precision rounds it.
    let service = matches!(built, BuiltPlugin::Service(_));
    let precision = match settings.precision {
        Some(precision) => precision,
        None if service => Precision::NANOSECOND,
        None => settings.effective_precision,
    };
    Refiner {
        plugin,
        filter: settings.filter.clone(),
        naming: settings.naming.clone(),
        tags: settings.tags.clone(),
        global_tags: Arc::clone(&settings.global_tags),
        always_local: settings.always_include_local_tags,
        always_global: settings.always_include_global_tags,
        precision,
    }
}

fn mismatch() -> Vec<OptionError> {
    vec![OptionError::new(
        "",
        "the plugin is of another kind than its table",
    )]
}
