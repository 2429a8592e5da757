//! The log: one event a line, on the standard error output or in a file.

mod file;
mod format;

use jiff::tz::TimeZone;
use muster_config::{AgentSettings, LogFormat};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::Failure;
use crate::args::RunArgs;
use file::{LogFile, Rotation};
use format::{Clock, Json, Text};

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
        BoxMakeWriter::new(open(settings)?)
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let clock = Clock::new(zone(&settings.log_with_timezone)?);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer);
    match settings.logformat {
        LogFormat::Text => {
            let colored = !to_file && crate::sources::colored();
            log.event_format(Text { clock, colored }).init();
        }
        LogFormat::Structured => {
            let key = Some(&settings.structured_log_message_key).filter(|key| !key.is_empty());
            let message_key = key.map_or("msg", String::as_str).to_owned();
            log.event_format(Json { clock, message_key }).init();
        }
    }
    Ok(())
}

fn open(settings: &AgentSettings) -> Result<LogFile, Failure> {
    let rotation = Rotation {
        interval: settings.logfile_rotation_interval.get(),
        max_size: settings.logfile_rotation_max_size.bytes(),
        max_archives: usize::try_from(settings.logfile_rotation_max_archives).ok(),
    };
    let path = &settings.logfile;
    LogFile::open(path.into(), rotation)
        .map_err(|error| Failure::failed(format!("failed to open the log file {path}: {error}")))
}

fn zone(name: &str) -> Result<TimeZone, Failure> {
    match name {
        "" => Ok(TimeZone::UTC),
        "local" | "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name).map_err(|error| {
            Failure::Configuration(format!(
                "log_with_timezone: there is no zone {name:?}: {error}"
            ))
        }),
    }
}
