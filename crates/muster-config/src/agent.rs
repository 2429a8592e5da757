//! The `[agent]` table.

use std::time::Duration as StdDuration;

use muster_options::{Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The options of the agent as a whole: the `[agent]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// How often inputs gather.
    pub interval: Duration,
    /// Whether gathers happen at multiples of the interval (`:00`, `:10`, `:20`) rather than
    /// counted from the start.
    pub round_interval: bool,
    /// The step to which the times of metrics are rounded; 0 chooses it by the interval.
    pub precision: Duration,
    /// Each gather waits a random time below this first, so that not all happen at once.
    pub collection_jitter: Duration,
    /// Gathers happen this much after the multiple of the interval.
    pub collection_offset: Duration,
    /// How often outputs write what has come together.
    pub flush_interval: Duration,
    /// Each flush waits a random time below this in addition.
    pub flush_jitter: Duration,
    /// The most metrics that an output writes at once; so many trigger a write, too.
    pub metric_batch_size: usize,
    /// The most metrics that wait for an output; more push out the oldest.
    pub metric_buffer_limit: usize,
    /// Whether to log at the level debug.
    pub debug: bool,
    /// Whether to log errors only.
    pub quiet: bool,
    /// The form of the log.
    pub logformat: LogFormat,
    /// Deprecated and without effect: a `logfile` decides whether the log goes into a file.
    pub logtarget: Option<String>,
    /// The log's file; empty for the standard error output.
    pub logfile: String,
    /// The key of the message in a structured log.
    pub structured_log_message_key: String,
    /// The log's file is replaced by a new one after this time; 0 for never.
    pub logfile_rotation_interval: Duration,
    /// The log's file is replaced by a new one beyond this size; 0 for never.
    pub logfile_rotation_max_size: Size,
    /// How many replaced log files are kept; -1 for all.
    pub logfile_rotation_max_archives: i64,
    /// The time zone of the log's times, `local` or a name such as `Europe/Berlin`; empty for UTC.
    pub log_with_timezone: String,
    /// The name of this host in the tag `host`; empty for what the system says.
    pub hostname: String,
    /// Whether metrics get no tag `host`.
    pub omit_hostname: bool,
    /// Which implementation translates SNMP names.
    pub snmp_translator: String,
    /// Accepted and without effect: what plugins remember is always kept in the state directory.
    pub statefile: String,
    /// Whether the inputs' own tags are put back after the filters removed them.
    pub always_include_local_tags: bool,
    /// Whether the global tags are put back after the filters removed them.
    pub always_include_global_tags: bool,
    /// Whether the processors do not see metrics before the aggregators.
    pub skip_processors_before_aggregators: bool,
    /// Whether the processors do not see what the aggregators make; false if not given.
    pub skip_processors_after_aggregators: Option<bool>,
    /// How often to try again to fetch configuration from a URL; -1 for without end.
    pub config_url_retry_attempts: i64,
    /// Where metrics wait for an output. Those on disk survive a restart, a kill and, with
    /// `buffer_disk_sync`, a crash of the machine.
    pub buffer_strategy: BufferStrategy,
    /// The directory of buffers on disk, where each output has a folder named after its ID; empty
    /// for `buffers` in the state directory.
    pub buffer_directory: String,
    /// Whether metrics on disk must survive a crash of the machine, not only of the process: the
    /// disk is then waited for, apart from the data path.
    pub buffer_disk_sync: bool,
    /// A gather that takes longer is cancelled; if not given, the input's interval, at least 5s.
    pub timeout: Option<Duration>,
    /// The most bytes of metrics that wait for an output, in memory and on disk each; more push out
    /// the oldest.
    pub buffer_bytes: Size,
    /// Whether inputs gather once at once when they start, and not only at their interval.
    pub gather_on_start: bool,
    /// The agent ends after this time at most once it is told to stop.
    pub stop_timeout: Duration,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            round_interval: true,
            precision: Duration::ZERO,
            collection_jitter: Duration::ZERO,
            collection_offset: Duration::ZERO,
            flush_interval: Duration::from_secs(10),
            flush_jitter: Duration::ZERO,
            metric_batch_size: 1000,
            metric_buffer_limit: 10_000,
            debug: false,
            quiet: false,
            logformat: LogFormat::Text,
            logtarget: None,
            logfile: String::new(),
            structured_log_message_key: String::new(),
            logfile_rotation_interval: Duration::ZERO,
            logfile_rotation_max_size: Size::from_bytes(0),
            logfile_rotation_max_archives: 5,
            log_with_timezone: String::new(),
            hostname: String::new(),
            omit_hostname: false,
            snmp_translator: "netsnmp".to_owned(),
            statefile: String::new(),
            always_include_local_tags: false,
            always_include_global_tags: false,
            skip_processors_before_aggregators: false,
            skip_processors_after_aggregators: None,
            config_url_retry_attempts: 3,
            buffer_strategy: BufferStrategy::Memory,
            buffer_directory: String::new(),
            buffer_disk_sync: true,
            timeout: None,
            buffer_bytes: Size::from_mib(64),
            gather_on_start: false,
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// The shortest time that a gather gets when no timeout is configured.
const SHORTEST_TIMEOUT: StdDuration = StdDuration::from_secs(5);

impl AgentSettings {
    /// Whether the processors do not see what the aggregators make.
    pub fn skips_processors_after_aggregators(&self) -> bool {
        self.skip_processors_after_aggregators.unwrap_or(false)
    }

    /// How long a gather may take at this interval when the input does not say.
    pub fn gather_timeout(&self, interval: StdDuration) -> StdDuration {
        self.timeout
            .map_or_else(|| interval.max(SHORTEST_TIMEOUT), Duration::get)
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// JSON objects, one a line.
    Structured,
}

/// Where metrics wait for an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BufferStrategy {
    /// In memory.
    #[default]
    Memory,
    /// On disk.
    #[serde(alias = "disk")]
    DiskWriteThrough,
}
