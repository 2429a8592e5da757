//! From files to one checked configuration.

use std::path::PathBuf;
use std::sync::Arc;

use muster_plugin::Registry;

use crate::settings::Tags;
use crate::{AgentSettings, ControlSettings, Definition, Diagnostic, Diagnostics, Environment};

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
    let _ = (options, registry, env);
    Err(Diagnostics(vec![Diagnostic::error("not yet")]))
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
    let _ = (name, text, options, registry, env);
    Err(Diagnostics(vec![Diagnostic::error("not yet")]))
}
