//! What every component of a kind can be told, whatever its plugin.

mod aggregator;
mod filter_options;
mod input;
mod lenient;
mod output;
mod processor;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration as StdDuration;

use muster_options::{OptionDoc, Options};
use muster_plugin::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use aggregator::AggregatorSettings;
pub(crate) use filter_options::DEPRECATED;
pub use filter_options::FilterOptions;
pub use input::InputSettings;
pub use lenient::Flag;
pub use output::OutputSettings;
pub use processor::ProcessorSettings;

pub(crate) use aggregator::AggregatorOptions;
pub(crate) use input::{InputFacts, InputOptions};
pub(crate) use output::OutputOptions;
pub(crate) use processor::ProcessorOptions;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The settings of a component, by its kind.
#[derive(Clone, Debug)]
pub enum Settings {
    /// Of an input, a check or a publisher.
    Input(InputSettings),
    /// Of a processor.
    Processor(ProcessorSettings),
    /// Of an aggregator.
    Aggregator(AggregatorSettings),
    /// Of an output.
    Output(OutputSettings),
}

impl Settings {
    /// The alias, if one was given.
    pub fn alias(&self) -> Option<&str> {
        match self {
            Self::Input(settings) => settings.alias.as_deref(),
            Self::Processor(settings) => settings.alias.as_deref(),
            Self::Aggregator(settings) => settings.alias.as_deref(),
            Self::Output(settings) => settings.alias.as_deref(),
        }
    }
}

/// How the measurement's name is changed: first replaced, then prefixed, then suffixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Stands in for the name.
    pub override_: Option<String>,
    /// Comes before the name.
    pub prefix: Option<String>,
    /// Comes after the name.
    pub suffix: Option<String>,
}

impl Naming {
    pub(crate) fn new(override_: String, prefix: String, suffix: String) -> Self {
        let given = |text: String| (!text.is_empty()).then_some(text);
        Self {
            override_: given(override_),
            prefix: given(prefix),
            suffix: given(suffix),
        }
    }

    /// Whether names stay as they are.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The new name; `None` if it stays as it is.
    pub fn apply(&self, name: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let name = self.override_.as_deref().unwrap_or(name);
        Some(format!(
            "{}{name}{}",
            part(&self.prefix),
            part(&self.suffix)
        ))
    }
}

/// How much a component logs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Also warnings.
    Warn,
    /// Also what happens.
    Info,
    /// Also details.
    Debug,
    /// Everything.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// What an input's metrics get as their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// What the plugin says, else when it was gathered.
    #[default]
    Metric,
    /// When the gather started.
    CollectionStart,
    /// When the gather before this one ended, as in Telegraf.
    CollectionEnd,
}

/// What becomes of a component that cannot start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartupErrorBehavior {
    /// The change that brings it is refused.
    #[default]
    Error,
    /// It is tried again.
    Retry,
    /// It is left out.
    Ignore,
    /// It is asked whether it can work at all, and left out if not.
    Probe,
}

/// A limit around work that has a limit of its own (the plugin's `timeout`): long enough for that
/// one to strike first.
fn at_least(limit: StdDuration, own: Option<StdDuration>) -> StdDuration {
    own.map_or(limit, |own| {
        limit.max(own.saturating_add(StdDuration::from_secs(1)))
    })
}

/// The options that every component of this kind has, for lists and documentation.
pub fn common_options(kind: Kind) -> Vec<OptionDoc> {
    let mut docs = options_of_kind(kind);
    docs.extend(FilterOptions::describe());
    docs
}

/// The same without the filters.
pub(crate) fn options_of_kind(kind: Kind) -> Vec<OptionDoc> {
    match kind {
        Kind::Input => InputOptions::describe(),
        Kind::Processor => ProcessorOptions::describe(),
        Kind::Aggregator => AggregatorOptions::describe(),
        Kind::Output => OutputOptions::describe(),
        Kind::Check | Kind::Publisher | Kind::Scaler => {
            let mut docs = InputOptions::describe();
            docs.retain(|doc| !ABOUT_GATHERS.contains(&doc.name.as_str()));
            docs
        }
    }
}

/// Options of inputs that mean nothing to what is never asked for its metrics.
const ABOUT_GATHERS: [&str; 7] = [
    "collection_jitter",
    "collection_offset",
    "gather_on_start",
    "interval",
    "round_interval",
    "time_source",
    "timeout",
];
