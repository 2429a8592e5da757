//! The command line, one file for each subcommand in `commands/`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod args;
mod commands;
mod logging;
mod sources;
mod state_path;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use muster_plugin::Registry;

/// What a command comes to: how the process ends, or what went wrong.
type CommandResult = Result<ExitCode, Failure>;

/// How commands fail. The number is the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something went wrong at run time.
    #[error("{0}")]
    Failed(String),
    /// The configuration cannot be used; the text is rendered already.
    #[error("{0}")]
    Configuration(String),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// A failure at run time.
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Configuration(_) => 3,
        }
    }
}

/// Runs the program with these plugins. Exit codes: 0 all went well, 1 something failed, 2 the
/// command line is wrong, 3 the configuration is wrong.
pub fn main(registry: Registry) -> ExitCode {
    let args = args::Args::parse();
    match commands::dispatch(args, Arc::new(registry)) {
        Ok(code) => code,
        Err(failure) => {
            let text = failure.to_string();
            match failure {
                Failure::Configuration(_) => eprintln!("{}", text.trim_end()),
                _ => eprintln!("muster: {}", text.trim_end()),
            }
            ExitCode::from(failure.code())
        }
    }
}
