//! The settings of a processor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LogLevel, Tags};
use crate::Filter;

/// The options that every processor has, beside the filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProcessorOptions {
    /// The processor's name in logs and in Muster's own metrics; its ID unless `id` is given.
    pub(crate) alias: Option<String>,
    /// Processors run in this order, those without one first; equal ones as written.
    pub(crate) order: i64,
    /// How much to log; if not given, as the agent.
    pub(crate) log_level: Option<LogLevel>,
    /// Labels by which `--select` chooses.
    pub(crate) labels: Tags,
}

/// The settings of a processor.
#[derive(Clone, Debug)]
pub struct ProcessorSettings {
    /// The name in logs and in Muster's own metrics.
    pub alias: Option<String>,
    /// Processors run by ascending order, then ascending position.
    pub order: i64,
    /// The place among the processors as they were written.
    pub position: u64,
    /// Which metrics are processed; fields and tags that it removes are gone for good.
    pub filter: Filter,
    /// How much to log.
    pub log_level: Option<LogLevel>,
}

impl ProcessorSettings {
    pub(crate) fn new(options: ProcessorOptions, position: u64, filter: Filter) -> Self {
        Self {
            alias: options.alias.filter(|alias| !alias.is_empty()),
            order: options.order,
            position,
            filter,
            log_level: options.log_level,
        }
    }
}
