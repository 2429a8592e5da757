//! The log: one line an event, on the standard error output or in a file.

use std::fs::OpenOptions;
use std::sync::Arc;

use muster_config::{AgentSettings, LogFormat};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::Failure;
use crate::args::RunArgs;

/// Starts the log as the settings and the command line say.
pub(crate) fn start(settings: &AgentSettings, args: &RunArgs) -> Result<(), Failure> {
    let level = if args.debug || settings.debug {
        LevelFilter::DEBUG
    } else if args.quiet || settings.quiet {
        LevelFilter::ERROR
    } else {
        LevelFilter::INFO
    };
    let to_file = !settings.logfile.is_empty();
    let writer = if to_file {
        let path = &settings.logfile;
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file =
            file.map_err(|error| Failure::failed(format!("open the log file {path}: {error}")))?;
        BoxMakeWriter::new(Arc::new(file))
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer)
        .with_target(false)
        .with_ansi(!to_file && crate::sources::colored());
    match settings.logformat {
        LogFormat::Text => log.init(),
        LogFormat::Structured => log.json().init(),
    }
    Ok(())
}
