//! The settings of an aggregator.

use std::time::Duration as StdDuration;

use muster_metric::Precision;
use muster_options::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Flag, LogLevel, Naming, Tags};
use crate::{AgentSettings, Filter};

/// The options that every aggregator has, beside the filters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AggregatorOptions {
    /// The aggregator's name in logs and in Muster's own metrics; its ID unless `id` is given.
    pub(crate) alias: Option<String>,
    /// How long a window is.
    pub(crate) period: Duration,
    /// How much later than the window's end the time of a metric may be.
    pub(crate) delay: Duration,
    /// How much earlier than the window's start the time of a metric may be.
    pub(crate) grace: Duration,
    /// Whether windows begin at multiples of the period; if not given, as the agent.
    pub(crate) round_interval: Option<Flag>,
    /// Whether only the summaries go on, not the metrics themselves.
    pub(crate) drop_original: Flag,
    /// How much to log; if not given, as the agent.
    pub(crate) log_level: Option<LogLevel>,
    /// Replaces the measurement's name.
    pub(crate) name_override: String,
    /// Comes before the measurement's name.
    pub(crate) name_prefix: String,
    /// Comes after the measurement's name.
    pub(crate) name_suffix: String,
    /// Tags for summaries that do not have them.
    pub(crate) tags: Tags,
    /// Labels by which `--select` chooses.
    pub(crate) labels: Tags,
}

impl Default for AggregatorOptions {
    fn default() -> Self {
        Self {
            alias: None,
            period: Duration::from_secs(30),
            delay: Duration::from_millis(100),
            grace: Duration::ZERO,
            round_interval: None,
            drop_original: Flag(false),
            log_level: None,
            name_override: String::new(),
            name_prefix: String::new(),
            name_suffix: String::new(),
            tags: Tags::new(),
            labels: Tags::new(),
        }
    }
}

/// The settings of an aggregator, with the agent's where it has none.
#[derive(Clone, Debug)]
pub struct AggregatorSettings {
    /// The name in logs and in Muster's own metrics.
    pub alias: Option<String>,
    /// How long a window is; never zero.
    pub period: StdDuration,
    /// How much later than the window's end the time of a metric may be.
    pub delay: StdDuration,
    /// How much earlier than the window's start the time of a metric may be.
    pub grace: StdDuration,
    /// Whether windows begin at multiples of the period.
    pub round_interval: bool,
    /// Whether only the summaries go on, not the metrics themselves.
    pub drop_original: bool,
    /// The precision of the summaries' times.
    pub precision: Precision,
    /// How much to log.
    pub log_level: Option<LogLevel>,
    /// How names are changed.
    pub naming: Naming,
    /// Tags for summaries that do not have them.
    pub tags: Tags,
    /// Which metrics, fields and tags are summarized.
    pub filter: Filter,
}

impl AggregatorSettings {
    pub(crate) fn new(options: AggregatorOptions, agent: &AgentSettings, filter: Filter) -> Self {
        let precision = match agent.precision {
            Duration::ZERO => Precision::for_interval(agent.interval.get()),
            step => Precision::from_duration(step.get()),
        };
        Self {
            alias: options.alias.filter(|alias| !alias.is_empty()),
            period: options.period.get(),
            delay: options.delay.get(),
            grace: options.grace.get(),
            round_interval: options
                .round_interval
                .map_or(agent.round_interval, |flag| flag.0),
            drop_original: options.drop_original.0,
            precision,
            log_level: options.log_level,
            naming: Naming::new(
                options.name_override,
                options.name_prefix,
                options.name_suffix,
            ),
            tags: options.tags,
            filter,
        }
    }
}
