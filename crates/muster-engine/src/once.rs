//! One single round: every input gathers once, processors and aggregators work, and the result is
//! either collected or written by the outputs. For `--test`, `--once` and trying a definition.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use muster_config::Filter;
use muster_metric::{Batch, Metrics, Timestamp};
use muster_plugin::{ComponentId, GatherContext, Kind};
use muster_tasks::{Group, catch_panic, timeout};

use crate::engine::{Change, Engine, Refusal, Stopped};
use crate::input::{Gathered, Gatherer, InputRun};
use crate::pipeline::Outlet;
use crate::prepare::{InputPlugin, PreparedInput, PreparedPart};
use crate::queue::{Limits, OutputQueue};
use crate::stats::{Observed, Stats};

/// The time between the two gathers of an input that needs two for its rates.
const BETWEEN_GATHERS: Duration = Duration::from_millis(500);

/// So many metrics are collected at most; further ones push out the oldest.
const MOST_COLLECTED: Limits = Limits {
    metrics: 10_000_000,
    bytes: 1 << 30,
    batch: usize::MAX,
    sync: false,
};

/// What a single round brought.
#[derive(Debug)]
pub struct Round {
    /// What passed to the outputs' place, if it was collected.
    pub metrics: Metrics,
    /// What is known of the inputs, each with its failures.
    pub inputs: Vec<(ComponentId, Observed)>,
    /// How the end went: what was not written, what would not stop.
    pub stopped: Stopped,
}

impl Round {
    /// Failed gathers.
    pub fn errors(&self) -> u64 {
        self.inputs
            .iter()
            .map(|(_, input)| input.errors + input.panics)
            .sum()
    }
}

impl Engine {
    /// Runs one round on an engine of its own under `parent`, collecting what would go to the
    /// outputs. Outputs of the change are left out. Inputs that work on their own get `wait`.
    ///
    /// # Errors
    /// If a component cannot be built or started.
    pub async fn collect_once(
        parent: &Group,
        like: &Self,
        change: &Change,
        wait: Duration,
        within: Duration,
    ) -> Result<Round, Vec<Refusal>> {
        let mut change = change.clone();
        change
            .put
            .retain(|definition| definition.id.kind != Kind::Output);
        let engine = like.scratch(parent);
        let queue = OutputQueue::new(MOST_COLLECTED);
        let id = ComponentId::new(Kind::Output, "collect");
        let outlet = Outlet {
            id: id.clone(),
            filter: Filter::default(),
            naming: Default::default(),
            queue: Arc::clone(&queue),
            healthy: Arc::new(AtomicBool::new(true)),
            stats: Arc::new(Stats::new(id, Timestamp::now())),
        };
        let mut round = engine
            .once(&change, wait, within, Some(Arc::new(outlet)))
            .await?;
        if let Some(taken) = queue.take().await {
            round.metrics = taken.metrics;
        }
        Ok(round)
    }

    /// Runs one round on this engine, which must be fresh: each input gathers once, then the
    /// outputs write, then all ends. Inputs that work on their own get `wait`.
    ///
    /// # Errors
    /// If a component cannot be built or started.
    pub async fn write_once(
        &self,
        change: &Change,
        wait: Duration,
        within: Duration,
    ) -> Result<Round, Vec<Refusal>> {
        self.once(change, wait, within, None).await
    }

    async fn once(
        &self,
        change: &Change,
        wait: Duration,
        within: Duration,
        outlet: Option<Arc<Outlet>>,
    ) -> Result<Round, Vec<Refusal>> {
        let mut prepared = self.prepare(change).await?;
        let mut inputs = Vec::new();
        let mut others = Vec::new();
        for component in prepared.put {
            match component.part {
                PreparedPart::Input(input) => inputs.push((component.stats, *input)),
                _ => others.push(component),
            }
        }
        prepared.put = others;
        self.commit(prepared);
        if let Some(outlet) = outlet {
            self.add_outlet(outlet);
        }
        let mut observers = Vec::new();
        let mut rounds = Vec::new();
        for (stats, input) in inputs {
            observers.push(stats);
            if let Some(round) = self.one_round(input, wait) {
                rounds.push(round);
            }
        }
        for round in rounds {
            let _ = round.join().await;
        }
        let stopped = self.stop(within).await;
        let inputs = observers
            .iter()
            .map(|stats| (stats.id().clone(), stats.observe()))
            .collect();
        Ok(Round {
            metrics: Metrics::new(),
            inputs,
            stopped,
        })
    }

    /// Starts one input's part of the round.
    fn one_round(
        &self,
        input: PreparedInput,
        wait: Duration,
    ) -> Option<muster_tasks::TaskHandle<()>> {
        let PreparedInput { run, plugin } = input;
        let group = run.group.clone();
        let spawned = match plugin {
            InputPlugin::Polled(plugin) => group.spawn_cx("once", move |cx| async move {
                let Some(mut plugin) = plugin else { return };
                if plugin.needs_two_gathers() {
                    warm_up(&run, plugin.as_mut()).await;
                    if cx.run(tokio::time::sleep(BETWEEN_GATHERS)).await.is_err() {
                        return;
                    }
                }
                let (gathered, batch) = Gatherer::new(&run).gather(&cx, plugin.as_mut()).await;
                run.core
                    .pipeline
                    .load_full()
                    .submit(batch, Timestamp::now());
                if let Gathered::Lost(why) = gathered {
                    run.stats.error(why, Timestamp::now());
                }
            }),
            InputPlugin::Service(plugin) => {
                let serving = group.go_cx("serve", move |cx| run.serve(cx, plugin, None));
                if let Err(closed) = serving {
                    tracing::debug!("{closed}");
                }
                group.spawn_cx("wait", move |cx| async move {
                    let _ = cx.run(tokio::time::sleep(wait)).await;
                })
            }
        };
        spawned.ok()
    }
}

/// The first of two gathers, whose metrics nobody wants.
async fn warm_up(run: &InputRun, plugin: &mut dyn muster_plugin::Input) {
    let limit = run.settings.timeout;
    let (id, group) = (run.id.clone(), run.group.group("warm-up"));
    let now = Timestamp::now();
    let cx = GatherContext::new(id, group.clone(), now, run.settings.interval, limit);
    let mut batch = Batch::new();
    let outcome = timeout(limit, catch_panic(plugin.gather(&cx, &mut batch))).await;
    if !matches!(outcome, Ok(Ok(Ok(())))) {
        tracing::debug!(component = %run.id, "the first of two gathers failed");
    }
    let _ = group.stop().await;
}
