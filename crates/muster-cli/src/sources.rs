//! Reading the configuration that the command line names.

use muster_config::{
    Config, Diagnostic, EnvMode, LoadOptions, ProcessEnvironment, default_config, load,
};
use muster_plugin::{Kind, Registry};

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

    /// Refuses a filter that names a plugin which there is not: it would leave everything out.
    pub(crate) fn check_filters(&self, registry: &Registry) -> Result<(), Failure> {
        if self.skip_unknown_plugins {
            return Ok(());
        }
        for (kind, filter) in [
            (Kind::Input, &self.input_filter),
            (Kind::Output, &self.output_filter),
        ] {
            for name in words(filter) {
                if registry.find(kind, name).is_none() {
                    let near = registry.suggest(kind, name);
                    let hint =
                        near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                    return Err(Failure::Usage(format!(
                        "--{kind}-filter: there is no {kind} plugin {name:?}{hint}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The configuration, and what to tell about it.
    pub(crate) fn load(&self, registry: &Registry) -> Result<(Config, Vec<Diagnostic>), Failure> {
        self.check_filters(registry)?;
        if self.is_empty() {
            let mut config = default_config(registry);
            let keeps = |filter: &[String], plugin: &str| {
                filter.is_empty() || words(filter).any(|wanted| wanted == plugin)
            };
            config.definitions.retain(|d| match d.kind() {
                Kind::Input => keeps(&self.input_filter, &d.plugin),
                Kind::Output => keeps(&self.output_filter, &d.plugin),
                _ => true,
            });
            return Ok((config, Vec::new()));
        }
        match load(&self.load_options(), registry, &ProcessEnvironment) {
            Ok(loaded) => Ok((loaded.config, loaded.warnings)),
            Err(problems) => Err(Failure::Configuration(problems.render(colored()))),
        }
    }
}

/// The names in a filter's texts, which colons join.
fn words(filter: &[String]) -> impl Iterator<Item = &str> {
    let names = filter.iter().flat_map(|names| names.split(':'));
    names.map(str::trim).filter(|name| !name.is_empty())
}

/// Whether errors go to a terminal that shows colours.
pub(crate) fn colored() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
