//! A few plugins to configure, and helpers to do it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use muster_config::{Diagnostics, LoadOptions, Loaded, parse_text};
use muster_metric::{Batch, Metric, Metrics};
use muster_options::{Duration, JsonSchema, OptionError, Secret};
use muster_plugin::{
    Aggregator, Build, FormatUse, GatherContext, Input, Options, Output, OutputContext,
    PluginError, PluginRow, ProcessContext, Processor, Registry, Selected, ServiceContext,
    ServiceInput, StatefulProcessor, WriteError,
};
use serde::{Deserialize, Serialize};

/// Options of the fake `cpu`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Cpu {
    /// Whether to report each core.
    percpu: bool,
    /// Whether to report all cores together.
    totalcpu: bool,
    /// How many cores to leave out.
    skip: u8,
}

impl Default for Cpu {
    fn default() -> Self {
        Self {
            percpu: true,
            totalcpu: true,
            skip: 0,
        }
    }
}

/// Options of the fake `http`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Http {
    /// Where to ask.
    urls: Vec<String>,
    /// Who asks.
    username: String,
    /// With what.
    password: Secret,
    /// With which PIN.
    pin: Secret,
    /// How long to wait for an answer.
    timeout: Option<Duration>,
    /// What to send along.
    headers: BTreeMap<String, String>,
    /// What to take.
    field: Vec<HttpField>,
}

/// A field of the fake `http`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HttpField {
    /// Its name.
    name: String,
    /// Its place.
    index: u32,
}

/// Options of the fake `listener`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Listener {
    /// Where to listen.
    service_address: String,
}

/// Options of the fakes that have one list.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// Where to write.
    files: Vec<String>,
}

/// No options.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

#[async_trait]
impl Input for Nothing {
    async fn gather(&mut self, _: &GatherContext, _: &mut Batch) -> Result<(), PluginError> {
        Ok(())
    }
}

#[async_trait]
impl ServiceInput for Nothing {
    async fn run(&mut self, _: &ServiceContext) -> Result<(), PluginError> {
        Ok(())
    }
}

impl Processor for Nothing {
    fn apply(&self, _: &mut Selected<'_>, _: &ProcessContext) {}
}

impl StatefulProcessor for Nothing {
    fn apply(&mut self, _: &mut Selected<'_>, _: &ProcessContext) {}
}

impl Aggregator for Nothing {
    fn add(&mut self, _: Metric<'_>) {}
    fn push(&mut self, _: &mut Batch) {}
    fn reset(&mut self) {}
}

#[async_trait]
impl Output for Nothing {
    async fn write(&mut self, _: &OutputContext, _: &Metrics) -> Result<(), WriteError> {
        Ok(())
    }
}

const fn row(
    name: &'static str,
    options: fn() -> Vec<muster_options::OptionDoc>,
    build: Build,
) -> PluginRow {
    PluginRow {
        name,
        summary: "does nothing",
        options,
        format: FormatUse::None,
        build,
    }
}

fn checked<T: Options>(table: &toml::Table) -> Result<Box<Nothing>, Vec<OptionError>> {
    T::parse(table).map(|_| Box::new(Nothing {}))
}

const ROWS: &[PluginRow] = &[
    row(
        "cpu",
        Cpu::describe,
        Build::Input(|cx| Ok(checked::<Cpu>(cx.options())?)),
    ),
    row(
        "mem",
        Nothing::describe,
        Build::Input(|cx| Ok(checked::<Nothing>(cx.options())?)),
    ),
    row(
        "http",
        Http::describe,
        Build::Input(|cx| Ok(checked::<Http>(cx.options())?)),
    ),
    row(
        "listener",
        Listener::describe,
        Build::Service(|cx| Ok(checked::<Listener>(cx.options())?)),
    ),
    row(
        "rename",
        Nothing::describe,
        Build::Processor(|cx| Ok(checked::<Nothing>(cx.options())?)),
    ),
    row(
        "dedup",
        Nothing::describe,
        Build::StatefulProcessor(|cx| Ok(checked::<Nothing>(cx.options())?)),
    ),
    row(
        "minmax",
        Nothing::describe,
        Build::Aggregator(|cx| Ok(checked::<Nothing>(cx.options())?)),
    ),
    row(
        "file",
        File::describe,
        Build::Output(|cx| Ok(checked::<File>(cx.options())?)),
    ),
    row(
        "web",
        Http::describe,
        Build::Output(|cx| Ok(checked::<Http>(cx.options())?)),
    ),
];

pub(crate) fn registry() -> Registry {
    Registry::new(&[ROWS])
}

pub(crate) fn environment() -> BTreeMap<String, String> {
    [
        ("INTERVAL", "7s"),
        ("NAME", "db1"),
        ("PASSWORD", "hunter2"),
        ("COUNT", "3"),
        ("EMPTY", ""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

pub(crate) fn read_with(text: &str, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    parse_text("muster.conf", text, options, &registry(), &environment())
}

pub(crate) fn read(text: &str) -> Result<Loaded, Diagnostics> {
    read_with(text, &LoadOptions::default())
}

/// Reads a text that must be right.
pub(crate) fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{}", problems.render(false)))
}

/// The problems of a text, one line each.
pub(crate) fn problems(result: Result<Loaded, Diagnostics>) -> Vec<String> {
    match result {
        Ok(loaded) => loaded
            .warnings
            .iter()
            .map(|w| format!("warning: {w}"))
            .collect(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

/// Checks all problems of a text, errors if there are any, else warnings.
pub(crate) fn check(text: &str, want: &[&str]) {
    assert_eq!(problems(read(text)), want, "{text}");
}
