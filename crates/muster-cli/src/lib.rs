//! The command line, one file for each subcommand in `commands/`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the command line"
)]

mod args;
mod client;
mod commands;
mod failure;
mod input;
mod instances;
mod key_values;
mod logging;
mod notify;
mod observed;
mod reference;
mod session;
mod sources;
mod state_path;
mod text;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use muster_plugin::{Kind, Registry};

pub use failure::Failure;
pub use reference::reference;

/// What a command comes to: how the process ends, or what went wrong.
type CommandResult = Result<ExitCode, Failure>;

/// The command line as a description, from which help, completions and manual pages are made.
pub fn command() -> clap::Command {
    Kind::ALL
        .into_iter()
        // The command of that name is about one scaler and not about components.
        .filter(|kind| *kind != Kind::Scaler)
        .fold(args::Args::command(), |command, kind| {
            command.mut_subcommand(kind.as_str(), |of_kind| {
                let examples = commands::component::examples(kind);
                examples.into_iter().fold(of_kind, |of_kind, (name, text)| {
                    of_kind.mut_subcommand(name, |command| command.after_help(text))
                })
            })
        })
}

/// Runs the program with these plugins. Exit codes: 0 all went well, 1 something failed or was
/// refused, 2 the command line is wrong, 3 the configuration is wrong, 4 no agent can be reached.
pub fn main(registry: Registry) -> ExitCode {
    let args = match args::Args::from_arg_matches(&command().get_matches()) {
        Ok(args) => args,
        Err(error) => error.format(&mut command()).exit(),
    };
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
