//! Telegraf's TOML dialect to definitions: merging, environment, identifiers, diagnostics.
//!
//! [`load`] reads files and directories, [`parse_text`] one text. Both give a [`Config`]: the
//! settings of the agent and one [`Definition`] for each component, as it was written, or
//! [`Diagnostics`]: all that is wrong in all files, each with its place, the line and a hint.
//! [`prepare`] makes a [`Component`] from a definition: typed [`Settings`] and the built plugin.
//!
//! ```
//! use std::collections::BTreeMap;
//! use muster_config::{LoadOptions, parse_text};
//! use muster_plugin::Registry;
//!
//! let text = "[agent]\n  intervall = '5s'\n";
//! let env = BTreeMap::new();
//! let problems = parse_text("a.conf", text, &LoadOptions::default(), &Registry::default(), &env);
//! assert_eq!(
//!     problems.unwrap_err().to_string(),
//!     "a.conf:2:3: unknown option `intervall` in `agent` (did you mean `interval`?)",
//! );
//! ```
//!
//! # What is as in Telegraf, and what is not
//!
//! Files that Telegraf accepts mean the same here, with these differences:
//!
//! - **Wrong types are errors.** Telegraf silently ignores `interval = 10` or `namepass = "cpu"` on
//!   a plugin. Here a number is a number of seconds, as it is in `[agent]`, and what should be a
//!   list and is none is an error. `"true"` and `"false"` pass for booleans where they do there.
//! - **Durations have one notation.** Days (`"1d"`) and bare numbers work everywhere.
//! - **Options without effect are told of.** Telegraf ignores `order` on an input and its like
//!   silently; here that is a warning.
//! - **`[agent]` counts for all plugins**, whichever file it stands in and whenever it is read.
//!   All its keys may be written in any case and without underscores.
//! - **Identifiers.** Every component has an ID: the option `id`, else the `alias` (what an ID
//!   cannot have becomes `-`), else the plugin's name with the start of Telegraf's plugin hash.
//!   Two components of a kind with equal IDs or aliases are an error; identical anonymous ones are
//!   numbered.
//! - **`timeout`** is an option of inputs and outputs. Where a plugin has its own option of that
//!   name, that one is meant, and the limit around it is at least a second longer.
//! - **A table at the top** that is no plugin's name is an error, not an input.
//! - **Classes in patterns** may have several ranges (`[a-zA-Z]`).
//! - **Not yet there**, and said so where it is used: `metricpass`, secret stores, URLs as files.
//!
//! # Variables
//!
//! Variables are put into strings after the TOML is read ([`EnvMode::Strict`]), when a component is
//! prepared; definitions keep them as written. With [`EnvMode::Text`] they are put into the text
//! before it is read; what came out is then protected, so that it is not resolved a second time.
//!
//! # Secrets
//!
//! The values of options that are secrets, of keys that look like one, and passwords in URLs are
//! `***` in every message, excerpt and [`Definition::masked`] table.

mod agent;
mod comments;
mod component;
mod control;
mod definition;
mod diagnostic;
mod document;
mod environment;
mod files;
mod filter;
mod ids;
mod load;
mod mask;
mod portable;
mod read;
mod sample;
mod select;
pub mod settings;
mod source_text;
mod template;
mod words;

pub use agent::{AgentSettings, BufferStrategy, LogFormat};
pub use component::{BuiltPlugin, Component, plugin_options, prepare};
pub use control::ControlSettings;
pub use definition::{Definition, Source};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use environment::{Environment, ProcessEnvironment};
pub use filter::Filter;
pub use ids::{InvalidId, check_id, derive_id};
pub use load::{Config, EnvMode, LoadOptions, Loaded, default_config, load, parse_text};
pub use sample::{SampleOptions, sample};
pub use settings::{
    AggregatorSettings, FilterOptions, Flag, InputSettings, LogLevel, Naming, OutputSettings,
    ProcessorSettings, Settings, StartupErrorBehavior, Tags, TimeSource, common_options,
};
pub use source_text::{Place, SourceText};
