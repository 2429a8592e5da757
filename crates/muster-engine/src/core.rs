//! What all running components share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use muster_config::{Component, Environment};
use muster_metric::Timestamp;
use muster_options::OptionError;
use muster_plugin::{ComponentId, Kind, Registry, Resources, Telemetry};
use muster_tasks::{Ctx, Group};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::pipeline::Pipeline;
use crate::queue::Buffers;

/// Makes a component anew from its definition, after its plugin was lost.
pub(crate) type Factory = Arc<dyn Fn() -> Result<Component, Vec<OptionError>> + Send + Sync>;

/// What all running components share.
pub(crate) struct Core {
    pub(crate) registry: Arc<Registry>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) resources: Resources,
    pub(crate) pipeline: ArcSwap<Pipeline>,
    pub(crate) states: States,
    pub(crate) buffers: Buffers,
    /// Told to all writers: write now what you have.
    pub(crate) flush: Notify,
    pub(crate) telemetry: Mutex<Option<Arc<dyn Telemetry>>>,
    pub(crate) groups: Groups,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("pipeline", &self.pipeline)
            .finish_non_exhaustive()
    }
}

/// So many threads may be blocked by inputs, and by outputs, at the same time; beyond it a gather or
/// write fails. The rest of the process has its own.
const INPUT_THREADS: usize = 512;
const OUTPUT_THREADS: usize = 256;

/// So many queues on disk may have their thread; further ones wait in memory.
const BUFFER_THREADS: usize = 256;

/// The branches of the task tree under which components live.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) inputs: Group,
    pub(crate) processors: Group,
    pub(crate) aggregators: Group,
    pub(crate) outputs: Group,
    pub(crate) checks: Group,
    pub(crate) publishers: Group,
    pub(crate) scalers: Group,
    /// Where the threads of queues on disk live.
    pub(crate) buffers: Group,
    /// Where removed components are waited for.
    pub(crate) leaving: Group,
}

impl Groups {
    /// Where components of a kind live.
    pub(crate) fn of(&self, kind: Kind) -> &Group {
        match kind {
            Kind::Input => &self.inputs,
            Kind::Processor => &self.processors,
            Kind::Aggregator => &self.aggregators,
            Kind::Output => &self.outputs,
            Kind::Check => &self.checks,
            Kind::Publisher => &self.publishers,
            Kind::Scaler => &self.scalers,
        }
    }

    /// A group for one component. There are as many tasks of a component as are desired.
    pub(crate) fn component(&self, id: &ComponentId) -> Group {
        let group = self.of(id.kind).builder(Arc::clone(&id.id));
        group.expect_resident().build()
    }

    pub(crate) fn under(parent: &Group) -> Self {
        Self {
            inputs: parent
                .builder("inputs")
                .blocking_limit(INPUT_THREADS)
                .build(),
            processors: parent.group("processors"),
            aggregators: parent.group("aggregators"),
            outputs: parent
                .builder("outputs")
                .blocking_limit(OUTPUT_THREADS)
                .build(),
            checks: parent.group("checks"),
            publishers: parent.group("publishers"),
            scalers: parent.group("scalers"),
            buffers: parent
                .builder("buffers")
                .blocking_limit(BUFFER_THREADS)
                .build(),
            leaving: parent.group("leaving"),
        }
    }
}

/// What components want kept over a change of options, a restart or a kill, in memory; whoever
/// keeps it on disk asks for what changed.
#[derive(Debug, Default)]
pub struct States {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    values: HashMap<ComponentId, Value>,
    changed: BTreeMap<ComponentId, Option<Value>>,
}

impl States {
    /// Starts with what an earlier run kept.
    pub fn new(values: impl IntoIterator<Item = (ComponentId, Value)>) -> Self {
        let kept = Kept {
            values: values.into_iter().collect(),
            changed: BTreeMap::new(),
        };
        Self {
            kept: Mutex::new(kept),
        }
    }

    /// What a component kept.
    pub fn get(&self, id: &ComponentId) -> Option<Value> {
        self.kept.lock().values.get(id).cloned()
    }

    /// Keeps a component's state in place of the earlier one.
    pub fn put(&self, id: &ComponentId, state: Value) {
        let mut kept = self.kept.lock();
        if kept.values.get(id) != Some(&state) {
            kept.changed.insert(id.clone(), Some(state.clone()));
            kept.values.insert(id.clone(), state);
        }
    }

    /// Forgets a component that was removed.
    pub fn remove(&self, id: &ComponentId) {
        let mut kept = self.kept.lock();
        if kept.values.remove(id).is_some() {
            kept.changed.insert(id.clone(), None);
        }
    }

    /// Puts changes back that could not be written; newer ones stay.
    pub fn put_back(&self, changes: BTreeMap<ComponentId, Option<Value>>) {
        let mut kept = self.kept.lock();
        for (id, state) in changes {
            kept.changed.entry(id).or_insert(state);
        }
    }

    /// What changed since the last call: a component's state, or `None` if it is forgotten.
    pub fn take_changes(&self) -> BTreeMap<ComponentId, Option<Value>> {
        std::mem::take(&mut self.kept.lock().changed)
    }
}

/// Sleeps until a wall-clock time; false if the task was cancelled first.
pub(crate) async fn sleep_until(cx: &Ctx, time: Timestamp) -> bool {
    let wait = time.nanos().saturating_sub(Timestamp::now().nanos());
    sleep(cx, Duration::from_nanos(u64::try_from(wait).unwrap_or(0))).await
}

/// Sleeps; false if the task was cancelled first.
pub(crate) async fn sleep(cx: &Ctx, time: Duration) -> bool {
    cx.run(tokio::time::sleep(time)).await.is_ok()
}
