//! What the components that check have in common: instances on the board, a task for each, and
//! metrics of all of them.

pub(crate) mod plain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use muster_metric::Batch;
use muster_options::{Duration, JsonSchema, OptionError};
use muster_plugin::{ComponentId, PluginError, Resources, ServiceContext, StartContext};
use muster_tasks::{Keyed, Stopped};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use plain::{ExecCheckOptions, HttpCheckOptions, PlainCheck, TcpCheckOptions};

use crate::board::{Board, Interest, Slot, Taken};
use crate::checker::{Checker, MakeProbe, Timing};
use crate::discover::MOST_FOUND;
use crate::health::Health;
use crate::machine::Thresholds;
use crate::metrics;
use crate::status::{CheckKind, Instance, Reason};

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

/// An instance of a roster.
struct Member {
    held: Arc<Held>,
    /// The cluster to which it belongs while the roster runs; until then the generation before may run.
    cluster: String,
}

impl Member {
    fn slot(&self) -> &Arc<Slot> {
        &self.held.0
    }
}

/// The instances of one component. Each is taken from the agent's resources by its ID: a second
/// check of the same instance is refused, and the next generation of this one gets the slot as it is,
/// with all that is known.
pub(crate) struct Roster {
    owner: ComponentId,
    resources: Resources,
    board: Arc<Board>,
    thresholds: Arc<Thresholds>,
    timing: Timing,
    slots: BTreeMap<Arc<str>, Member>,
    /// What the last look has found.
    found: Option<Arc<Vec<Instance>>>,
    /// Instances that it has found and that could not be taken.
    refused: BTreeSet<Arc<str>>,
    /// Instances that it has not found and that stay, and what was known when they were first missed.
    missing: BTreeMap<Arc<str>, Missed>,
    /// What finds instances, in the words of the configuration; empty if nothing does.
    pub(crate) origin: Arc<str>,
    /// How long an instance that no look finds stays while it does not answer.
    pub(crate) keep: StdDuration,
    pub(crate) health: Arc<Health>,
}

/// When a look has not found an instance for the first time, and how often it had been checked.
#[derive(Clone, Copy)]
struct Missed {
    at: Instant,
    seq: u64,
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
            found: None,
            refused: BTreeSet::new(),
            missing: BTreeMap::new(),
            origin: Arc::default(),
            keep: StdDuration::ZERO,
            health: Arc::default(),
        }
    }

    /// Takes an instance.
    pub(crate) fn add(&mut self, instance: Instance) -> Result<(), PluginError> {
        let id = instance.id();
        let cluster = instance.cluster.clone();
        if let Some(member) = self.slots.get_mut(&id) {
            member.cluster = cluster;
            return Ok(());
        }
        let open = || -> Result<Held, PluginError> {
            let slot = self.board.open(instance, Arc::clone(&self.thresholds))?;
            slot.set_component(&self.owner.id);
            Ok(Held(slot))
        };
        let name = format!("check {id}");
        let held = self.resources.take(&self.owner, &name, open)?;
        self.slots.insert(id, Member { held, cluster });
        Ok(())
    }

    /// Takes also what the generation before this one has found: it is checked until a look says
    /// which there are. That generation may have had another ID, made of its options; then it has
    /// found them as this one does. `cluster` is theirs, if it is not empty.
    pub(crate) fn take_over(&mut self, kind: CheckKind, cluster: &str) {
        for slot in self.board.slots() {
            let mut instance = (*slot.instance()).clone();
            let is_ours = slot.component() == self.owner.id || slot.origin() == self.origin;
            let is_known = self.slots.contains_key(slot.id());
            if instance.kind != kind || !is_ours || is_known {
                continue;
            }
            if !cluster.is_empty() {
                cluster.clone_into(&mut instance.cluster);
            }
            // It stays with a component that does not leave.
            if let Err(why) = self.add(instance) {
                tracing::debug!(instance = %slot.id(), %why, "not taken over");
            }
        }
    }

    /// Whether a look that has found this changes nothing.
    fn is_settled(&self, found: &Arc<Vec<Instance>>) -> bool {
        let is_known = |known| Arc::ptr_eq(known, found);
        self.found.as_ref().is_some_and(is_known)
            && self.refused.is_empty()
            && self.missing.is_empty()
    }

    /// Checks these instances from now on and no others, but those that are kept. What cannot be
    /// taken is told once, and tried again with the next look.
    async fn set(
        &mut self,
        cx: &ServiceContext,
        tasks: &Keyed<Arc<str>>,
        found: Arc<Vec<Instance>>,
    ) {
        let mut wanted: BTreeSet<Arc<str>> = found.iter().map(Instance::id).collect();
        self.miss(&wanted, Instant::now());
        wanted.extend(self.missing.keys().cloned());
        let stopped = tasks.stop_where(|id| !wanted.contains(id)).await;
        for (id, stopped) in stopped {
            if let Stopped::Stuck(task) = stopped {
                let failed = PluginError::new(format!("end the check of {id}"));
                cx.report(failed.because(task.to_string()));
            }
        }
        self.slots.retain(|id, _| wanted.contains(id));
        self.refused.retain(|id| wanted.contains(id));
        for instance in found.iter() {
            match self.add(instance.clone()) {
                Ok(()) => _ = self.refused.remove(&instance.id()),
                Err(error) => {
                    if self.refused.insert(instance.id()) {
                        cx.report(error);
                    }
                }
            }
        }
        self.found = Some(found);
    }

    /// Notes which instances a look has not found and are to stay: for [`keep`](Self::keep), as long
    /// as no check that began since then went well.
    fn miss(&mut self, found: &BTreeSet<Arc<str>>, now: Instant) {
        let mut missing = BTreeMap::new();
        for (id, member) in &self.slots {
            if found.contains(id) || found.len() + missing.len() >= MOST_FOUND {
                continue;
            }
            let status = member.slot().status();
            let missed = self.missing.get(id).copied().unwrap_or(Missed {
                at: now,
                seq: status.seq,
            });
            // One check may have been under way.
            let is_checked = status.seq > missed.seq + 1 && !status.tilt;
            let answers = is_checked && status.oks > 0;
            if !answers && now - missed.at < self.keep {
                missing.insert(Arc::clone(id), missed);
            }
        }
        self.missing = missing;
    }

    /// Starts the checks of instances that have none yet.
    fn start(&self, tasks: &Keyed<Arc<str>>, make: &MakeFor<'_>) -> Result<(), PluginError> {
        for (id, member) in &self.slots {
            let slot = member.slot();
            slot.set_component(&self.owner.id);
            slot.set_origin(&self.origin);
            slot.set_cluster(&member.cluster);
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

    /// Checks until cancelled. `found` says after each look which instances there are, if they may
    /// change. The metrics of all instances go out at each interval of the component, those of an
    /// instance that has changed at once.
    pub(crate) async fn run(
        &mut self,
        cx: &ServiceContext,
        make: &MakeFor<'_>,
        mut found: Option<watch::Receiver<Arc<Vec<Instance>>>>,
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
                    for slot in self.slots.values().map(Member::slot) {
                        metrics::write_status(slot, &slot.status(), &mut batch);
                    }
                    metrics::write_health(&self.owner.id, self.slots.len(), &self.health, &mut batch);
                }
                found = next(&mut found) => if !self.is_settled(&found) {
                    self.set(cx, &tasks, found).await;
                    self.start(&tasks, make)?;
                },
                changed = changes.changed() => {
                    let changed = changed.iter().filter_map(|id| self.slots.get(id));
                    for slot in changed.map(Member::slot) {
                        let status = slot.status();
                        if status.checked.is_some() {
                            metrics::write_status(slot, &status, &mut batch);
                        }
                    }
                }
            }
            cx.emit(batch).await;
        }
    }
}

/// What the next look finds; never, if there is none.
async fn next(found: &mut Option<watch::Receiver<Arc<Vec<Instance>>>>) -> Arc<Vec<Instance>> {
    if let Some(found) = found
        && found.changed().await.is_ok()
    {
        return Arc::clone(&found.borrow_and_update());
    }
    std::future::pending().await
}
