//! The subcommands, one file each.

mod config;
mod once;
mod plugins;
mod run;

use std::sync::Arc;

use muster_plugin::Registry;

use crate::CommandResult;
use crate::args::{Args, Command};

/// Does what the command line says.
pub(crate) fn dispatch(args: Args, registry: Arc<Registry>) -> CommandResult {
    match args.command {
        None if args.run.test || args.run.once => once::once(&args.run, registry),
        None => run::run(args.run, registry),
        Some(Command::Config(command)) => config::config(command, &registry),
        Some(Command::Plugins(args)) => plugins::plugins(&args, &registry),
    }
}
