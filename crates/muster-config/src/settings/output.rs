//! The settings of an output.

use std::path::PathBuf;
use std::time::Duration as StdDuration;

use muster_options::{Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LogLevel, Naming, StartupErrorBehavior, Tags};
use crate::{AgentSettings, BufferStrategy, Filter};

/// The options that every output has, beside the filters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutputOptions {
    /// The output's name in logs and in Muster's own metrics; its ID unless `id` is given.
    pub(crate) alias: Option<String>,
    /// How often to write what has come together; if not given, as the agent.
    pub(crate) flush_interval: Option<Duration>,
    /// Each flush waits a random time below this in addition; if not given, as the agent.
    pub(crate) flush_jitter: Option<Duration>,
    /// The most metrics written at once; if not given, as the agent.
    pub(crate) metric_batch_size: Option<usize>,
    /// The most metrics that wait; if not given, as the agent.
    pub(crate) metric_buffer_limit: Option<usize>,
    /// The most bytes of metrics that wait; if not given, as the agent.
    pub(crate) buffer_bytes: Option<Size>,
    /// Where metrics wait; if not given, as the agent.
    pub(crate) buffer_strategy: Option<BufferStrategy>,
    /// A write that takes longer is cancelled and tried again.
    pub(crate) timeout: Option<Duration>,
    /// After failed writes the pause grows up to this.
    pub(crate) retry_backoff_max: Duration,
    /// A file for metrics that the destination refuses for good; if not given, they are dropped.
    pub(crate) dead_letter_file: Option<PathBuf>,
    /// What to do if the output cannot start.
    pub(crate) startup_error_behavior: StartupErrorBehavior,
    /// How much to log; if not given, as the agent.
    pub(crate) log_level: Option<LogLevel>,
    /// Replaces the measurement's name.
    pub(crate) name_override: String,
    /// Comes before the measurement's name.
    pub(crate) name_prefix: String,
    /// Comes after the measurement's name.
    pub(crate) name_suffix: String,
    /// Labels by which `--select` chooses.
    pub(crate) labels: Tags,
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            alias: None,
            flush_interval: None,
            flush_jitter: None,
            metric_batch_size: None,
            metric_buffer_limit: None,
            buffer_bytes: None,
            buffer_strategy: None,
            timeout: None,
            retry_backoff_max: Duration::from_secs(60),
            dead_letter_file: None,
            startup_error_behavior: StartupErrorBehavior::Error,
            log_level: None,
            name_override: String::new(),
            name_prefix: String::new(),
            name_suffix: String::new(),
            labels: Tags::new(),
        }
    }
}

/// The settings of an output, with the agent's where it has none.
#[derive(Clone, Debug)]
pub struct OutputSettings {
    /// The name in logs and in Muster's own metrics.
    pub alias: Option<String>,
    /// How often to write what has come together; never zero.
    pub flush_interval: StdDuration,
    /// Each flush waits a random time below this in addition.
    pub flush_jitter: StdDuration,
    /// The most metrics written at once; at least 1.
    pub metric_batch_size: usize,
    /// The most metrics that wait; at least 1.
    pub metric_buffer_limit: usize,
    /// The most bytes of metrics that wait.
    pub buffer_bytes: usize,
    /// Where metrics wait.
    pub buffer_strategy: BufferStrategy,
    /// The directory of buffers on disk; none for the one in the state directory.
    pub buffer_directory: Option<PathBuf>,
    /// Whether what goes to a buffer on disk must survive the machine, not only the process.
    pub buffer_disk_sync: bool,
    /// A write that takes longer is cancelled and tried again.
    pub timeout: StdDuration,
    /// After failed writes the pause grows up to this.
    pub retry_backoff_max: StdDuration,
    /// A file for metrics that the destination refuses for good.
    pub dead_letter_file: Option<PathBuf>,
    /// What to do if the output cannot start.
    pub startup_error_behavior: StartupErrorBehavior,
    /// How much to log.
    pub log_level: Option<LogLevel>,
    /// How names are changed.
    pub naming: Naming,
    /// Which metrics, fields and tags are written.
    pub filter: Filter,
}

/// How long a write may take when nothing else is configured.
const WRITE_TIMEOUT: StdDuration = StdDuration::from_secs(30);

impl OutputSettings {
    pub(crate) fn new(
        options: OutputOptions,
        agent: &AgentSettings,
        filter: Filter,
        own_timeout: Option<StdDuration>,
    ) -> Self {
        let some = |d: Option<Duration>| d.map(Duration::get).filter(|d| !d.is_zero());
        let count = |own: Option<usize>, agent: usize, default: usize| {
            own.filter(|n| *n > 0)
                .or(Some(agent))
                .filter(|n| *n > 0)
                .unwrap_or(default)
        };
        let defaults = AgentSettings::default();
        let bytes = options.buffer_bytes.unwrap_or(agent.buffer_bytes);
        let bytes = if bytes.bytes() == 0 {
            defaults.buffer_bytes
        } else {
            bytes
        };
        Self {
            alias: options.alias.filter(|alias| !alias.is_empty()),
            flush_interval: some(options.flush_interval).unwrap_or(agent.flush_interval.get()),
            flush_jitter: some(options.flush_jitter).unwrap_or(agent.flush_jitter.get()),
            metric_batch_size: count(
                options.metric_batch_size,
                agent.metric_batch_size,
                defaults.metric_batch_size,
            ),
            metric_buffer_limit: count(
                options.metric_buffer_limit,
                agent.metric_buffer_limit,
                defaults.metric_buffer_limit,
            ),
            buffer_bytes: bytes.as_usize(),
            buffer_strategy: options.buffer_strategy.unwrap_or(agent.buffer_strategy),
            buffer_directory: Some(&agent.buffer_directory)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            buffer_disk_sync: agent.buffer_disk_sync,
            timeout: some(options.timeout)
                .unwrap_or_else(|| super::at_least(WRITE_TIMEOUT, own_timeout)),
            retry_backoff_max: options.retry_backoff_max.get(),
            dead_letter_file: options.dead_letter_file,
            startup_error_behavior: options.startup_error_behavior,
            log_level: options.log_level,
            naming: Naming::new(
                options.name_override,
                options.name_prefix,
                options.name_suffix,
            ),
            filter,
        }
    }
}
