//! Telegraf's TOML dialect to definitions: merging, environment, identifiers, diagnostics.

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
mod select;
pub mod settings;
mod source_text;
mod template;

pub use agent::{AgentSettings, BufferStrategy, LogFormat};
pub use component::{BuiltPlugin, Component, prepare};
pub use control::ControlSettings;
pub use definition::{Definition, Source};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use environment::{Environment, ProcessEnvironment};
pub use filter::Filter;
pub use ids::{InvalidId, check_id, derive_id};
pub use load::{Config, EnvMode, LoadOptions, Loaded, default_config, load, parse_text};
pub use settings::{
    AggregatorSettings, Flag, InputSettings, LogLevel, Naming, OutputSettings, ProcessorSettings,
    Settings, StartupErrorBehavior, Tags, TimeSource, common_options,
};
pub use source_text::{Place, SourceText};
