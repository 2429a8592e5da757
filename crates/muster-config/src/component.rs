//! From a definition to a component that can be started.

mod redact;
mod resolve;
mod split;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_options::{OptionDoc, OptionError, Options, parse_duration};
use muster_plugin::{
    Aggregator, Build, BuildContext, ComponentId, FormatUse, Input, Kind, Output, PluginRow,
    Processor, Registry, ServiceInput, StatefulProcessor,
};
use toml::{Table, Value};

use crate::settings::{
    AggregatorOptions, FilterOptions, InputFacts, InputOptions, OutputOptions, ProcessorOptions,
    Settings, Tags,
};
use crate::{
    AgentSettings, AggregatorSettings, Definition, Environment, Filter, InputSettings,
    OutputSettings, ProcessorSettings, StartupErrorBehavior, mask, words,
};
use split::Split;

pub(crate) use resolve::table as resolve_table;

/// A component, checked and built, not started.
#[derive(Debug)]
pub struct Component {
    /// Which one.
    pub id: ComponentId,
    /// The plugin's name.
    pub plugin: &'static str,
    /// What the engine needs to know of it.
    pub settings: Settings,
    /// The plugin itself.
    pub built: BuiltPlugin,
}

/// A plugin of any kind.
pub enum BuiltPlugin {
    /// A polled input.
    Input(Box<dyn Input>),
    /// An input, check or publisher, that works on its own.
    Service(Box<dyn ServiceInput>),
    /// A processor without memory.
    Processor(Box<dyn Processor>),
    /// A processor with memory.
    StatefulProcessor(Box<dyn StatefulProcessor>),
    /// An aggregator.
    Aggregator(Box<dyn Aggregator>),
    /// An output.
    Output(Box<dyn Output>),
}

impl fmt::Debug for BuiltPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input(_) => "Input",
            Self::Service(_) => "Service",
            Self::Processor(_) => "Processor",
            Self::StatefulProcessor(_) => "StatefulProcessor",
            Self::Aggregator(_) => "Aggregator",
            Self::Output(_) => "Output",
        })
    }
}

/// Makes the component that a definition asks for: resolves environment variables, reads the
/// options that every component has, and builds the plugin from the rest.
///
/// # Errors
/// All that is wrong, with the keys where it is wrong. Values of secrets are masked.
pub fn prepare(
    definition: &Definition,
    agent: &AgentSettings,
    global_tags: &Arc<Tags>,
    registry: &Registry,
    env: &dyn Environment,
) -> Result<Component, Vec<OptionError>> {
    check(definition, agent, global_tags, registry, env).result
}

/// The options of a definition that are its plugin's own, with environment variables resolved: what
/// [`prepare`] builds the plugin from.
///
/// # Errors
/// If there is no such plugin, or a variable cannot be resolved.
pub fn plugin_options(
    definition: &Definition,
    registry: &Registry,
    env: &dyn Environment,
) -> Result<Table, Vec<OptionError>> {
    let kind = definition.id.kind;
    let row = registry.find(kind, &definition.plugin).ok_or_else(|| {
        let message = format!("unknown {kind} plugin `{}`", definition.plugin);
        vec![OptionError::new("", message)]
    })?;
    let mut errors = Vec::new();
    let resolved = resolve::table(&definition.options, env, &mut errors);
    if errors.is_empty() {
        Ok(Split::new(row, &resolved).plugin)
    } else {
        Err(errors)
    }
}

/// What came of preparing a component, and what to tell about it in any case.
pub(crate) struct Checked {
    pub(crate) result: Result<Component, Vec<OptionError>>,
    pub(crate) warnings: Vec<OptionError>,
}

pub(crate) fn check(
    definition: &Definition,
    agent: &AgentSettings,
    global_tags: &Arc<Tags>,
    registry: &Registry,
    env: &dyn Environment,
) -> Checked {
    let kind = definition.id.kind;
    let Some(row) = registry.find(kind, &definition.plugin) else {
        let error = OptionError::new("", format!("unknown {kind} plugin `{}`", definition.plugin));
        let error = match registry.suggest(kind, &definition.plugin) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        };
        return Checked {
            result: Err(vec![error]),
            warnings: Vec::new(),
        };
    };
    let mut errors = Vec::new();
    let resolved = resolve::table(&definition.options, env, &mut errors);
    let Split {
        common,
        filter,
        plugin,
        warnings,
    } = Split::new(row, &resolved);
    refuse_secret_stores(row, &plugin, &mut errors);
    let own_timeout = own_timeout(row, &plugin);
    let filter = take(
        FilterOptions::parse(&filter).and_then(|o| Filter::new(&o)),
        &mut errors,
    );
    let facts = Facts {
        agent,
        global_tags,
        filter,
        own_timeout,
        position: definition.position,
    };
    let settings = facts.settings(row, &common, &mut errors);
    let built = BuildContext::new(row, &plugin).and_then(|cx| build(&row.build, &cx));
    let built = take_or_none(built, &mut errors);
    let result = match (settings, built) {
        (Some(settings), Some(built)) if errors.is_empty() => Ok(Component {
            id: definition.id.clone(),
            plugin: row.name,
            settings,
            built,
        }),
        _ => {
            let docs = mask::documented(registry, kind, &definition.plugin);
            for error in &mut errors {
                suggest_common(error, row, &docs);
                words::plain(error);
            }
            redact::redact(&mut errors, &resolved, &docs);
            Err(errors)
        }
    };
    Checked { result, warnings }
}

/// What settings are made from, beside the options.
struct Facts<'a> {
    agent: &'a AgentSettings,
    global_tags: &'a Arc<Tags>,
    filter: Filter,
    own_timeout: Option<Duration>,
    position: u64,
}

impl Facts<'_> {
    fn settings(
        self,
        row: &PluginRow,
        common: &Table,
        errors: &mut Vec<OptionError>,
    ) -> Option<Settings> {
        let Self {
            agent,
            global_tags,
            filter,
            own_timeout,
            position,
        } = self;
        match row.kind() {
            Kind::Input | Kind::Check | Kind::Publisher | Kind::Scaler => {
                let service = !matches!(row.build, Build::Input(_));
                let facts = InputFacts {
                    global_tags,
                    filter,
                    service,
                    own_timeout,
                };
                let options = take_or_none(InputOptions::parse(common), errors)?;
                Some(Settings::Input(InputSettings::new(options, agent, facts)))
            }
            Kind::Processor => {
                let options = take_or_none(ProcessorOptions::parse(common), errors)?;
                Some(Settings::Processor(ProcessorSettings::new(
                    options, position, filter,
                )))
            }
            Kind::Aggregator => {
                let options = take_or_none(AggregatorOptions::parse(common), errors)?;
                if options.period.is_zero() {
                    errors.push(OptionError::new("period", "a window must be longer than 0"));
                }
                Some(Settings::Aggregator(AggregatorSettings::new(
                    options, agent, filter,
                )))
            }
            Kind::Output => {
                let options = take_or_none(OutputOptions::parse(common), errors)?;
                if options.startup_error_behavior == StartupErrorBehavior::Probe {
                    let error = OptionError::new("startup_error_behavior", "only inputs can probe");
                    errors.push(error.with_hint("possible are error, retry, ignore"));
                }
                Some(Settings::Output(OutputSettings::new(
                    options,
                    agent,
                    filter,
                    own_timeout,
                )))
            }
        }
    }
}

fn take_or_none<T>(
    result: Result<T, Vec<OptionError>>,
    errors: &mut Vec<OptionError>,
) -> Option<T> {
    result.map_err(|more| errors.extend(more)).ok()
}

fn take<T: Default>(result: Result<T, Vec<OptionError>>, errors: &mut Vec<OptionError>) -> T {
    take_or_none(result, errors).unwrap_or_default()
}

fn build(build: &Build, cx: &BuildContext) -> Result<BuiltPlugin, Vec<OptionError>> {
    match build {
        Build::Input(build) => build(cx).map(BuiltPlugin::Input),
        Build::Processor(build) => build(cx).map(BuiltPlugin::Processor),
        Build::StatefulProcessor(build) => build(cx).map(BuiltPlugin::StatefulProcessor),
        Build::Aggregator(build) => build(cx).map(BuiltPlugin::Aggregator),
        Build::Output(build) => build(cx).map(BuiltPlugin::Output),
        Build::Service(build)
        | Build::Check(build)
        | Build::Publisher(build)
        | Build::Scaler(build) => build(cx).map(BuiltPlugin::Service),
    }
}

/// The plugin's own `timeout`, if it has such an option: as configured, else its default.
fn own_timeout(row: &PluginRow, plugin: &Table) -> Option<Duration> {
    let own = split::own_options(row);
    let doc = own
        .iter()
        .find(|doc| doc.name == "timeout" && doc.r#type == "duration")?;
    let text = match plugin.get("timeout") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => doc.default.as_deref()?.trim_matches('"').to_owned(),
    };
    parse_duration(&text)
        .ok()
        .filter(|timeout| !timeout.is_zero())
}

/// A reference to a secret store (`@{store:key}`) must not be taken for the secret itself.
fn refuse_secret_stores(row: &PluginRow, plugin: &Table, errors: &mut Vec<OptionError>) {
    let is_word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || c == '_');
    let refers = |text: &str| {
        text.split("@{")
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .any(|(inner, _)| {
                inner
                    .split_once(':')
                    .is_some_and(|(store, key)| is_word(store) && is_word(key))
            })
    };
    for doc in split::own_options(row).iter().filter(|doc| doc.secret) {
        if plugin
            .get(&doc.name)
            .and_then(Value::as_str)
            .is_some_and(refers)
        {
            let error = OptionError::new(&doc.name, "secret stores are not supported yet");
            errors.push(error.with_hint("use an environment variable"));
        }
    }
}

/// An option that the plugin does not know may be meant as one that every component has, or as one
/// of a data format.
fn suggest_common(error: &mut OptionError, row: &PluginRow, docs: &[OptionDoc]) {
    let hint = error.hint.as_deref();
    let guessed = hint.is_some_and(|hint| hint.starts_with("did you mean"));
    if error.message.starts_with("unknown option") && !guessed {
        let formatted = (row.format != FormatUse::None).then_some("data_format");
        let known = docs.iter().map(|doc| doc.name.as_str()).chain(formatted);
        if let Some(near) = muster_options::suggest(&error.path, known) {
            error.hint = Some(format!("did you mean `{near}`?"));
        }
    }
}
