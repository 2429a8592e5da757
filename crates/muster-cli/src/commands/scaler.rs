//! `muster scaler`.

mod check;
mod configured;
mod demo;
mod explain;
mod export;
mod orders;
mod reap;
mod replay;
mod servers;
mod simulate;

use std::sync::Arc;

use clap::{Args, Subcommand};
use muster_plugin::Registry;

use super::{remote, run};
use crate::CommandResult;
use crate::args::{RunArgs, SourceArgs, StateArgs};
use check::CheckArgs;
use demo::{CloudRunnerArgs, DemoArgs};
use explain::ExplainArgs;
use export::ExportArgs;
use orders::OrderArgs;
use reap::ReapArgs;
use replay::ReplayArgs;
use servers::ServersArgs;
use simulate::SimulateArgs;

/// Watches whether the GitLab runners can bear their jobs, and brings servers when they cannot.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    subcommand_help_heading = "Commands"
)]
pub(crate) struct ScalerArgs {
    #[command(subcommand)]
    command: Option<ScalerCommand>,
    #[command(flatten)]
    sources: SourceArgs,
    /// Log errors only.
    #[arg(long)]
    quiet: bool,
    /// Log details.
    #[arg(long)]
    debug: bool,
}

/// What to do instead of running the scaler.
#[derive(Debug, Subcommand)]
enum ScalerCommand {
    /// Look whether a configuration will work: every query, the token, the providers. Changes nothing.
    Check(CheckArgs),
    /// Say why the scaler that runs decided as it did.
    Explain(ExplainArgs),
    /// List the temporary servers of the scaler that runs.
    Servers(ServersArgs),
    /// Let a server take no new jobs and go when it has none.
    Drain(OrderArgs),
    /// Take a drain back.
    Undrain(OrderArgs),
    /// Remove owned servers that are past their time, whether a scaler runs or not.
    Reap(ReapArgs),
    /// Say what other settings would have done with recorded days.
    Replay(ReplayArgs),
    /// Compare the scaler with other rules in a simulated world.
    Simulate(SimulateArgs),
    /// Write a GitLab's past jobs as a table for `simulate --jobs`.
    Export(ExportArgs),
    /// Show all of it on this machine: a GitLab, runners, Prometheus, servers that come and go.
    Demo(DemoArgs),
    /// The runner of a demonstration's server.
    #[command(hide = true)]
    DemoRunner(CloudRunnerArgs),
}

const EXAMPLES: &str = "Examples:
  muster scaler demo                          see it work, on this machine, in two minutes
  muster scaler check --config scaler.conf    would this configuration work?
  muster scaler --config scaler.conf          run it; it begins with mode = \"dry-run\"
  muster scaler explain                       why it did, or would do, what it did
  muster scaler servers
  muster scaler simulate --idle-time 60s      what such settings cost, and spare

A configuration holds a table [scaler]; docs/reference/scalers/scaler.md lists its options. `muster --config`
runs it, too, beside inputs and outputs.";

/// Runs the scaler, or does something about it.
pub(crate) fn scaler(
    args: ScalerArgs,
    state: &StateArgs,
    registry: Arc<Registry>,
) -> CommandResult {
    let Some(command) = args.command else {
        configured::one(&args.sources, &registry)?;
        let args = RunArgs {
            sources: args.sources,
            quiet: args.quiet,
            debug: args.debug,
            state: state.clone(),
            ..RunArgs::default()
        };
        return run::run(args, registry);
    };
    match command {
        ScalerCommand::Check(args) => check::check(&args, &registry),
        ScalerCommand::Explain(args) => explain::explain(&args, state),
        ScalerCommand::Servers(args) => remote(&args.client, state, |s| servers::servers(s, &args)),
        ScalerCommand::Drain(args) => remote(&args.client, state, |s| orders::drain(s, &args)),
        ScalerCommand::Undrain(args) => remote(&args.client, state, |s| orders::undrain(s, &args)),
        ScalerCommand::Reap(args) => reap::reap(&args, &registry),
        ScalerCommand::Replay(args) => replay::replay(&args),
        ScalerCommand::Simulate(args) => simulate::simulate(&args),
        ScalerCommand::Export(args) => export::export(&args, &registry),
        ScalerCommand::Demo(args) => demo::demo(&args, registry),
        ScalerCommand::DemoRunner(args) => demo::runner(&args),
    }
}
