//! What the components that check have in common: instances on the board, a task for each, and
//! metrics of all of them.

pub(crate) mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_metric::Batch;
use muster_options::{Duration, JsonSchema, OptionError};
use muster_plugin::{ComponentId, PluginError, Resources, ServiceContext, StartContext};
use muster_tasks::{Keyed, Stopped};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use plain::{ExecCheckOptions, HttpCheckOptions, PlainCheck, TcpCheckOptions};

use crate::board::{Board, Interest, Slot, Taken};
use crate::checker::{Checker, MakeProbe, Timing};
use crate::health::Health;
use crate::machine::Thresholds;
use crate::metrics;
use crate::status::{Instance, Reason};

/// The options that all checks have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOptions {
    /// The group of instances that these belong to: a part of what publishers write, and a tag.
    pub cluster: String,
    /// How often each instance is checked.
    pub interval: Duration,
    /// How long a check may take; at most the interval.
    pub timeout: Duration,
    /// So many good checks in a row are needed for an instance to be up again.
    pub rise: u32,
    /// So many failed checks in a row are needed for an instance to be down.
    pub fall: u32,
    /// An instance is down only when nothing was heard of it for so long.
    pub down_after: Duration,
    /// Reasons for which an instance counts as down although it answers, for example `busy`,
    /// `maxclients` or `loading`.
    pub down_on: Vec<String>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        let thresholds = Thresholds::default();
        Self {
            cluster: String::new(),
            interval: thresholds.interval.into(),
            timeout: Duration::from_millis(500),
            rise: thresholds.rise,
            fall: thresholds.fall,
            down_after: thresholds.down_after.into(),
            down_on: Vec::new(),
        }
    }
}

impl CheckOptions {
    /// When verdicts change, and when checks run.
    ///
    /// # Errors
    /// All that is wrong with the options.
    pub fn read(&self) -> Result<(Arc<Thresholds>, Timing), Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut refuse = |name: &str, what: &str| errors.push(OptionError::new(name, what));
        if self.interval.get().as_millis() < 10 {
            refuse("interval", "at least 10ms");
        }
        if self.timeout.is_zero() {
            refuse("timeout", "a check needs some time");
        } else if self.timeout > self.interval {
            refuse(
                "timeout",
                "a check must have ended when the next is due: at most the interval",
            );
        }
        for (name, count) in [("rise", self.rise), ("fall", self.fall)] {
            if count == 0 {
                refuse(name, "at least 1");
            }
        }
        let mut down_on = Vec::new();
        for word in &self.down_on {
            match word.parse::<Reason>() {
                Ok(reason) if reason.class() == crate::status::Class::Degraded => {
                    down_on.push(reason);
                }
                _ => {
                    let error = OptionError::new("down_on", format!("unknown reason \"{word}\""));
                    errors.push(error.with_hint(format!("possible are {}", living_reasons())));
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let thresholds = Thresholds {
            interval: self.interval.get(),
            rise: self.rise,
            fall: self.fall,
            down_after: self.down_after.get(),
            down_on,
        };
        let timing = Timing {
            interval: self.interval.get(),
            timeout: self.timeout.get(),
        };
        Ok((Arc::new(thresholds), timing))
    }
}

/// The reasons of instances that answer, for people.
fn living_reasons() -> String {
    let living = |reason: &&Reason| reason.class() == crate::status::Class::Degraded;
    let words: Vec<&str> = Reason::ALL
        .iter()
        .filter(living)
        .map(|r| r.as_str())
        .collect();
    words.join(", ")
}

/// Makes the probe of an instance.
pub(crate) type MakeFor<'a> = dyn Fn(&Instance) -> MakeProbe + Send + Sync + 'a;

/// A slot as a resource of the agent, which generations hand on.
struct Held(Arc<Slot>);

/// The instances of one component. Each is taken from the agent's resources by its ID: a second
/// check of the same instance is refused, and the next generation of this one gets the slot as it is,
/// with all that is known.
pub(crate) struct Roster {
    owner: ComponentId,
    resources: Resources,
    board: Arc<Board>,
    thresholds: Arc<Thresholds>,
    timing: Timing,
    slots: BTreeMap<Arc<str>, Arc<Held>>,
    pub(crate) health: Arc<Health>,
}

impl From<Taken> for PluginError {
    fn from(taken: Taken) -> Self {
        Self::new(format!("check {}", taken.id)).because(taken)
    }
}

impl Roster {
    pub(crate) fn new(cx: &StartContext, thresholds: Arc<Thresholds>, timing: Timing) -> Self {
        Self {
            owner: cx.id().clone(),
            resources: cx.resources().clone(),
            board: cx.resources().shared(),
            thresholds,
            timing,
            slots: BTreeMap::new(),
            health: Arc::default(),
        }
    }

    /// Takes an instance.
    pub(crate) fn add(&mut self, instance: Instance) -> Result<(), PluginError> {
        let id = instance.id();
        if self.slots.contains_key(&id) {
            return Ok(());
        }
        let open = || -> Result<Held, PluginError> {
            let slot = self.board.open(instance, Arc::clone(&self.thresholds))?;
            Ok(Held(slot))
        };
        let name = format!("check {id}");
        let held = self.resources.take(&self.owner, &name, open)?;
        held.0.set_component(&self.owner.id);
        self.slots.insert(id, held);
        Ok(())
    }

    /// Checks these instances from now on and no others. What cannot be checked is told, and tried
    /// again with the next change.
    async fn set(
        &mut self,
        cx: &ServiceContext,
        tasks: &Keyed<Arc<str>>,
        instances: Vec<Instance>,
    ) {
        let wanted: BTreeSet<Arc<str>> = instances.iter().map(Instance::id).collect();
        let stopped = tasks.stop_where(|id| !wanted.contains(id)).await;
        for (id, stopped) in stopped {
            if let Stopped::Stuck(task) = stopped {
                let failed = PluginError::new(format!("end the check of {id}"));
                cx.report(failed.because(task.to_string()));
            }
        }
        self.slots.retain(|id, _| wanted.contains(id));
        for instance in instances {
            if let Err(error) = self.add(instance) {
                cx.report(error);
            }
        }
    }

    /// Starts the checks of instances that have none yet.
    fn start(&self, tasks: &Keyed<Arc<str>>, make: &MakeFor<'_>) -> Result<(), PluginError> {
        for (id, held) in &self.slots {
            let slot = &held.0;
            if tasks.contains(id) {
                continue;
            }
            slot.set_thresholds(Arc::clone(&self.thresholds));
            let checker = Checker {
                board: (*self.board).clone(),
                slot: Arc::clone(slot),
                timing: self.timing,
                health: Arc::clone(&self.health),
                make: make(&slot.instance()),
            };
            let started = tasks.start(Arc::clone(id), |cx| checker.run(cx));
            started.map_err(|why| PluginError::new(format!("check {id}")).because(why))?;
        }
        Ok(())
    }

    /// Checks until cancelled. `found` says which instances there are, if they may change. The
    /// metrics of all instances go out at each interval of the
    /// component, those of an instance that has changed at once.
    pub(crate) async fn run(
        &mut self,
        cx: &ServiceContext,
        make: &MakeFor<'_>,
        mut found: Option<watch::Receiver<Vec<Instance>>>,
    ) -> Result<(), PluginError> {
        let tasks = Keyed::new(&cx.group());
        let changes = self.board.subscribe(Interest::Changes);
        changes.take();
        self.start(&tasks, make)?;
        let mut ticks =
            tokio::time::interval(cx.interval().max(std::time::Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // The first comes at once, when nothing is known.
        ticks.reset();
        loop {
            let mut batch = Batch::new();
            tokio::select! {
                () = cx.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    for held in self.slots.values() {
                        metrics::write_status(&held.0, &held.0.status(), &mut batch);
                    }
                    metrics::write_health(&self.owner.id, self.slots.len(), &self.health, &mut batch);
                }
                instances = next(&mut found) => {
                    self.set(cx, &tasks, instances).await;
                    self.start(&tasks, make)?;
                }
                changed = changes.changed() => {
                    for held in changed.iter().filter_map(|id| self.slots.get(id)) {
                        let status = held.0.status();
                        if status.checked.is_some() {
                            metrics::write_status(&held.0, &status, &mut batch);
                        }
                    }
                }
            }
            cx.emit(batch).await;
        }
    }
}

/// The next list of instances; never, if there is none.
async fn next(found: &mut Option<watch::Receiver<Vec<Instance>>>) -> Vec<Instance> {
    if let Some(found) = found
        && found.changed().await.is_ok()
    {
        return found.borrow_and_update().clone();
    }
    std::future::pending().await
}
