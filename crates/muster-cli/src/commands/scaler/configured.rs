//! The scaler of configuration files.

use std::time::{SystemTime, UNIX_EPOCH};

use muster_config::{ProcessEnvironment, plugin_options};
use muster_options::{OptionError, Options};
use muster_plugin::{Kind, Registry};
use muster_scaler_core::{Config, Time};

use crate::Failure;
use crate::args::SourceArgs;

/// The one `[scaler]` of these files.
pub(super) fn one(sources: &SourceArgs, registry: &Registry) -> Result<Config, Failure> {
    if sources.is_empty() {
        let message =
            "no configuration is given: write `--config FILE` with a table [scaler] in it";
        return Err(Failure::Usage(message.to_owned()));
    }
    let loaded = muster_config::load(&sources.load_options(), registry, &ProcessEnvironment)
        .map_err(|problems| Failure::Configuration(problems.render(false)))?;
    let mut scalers = loaded.config.definitions.into_iter();
    let mut next = || scalers.find(|definition| definition.id.kind == Kind::Scaler);
    let Some(definition) = next() else {
        let message = "there is no table [scaler] in the configuration".to_owned();
        return Err(Failure::Configuration(message));
    };
    if next().is_some() {
        let message =
            "there are several scalers in the configuration; name one file with one of them";
        return Err(Failure::Usage(message.to_owned()));
    }
    let options = plugin_options(&definition, registry, &ProcessEnvironment);
    let config = options.and_then(|options| Config::parse(&options));
    config.map_err(|errors| Failure::Configuration(lines(&errors)))
}

/// Each problem on a line.
pub(super) fn lines(errors: &[OptionError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Now, by the wall clock.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Time::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
