//! The registry's row: a plugin's name, what it is, its options, how to make one.

use std::sync::Arc;

use muster_formats::{Parser, Serializer};
use muster_options::{OptionDoc, OptionError, Parts};
use toml::Table;

use crate::{Aggregator, Input, Kind, Output, Processor, ServiceInput, StatefulProcessor};

/// A row of a plugin crate's table.
#[derive(Debug)]
pub struct PluginRow {
    /// The name in the configuration, as Telegraf has it.
    pub name: &'static str,
    /// One sentence for lists, lower-case, without a full stop.
    pub summary: &'static str,
    /// The plugin's own options, without those that every component has and those of a format.
    pub options: fn() -> Vec<OptionDoc>,
    /// Whether the plugin reads or writes a `data_format`.
    pub format: FormatUse,
    /// Makes the plugin from its options.
    pub build: Build,
}

impl PluginRow {
    /// The kind of component that the plugin makes.
    pub fn kind(&self) -> Kind {
        match self.build {
            Build::Input(_) | Build::Service(_) => Kind::Input,
            Build::Processor(_) | Build::StatefulProcessor(_) => Kind::Processor,
            Build::Aggregator(_) => Kind::Aggregator,
            Build::Output(_) => Kind::Output,
            Build::Check(_) => Kind::Check,
            Build::Publisher(_) => Kind::Publisher,
            Build::Scaler(_) => Kind::Scaler,
        }
    }
}

/// Whether a plugin's table also holds the options of a data format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatUse {
    /// It does not.
    None,
    /// Those of a parser; this one if `data_format` is not given.
    Parser(&'static str),
    /// Those of a serializer; this one if `data_format` is not given.
    Serializer(&'static str),
}

/// What a constructor gives: the plugin, or all that is wrong with its options.
pub type Built<T> = Result<T, Vec<OptionError>>;

/// How to make a plugin. Constructors check options and do nothing else: no input or output, no
/// task.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// A polled input.
    Input(fn(&BuildContext) -> Built<Box<dyn Input>>),
    /// An input that works on its own.
    Service(fn(&BuildContext) -> Built<Box<dyn ServiceInput>>),
    /// A processor without memory.
    Processor(fn(&BuildContext) -> Built<Box<dyn Processor>>),
    /// A processor with memory.
    StatefulProcessor(fn(&BuildContext) -> Built<Box<dyn StatefulProcessor>>),
    /// An aggregator.
    Aggregator(fn(&BuildContext) -> Built<Box<dyn Aggregator>>),
    /// An output.
    Output(fn(&BuildContext) -> Built<Box<dyn Output>>),
    /// A check: it works on its own, and its metrics say how it stands.
    Check(fn(&BuildContext) -> Built<Box<dyn ServiceInput>>),
    /// A publisher: it works on its own, and its metrics say how that goes.
    Publisher(fn(&BuildContext) -> Built<Box<dyn ServiceInput>>),
    /// A scaler: it works on its own, and its metrics say what it sees and does.
    Scaler(fn(&BuildContext) -> Built<Box<dyn ServiceInput>>),
}

/// What a constructor is given.
#[derive(Clone)]
pub struct BuildContext {
    options: Table,
    parser: Option<Arc<dyn Parser>>,
    serializer: Option<Arc<dyn Serializer>>,
}

impl std::fmt::Debug for BuildContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options may hold secrets.
        f.debug_struct("BuildContext").finish_non_exhaustive()
    }
}

impl BuildContext {
    /// Prepares the options of a plugin: takes those of its data format out of the table and makes
    /// the parser or serializer. `table` holds resolved strings, without the options that every
    /// component has.
    ///
    /// # Errors
    /// All that is wrong with the format's options.
    pub fn new(row: &PluginRow, table: &Table) -> Result<Self, Vec<OptionError>> {
        let mut options = table.clone();
        let (mut parser, mut serializer) = (None, None);
        match row.format {
            FormatUse::None => {}
            FormatUse::Parser(default) => {
                let name = take_format_name(&mut options, default)?;
                let format = muster_formats::parser(&name).ok_or_else(|| {
                    unknown_format(&name, muster_formats::PARSERS.iter().map(|row| row.name))
                })?;
                let own = take_format_options(&mut options, &(format.options)(), &(row.options)());
                parser = Some(Arc::from((format.build)(&own)?));
            }
            FormatUse::Serializer(default) => {
                let name = take_format_name(&mut options, default)?;
                let format = muster_formats::serializer(&name).ok_or_else(|| {
                    unknown_format(
                        &name,
                        muster_formats::SERIALIZERS.iter().map(|row| row.name),
                    )
                })?;
                let own = take_format_options(&mut options, &(format.options)(), &(row.options)());
                serializer = Some(Arc::from((format.build)(&own)?));
            }
        }
        Ok(Self {
            options,
            parser,
            serializer,
        })
    }

    /// The plugin's own options.
    pub fn options(&self) -> &Table {
        &self.options
    }

    /// The plugin's own options, to be read as several structs.
    pub fn parts(&self) -> Parts {
        Parts::new(&self.options)
    }

    /// The parser of the configured data format.
    ///
    /// # Errors
    /// If the plugin's row does not say that it uses one: a mistake in the plugin.
    pub fn parser(&self) -> Result<Arc<dyn Parser>, Vec<OptionError>> {
        self.parser
            .clone()
            .ok_or_else(|| vec![OptionError::new("data_format", "no parser here")])
    }

    /// The serializer of the configured data format.
    ///
    /// # Errors
    /// If the plugin's row does not say that it uses one: a mistake in the plugin.
    pub fn serializer(&self) -> Result<Arc<dyn Serializer>, Vec<OptionError>> {
        let missing = || vec![OptionError::new("data_format", "no serializer here")];
        self.serializer.clone().ok_or_else(missing)
    }
}

fn take_format_name(options: &mut Table, default: &str) -> Result<String, Vec<OptionError>> {
    match options.remove("data_format") {
        None => Ok(default.to_owned()),
        Some(toml::Value::String(name)) => Ok(name),
        Some(other) => {
            let message = format!("expected a string, found {}", other.type_str());
            Err(vec![OptionError::new("data_format", message)])
        }
    }
}

/// Takes the format's options out. Those that the plugin knows too (`use_batch_format`) go to
/// both, with the plugin's default.
fn take_format_options(options: &mut Table, format: &[OptionDoc], plugin: &[OptionDoc]) -> Table {
    let mut own = Table::new();
    for option in format {
        let value = match plugin.iter().find(|p| p.name == option.name) {
            Some(shared) => options
                .get(&option.name)
                .cloned()
                .or_else(|| default_value(shared)),
            None => options.remove(&option.name),
        };
        if let Some(value) = value {
            own.insert(option.name.clone(), value);
        }
    }
    own
}

fn default_value(option: &OptionDoc) -> Option<toml::Value> {
    let written = format!("default = {}", option.default.as_ref()?);
    written.parse::<Table>().ok()?.remove("default")
}

fn unknown_format(
    name: &str,
    known: impl Iterator<Item = &'static str> + Clone,
) -> Vec<OptionError> {
    let error = OptionError::new("data_format", format!("unknown data format \"{name}\""));
    let error = match muster_options::suggest(name, known.clone()) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => {
            let names: Vec<&str> = known.collect();
            error.with_hint(format!("known formats: {}", names.join(", ")))
        }
    };
    vec![error]
}
