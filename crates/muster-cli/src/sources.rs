//! Reading the configuration that the command line names.

use muster_config::{
    Config, Diagnostic, EnvMode, LoadOptions, ProcessEnvironment, default_config, load,
};
use muster_plugin::Registry;

use crate::Failure;
use crate::args::SourceArgs;

impl SourceArgs {
    /// Whether the command line names no configuration: then the built-in one is used.
    pub(crate) fn is_empty(&self) -> bool {
        self.config.is_empty() && self.config_directory.is_empty()
    }

    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            files: self.config.clone(),
            directories: self.config_directory.clone(),
            input_filter: self.input_filter.clone(),
            output_filter: self.output_filter.clone(),
            selectors: self.select.clone(),
            skip_unknown_plugins: self.skip_unknown_plugins,
            env_mode: if self.non_strict_env_handling {
                EnvMode::Text
            } else {
                EnvMode::Strict
            },
            old_env_behavior: self.old_env_behavior,
        }
    }

    /// The configuration, and what to tell about it.
    pub(crate) fn load(&self, registry: &Registry) -> Result<(Config, Vec<Diagnostic>), Failure> {
        if self.is_empty() {
            return Ok((default_config(registry), Vec::new()));
        }
        match load(&self.load_options(), registry, &ProcessEnvironment) {
            Ok(loaded) => Ok((loaded.config, loaded.warnings)),
            Err(problems) => Err(Failure::Configuration(problems.render(colored()))),
        }
    }
}

/// Whether errors go to a terminal that shows colours.
pub(crate) fn colored() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
