//! From files to one checked configuration.

use std::path::PathBuf;
use std::sync::Arc;

use muster_plugin::{ComponentId, Kind, Registry};
use toml::{Table, Value};

use crate::document::{Document, Text};
use crate::files;
use crate::read::{Reader, add_host};
use crate::settings::Tags;
use crate::{
    AgentSettings, ControlSettings, Definition, Diagnostic, Diagnostics, Environment, Source,
};

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The `[agent]` table.
    pub agent: AgentSettings,
    /// The `[global_tags]` table, and `host`.
    pub global_tags: Arc<Tags>,
    /// The `[control]` table.
    pub control: ControlSettings,
    /// The components.
    pub definitions: Vec<Definition>,
}

/// What to load and how.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Files, in this order.
    pub files: Vec<PathBuf>,
    /// Directories, after the files; each with all below it.
    pub directories: Vec<PathBuf>,
    /// Only inputs of these plugins, if any are named; several may be joined by colons.
    pub input_filter: Vec<String>,
    /// Only outputs of these plugins, if any are named; several may be joined by colons.
    pub output_filter: Vec<String>,
    /// Only components whose labels match one of these (`k=v;k2=v*`), and those without labels.
    pub selectors: Vec<String>,
    /// Whether a plugin that there is not is a warning rather than an error.
    pub skip_unknown_plugins: bool,
    /// How environment variables get into the text.
    pub env_mode: EnvMode,
    /// Whether `$$` stands for itself, as it did before Telegraf 1.27.
    pub old_env_behavior: bool,
}

/// How environment variables get into the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvMode {
    /// After the TOML is read, into strings.
    #[default]
    Strict,
    /// Before the TOML is read, anywhere in the text outside of comments.
    Text,
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What to tell about it.
    pub warnings: Vec<Diagnostic>,
}

/// Loads and checks files and directories as one configuration. Every component is built once, so
/// that whatever is wrong with its options is found.
///
/// # Errors
/// All that is wrong in all files.
pub fn load(
    options: &LoadOptions,
    registry: &Registry,
    env: &dyn Environment,
) -> Result<Loaded, Diagnostics> {
    let mut problems = Vec::new();
    let mut texts = Vec::new();
    for path in files::list(options, &mut problems) {
        match files::read(&path).and_then(|raw| Text::new(path, &raw, options, env)) {
            Ok(text) => texts.push(text),
            Err(problem) => problems.push(problem),
        }
    }
    read(&texts, problems, options, registry, env)
}

/// Loads and checks one text; `name` stands for the file. Files and directories in `options` are
/// not read.
///
/// # Errors
/// All that is wrong.
pub fn parse_text(
    name: &str,
    text: &str,
    options: &LoadOptions,
    registry: &Registry,
    env: &dyn Environment,
) -> Result<Loaded, Diagnostics> {
    let (mut problems, mut texts) = (Vec::new(), Vec::new());
    match Text::new(name.into(), text, options, env) {
        Ok(text) => texts.push(text),
        Err(problem) => problems.push(problem),
    }
    read(&texts, problems, options, registry, env)
}

fn read(
    texts: &[Text],
    problems: Vec<Diagnostic>,
    options: &LoadOptions,
    registry: &Registry,
    env: &dyn Environment,
) -> Result<Loaded, Diagnostics> {
    let documents: Vec<_> = texts
        .iter()
        .map(|text| Document::parse(text, registry))
        .collect();
    let mut reader = Reader::new(options, registry, env);
    reader.report(problems);
    for document in &documents {
        match document {
            Ok(document) => reader.read(document),
            Err(problems) => reader.report(problems.iter().cloned()),
        }
    }
    let names: Vec<&str> = texts.iter().map(Text::name).collect();
    reader.finish(&names)
}

/// What runs when nothing is configured: the host's metrics every 10 seconds as line protocol on
/// the standard output. Plugins that the registry does not have are left out.
pub fn default_config(registry: &Registry) -> Config {
    let agent = AgentSettings {
        gather_on_start: true,
        ..AgentSettings::default()
    };
    let mut global_tags = Tags::new();
    add_host(&agent, &mut global_tags);
    let inputs = DEFAULT_INPUTS.map(|name| (Kind::Input, name, default_options(name)));
    let mut stdout = Table::new();
    stdout.insert("files".to_owned(), Value::Array(vec!["stdout".into()]));
    // Whoever looks at a terminal wants to see metrics when they come.
    stdout.insert("flush_interval".to_owned(), "100ms".into());
    let output = (Kind::Output, DEFAULT_OUTPUT, stdout);
    let definition = |(kind, plugin, options): (Kind, &str, Table)| Definition {
        id: ComponentId::new(kind, plugin),
        plugin: plugin.to_owned(),
        options,
        source: Source::Default,
        paused: false,
        position: 0,
    };
    let there = |(kind, name, _): &(Kind, &str, Table)| registry.find(*kind, name).is_some();
    let definitions = inputs
        .into_iter()
        .chain([output])
        .filter(there)
        .map(definition)
        .collect();
    Config {
        agent,
        global_tags: Arc::new(global_tags),
        control: ControlSettings::default(),
        definitions,
    }
}

/// The options of an input of the default configuration.
fn default_options(plugin: &str) -> Table {
    let mut options = Table::new();
    if plugin == "disk" {
        let ignored = IGNORED_FILE_SYSTEMS.map(Value::from).to_vec();
        options.insert("ignore_fs".to_owned(), Value::Array(ignored));
    }
    options
}

/// File systems without a disk of their own, which the default configuration leaves out.
const IGNORED_FILE_SYSTEMS: [&str; 7] = [
    "tmpfs", "devtmpfs", "devfs", "iso9660", "overlay", "aufs", "squashfs",
];

/// The inputs of the default configuration.
pub(crate) const DEFAULT_INPUTS: [&str; 9] = [
    "cpu",
    "mem",
    "swap",
    "system",
    "kernel",
    "processes",
    "disk",
    "diskio",
    "net",
];

/// The output of the default configuration.
pub(crate) const DEFAULT_OUTPUT: &str = "file";
