//! The settings of an input.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use muster_metric::Precision;
use muster_options::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Flag, LogLevel, Naming, StartupErrorBehavior, Tags, TimeSource};
use crate::{AgentSettings, Filter};

/// The options that every input has, beside the filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InputOptions {
    /// The input's name in logs and in Muster's own metrics; its ID unless `id` is given.
    pub(crate) alias: Option<String>,
    /// How often to gather; if not given, as the agent.
    pub(crate) interval: Option<Duration>,
    /// Whether to gather at multiples of the interval; if not given, as the agent.
    pub(crate) round_interval: Option<Flag>,
    /// The step to which times are rounded; if not given, as the agent.
    pub(crate) precision: Option<Duration>,
    /// Each gather waits a random time below this first; if not given, as the agent.
    pub(crate) collection_jitter: Option<Duration>,
    /// Gathers happen this much after the multiple of the interval; if not given, as the agent.
    pub(crate) collection_offset: Option<Duration>,
    /// A gather that takes longer is cancelled; if not given, the interval, at least 5s.
    pub(crate) timeout: Option<Duration>,
    /// Whether to gather once at once when the input starts; if not given, as the agent.
    pub(crate) gather_on_start: Option<Flag>,
    /// What to do if the input cannot start.
    pub(crate) startup_error_behavior: StartupErrorBehavior,
    /// What metrics get as their time.
    pub(crate) time_source: TimeSource,
    /// How much to log; if not given, as the agent.
    pub(crate) log_level: Option<LogLevel>,
    /// Replaces the measurement's name.
    pub(crate) name_override: String,
    /// Comes before the measurement's name.
    pub(crate) name_prefix: String,
    /// Comes after the measurement's name.
    pub(crate) name_suffix: String,
    /// Tags for metrics that do not have them.
    pub(crate) tags: Tags,
    /// Labels by which `--select` chooses.
    pub(crate) labels: Tags,
    /// Whether the filters cannot remove this input's `tags`; if not given, as the agent.
    pub(crate) always_include_local_tags: Option<Flag>,
    /// Whether the filters cannot remove the global tags; if not given, as the agent.
    pub(crate) always_include_global_tags: Option<Flag>,
}

/// The settings of an input, with the agent's where it has none.
#[derive(Clone, Debug)]
pub struct InputSettings {
    /// The name in logs and in Muster's own metrics.
    pub alias: Option<String>,
    /// How often to gather.
    pub interval: StdDuration,
    /// Whether to gather at multiples of the interval.
    pub round_interval: bool,
    /// The precision that was configured on the input itself.
    pub precision: Option<Precision>,
    /// The precision to round to: the input's, else, for a polled input, the agent's, else by
    /// interval; for an input that works on its own a nanosecond.
    pub effective_precision: Precision,
    /// Each gather waits a random time below this first.
    pub collection_jitter: StdDuration,
    /// Gathers happen this much after the multiple of the interval.
    pub collection_offset: StdDuration,
    /// A gather that takes longer is cancelled.
    pub timeout: StdDuration,
    /// Whether to gather once at once when the input starts.
    pub gather_on_start: bool,
    /// What to do if the input cannot start.
    pub startup_error_behavior: StartupErrorBehavior,
    /// What metrics get as their time.
    pub time_source: TimeSource,
    /// How much to log.
    pub log_level: Option<LogLevel>,
    /// How names are changed.
    pub naming: Naming,
    /// The input's own tags.
    pub tags: Tags,
    /// The global tags; the input's own win.
    pub global_tags: Arc<Tags>,
    /// Which metrics, fields and tags pass.
    pub filter: Filter,
    /// Whether the filters cannot remove the input's own tags.
    pub always_include_local_tags: bool,
    /// Whether the filters cannot remove the global tags.
    pub always_include_global_tags: bool,
}

/// What the settings of an input depend on beside its options and the agent's.
pub(crate) struct InputFacts<'a> {
    pub(crate) global_tags: &'a Arc<Tags>,
    pub(crate) filter: Filter,
    /// Whether the input works on its own.
    pub(crate) service: bool,
    /// The plugin's own `timeout`, which the gather's must not undercut.
    pub(crate) own_timeout: Option<StdDuration>,
}

impl InputSettings {
    pub(crate) fn new(options: InputOptions, agent: &AgentSettings, facts: InputFacts<'_>) -> Self {
        let flag = |own: Option<Flag>, agent: bool| own.map_or(agent, |flag| flag.0);
        let some = |d: Option<Duration>| d.map(Duration::get).filter(|d| !d.is_zero());
        let interval = some(options.interval).unwrap_or(agent.interval.get());
        let precision = some(options.precision).map(Precision::from_duration);
        let agent_precision = some(Some(agent.precision)).map(Precision::from_duration);
        let effective_precision = precision.unwrap_or_else(|| match facts.service {
            true => Precision::NANOSECOND,
            false => agent_precision.unwrap_or_else(|| Precision::for_interval(interval)),
        });
        let timeout = some(options.timeout)
            .unwrap_or_else(|| super::at_least(agent.gather_timeout(interval), facts.own_timeout));
        Self {
            alias: options.alias.filter(|alias| !alias.is_empty()),
            interval,
            round_interval: flag(options.round_interval, agent.round_interval),
            precision,
            effective_precision,
            // Zero is a value of its own: it switches the agent's jitter off.
            collection_jitter: options
                .collection_jitter
                .unwrap_or(agent.collection_jitter)
                .get(),
            collection_offset: some(options.collection_offset)
                .unwrap_or(agent.collection_offset.get()),
            timeout,
            gather_on_start: flag(options.gather_on_start, agent.gather_on_start),
            startup_error_behavior: options.startup_error_behavior,
            time_source: options.time_source,
            log_level: options.log_level,
            naming: Naming::new(
                options.name_override,
                options.name_prefix,
                options.name_suffix,
            ),
            tags: options.tags,
            global_tags: Arc::clone(facts.global_tags),
            filter: facts.filter,
            always_include_local_tags: flag(
                options.always_include_local_tags,
                agent.always_include_local_tags,
            ),
            always_include_global_tags: flag(
                options.always_include_global_tags,
                agent.always_include_global_tags,
            ),
        }
    }
}
