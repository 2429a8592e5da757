//! `mock`: makes up metrics, and faults on request.
//!
//! The values come from five algorithms (constant, random, sine wave, step, stock). The faults
//! (panic, hang, blocked thread, error, slowness) are for tests and tutorials: they show what the
//! agent does with an input that misbehaves.

mod values;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::{Duration, JsonSchema, OptionError};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, Options, PluginError, PluginRow,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use values::{Constant, Random, SineWave, Step, Stock, Values};

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "mock",
    summary: "makes up metrics and, on request, faults",
    options: MockOptions::describe,
    format: FormatUse::None,
    build: Build::Input(build),
};

/// Made-up metrics, and faults on request. Without any field configured there is one, `value`,
/// with a random number from 0 to 1.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MockOptions {
    /// The measurement's name.
    metric_name: String,
    /// How many metrics each gather makes. With more than one, the tag `metric` numbers them
    /// from 0.
    metrics: u32,
    /// Adds a field `sequence` that counts this input's gathers from 0. The count goes on when
    /// options change and over restarts, so that what arrives can be checked for gaps and doubles.
    /// Gathers that fail do not count.
    sequence: bool,
    /// What goes wrong: `panic`, `hang` (never ends by itself), `block` (blocks a thread for
    /// `block_for` and does not listen when told to stop), `error`, or `slow` (takes `slow`, then
    /// delivers).
    fault: Option<Fault>,
    /// Only each so many-th gather goes wrong.
    fault_every: u64,
    /// So many gathers go well before the first goes wrong.
    fault_after: u64,
    /// How long a slow gather takes.
    slow: Duration,
    /// How long a blocked thread is blocked.
    block_for: Duration,
    /// Fields that stay the same.
    constant: Vec<Constant>,
    /// Fields with a random float.
    random: Vec<Random>,
    /// Fields that follow a sine wave over the gathers.
    sine_wave: Vec<SineWave>,
    /// Fields that grow by a step with each gather.
    step: Vec<Step>,
    /// Fields that wander like a price.
    stock: Vec<Stock>,
}

impl Default for MockOptions {
    fn default() -> Self {
        Self {
            metric_name: "mock".to_owned(),
            metrics: 1,
            sequence: false,
            fault: None,
            fault_every: 1,
            fault_after: 0,
            slow: Duration::from_secs(2),
            block_for: Duration::from_secs(10),
            constant: Vec::new(),
            random: Vec::new(),
            sine_wave: Vec::new(),
            step: Vec::new(),
            stock: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Fault {
    Panic,
    Hang,
    Block,
    Error,
    Slow,
}

/// One mock input.
#[derive(Debug)]
struct Mock {
    options: MockOptions,
    values: Values,
    /// Gathers begun, the failed ones included: decides which go wrong.
    begun: u64,
    /// Gathers delivered.
    sequence: u64,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Input>> {
    Ok(Box::new(Mock::new(MockOptions::parse(cx.options())?)?))
}

impl Mock {
    fn new(options: MockOptions) -> Result<Self, Vec<OptionError>> {
        let mut errors = Vec::new();
        if options.metric_name.is_empty() {
            errors.push(OptionError::new("metric_name", "a metric needs a name"));
        }
        if options.fault_every == 0 {
            let error = OptionError::new("fault_every", "counts from 1");
            errors.push(error.with_hint("1 means each gather"));
        }
        let values = Values::new(&options, &mut errors);
        if errors.is_empty() {
            Ok(Self {
                options,
                values,
                begun: 0,
                sequence: 0,
            })
        } else {
            Err(errors)
        }
    }

    /// The fault of the gather that begins now, if it is to have one.
    fn next_fault(&mut self) -> Option<Fault> {
        let number = self.begun;
        self.begun += 1;
        let after = number.checked_sub(self.options.fault_after)?;
        let turn = (after + 1).is_multiple_of(self.options.fault_every);
        self.options.fault.filter(|_| turn)
    }

    async fn suffer(&self, fault: Fault, cx: &GatherContext) -> Result<(), PluginError> {
        match fault {
            #[expect(clippy::panic, reason = "the user asked for it")]
            Fault::Panic => panic!("mock panics as it was told"),
            Fault::Hang => std::future::pending().await,
            Fault::Block => {
                let time = self.options.block_for.get();
                cx.blocking("mock block", move |_| std::thread::sleep(time))
                    .await
            }
            Fault::Error => Err(PluginError::new("make up metrics: told to fail")),
            Fault::Slow => {
                tokio::time::sleep(self.options.slow.get()).await;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Input for Mock {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        if let Some(fault) = self.next_fault() {
            self.suffer(fault, cx).await?;
        }
        // From here on nothing waits: a gather that is cancelled has delivered nothing, and one
        // that delivered is counted.
        for number in 0..self.options.metrics {
            let mut metric = batch.metric(&self.options.metric_name);
            if self.options.metrics > 1 {
                metric.add_tag("metric", number.to_string());
            }
            if self.options.sequence {
                metric.add_field("sequence", i64::try_from(self.sequence).unwrap_or(i64::MAX));
            }
            self.values.add_to(&mut metric, self.sequence);
            metric.untimed();
        }
        self.values.advance();
        self.sequence += 1;
        Ok(())
    }

    fn state(&self) -> Option<Value> {
        let (begun, sequence) = (self.begun, self.sequence);
        Some(json!({ "begun": begun, "sequence": sequence, "values": self.values.state() }))
    }

    fn restore(&mut self, state: Value) {
        let count = |key: &str| state.get(key).and_then(Value::as_u64).unwrap_or(0);
        (self.begun, self.sequence) = (count("begun"), count("sequence"));
        if let Some(values) = state.get("values") {
            self.values.restore(values);
        }
    }
}
