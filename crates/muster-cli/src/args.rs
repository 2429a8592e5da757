//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::commands::apply::ApplyArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::component::ComponentCommand;
use crate::commands::diff::DiffArgs;
use crate::commands::flush::FlushArgs;
use crate::commands::history::HistoryArgs;
use crate::commands::leaks::LeaksArgs;
use crate::commands::man::ManArgs;
use crate::commands::reload::ReloadArgs;
use crate::commands::rollback::RollbackArgs;
use crate::commands::scaler::ScalerArgs;
use crate::commands::sentinel::SentinelArgs;
use crate::commands::status::StatusArgs;
use crate::commands::tail::TailArgs;
use crate::commands::tasks::TasksArgs;
use crate::commands::top::TopArgs;

/// A metrics agent that is never restarted and never leaks.
///
/// Without arguments it gathers this host's metrics every 10 s and prints them as line protocol.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands (most talk to the agent that runs)"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  muster                                             gather this host's metrics, print them
  muster --config telegraf.conf                      run a Telegraf configuration
  muster --config telegraf.conf --test               gather once, print, end
  muster config check --config telegraf.conf         only look for mistakes
  muster input add cpu --id cpu-fast interval=1s     one more input while the agent runs
  muster top                                         watch the components

Exit codes:
  0  all went well
  1  something failed, or the agent refused it; for `status`: something is not well
  2  the command line is wrong
  3  a configuration or definition cannot be used
  4  no agent can be reached";

/// How to run the agent.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Gather once, print what would go to the outputs, end.
    #[arg(long)]
    pub(crate) test: bool,
    /// Gather once, let the outputs write, end.
    #[arg(long)]
    pub(crate) once: bool,
    /// How many seconds inputs that work on their own get with --test or --once; without either, it
    /// is --test.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) test_wait: u64,
    /// Read the files again when they change.
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "notify")]
    pub(crate) watch_config: Option<WatchMode>,
    /// With --watch-config poll: how often to look.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub(crate) watch_interval: muster_options::Duration,
    /// With --watch-config: wait until nothing has changed for so long.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub(crate) watch_debounce_interval: muster_options::Duration,
    /// Log errors only.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Log details.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Write the process ID into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// Where the state lies.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct StateArgs {
    /// The state directory [default: $XDG_STATE_HOME/muster, as root /var/lib/muster].
    #[arg(
        long,
        value_name = "DIR",
        env = "MUSTER_STATE_DIR",
        hide_env_values = true,
        global = true
    )]
    pub(crate) state_dir: Option<PathBuf>,
}

/// How the agent is reached, and how to answer.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct ClientArgs {
    /// Print the API's JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
    /// The agent's API, as http://host:port or unix:///path [default: the unix socket in the state
    /// directory].
    #[arg(long, value_name = "URL", env = "MUSTER_API", hide_env_values = true)]
    pub(crate) api: Option<String>,
    /// The file with the API's token [default: $MUSTER_TOKEN, or the one in the state directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// How a change is made.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct ChangeArgs {
    /// Only check it and say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Refuse if the desired state is not at this generation any more.
    #[arg(long, value_name = "GEN")]
    pub(crate) base: Option<u64>,
    /// What for; kept in the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

/// Which configuration.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct SourceArgs {
    /// A configuration file; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// A directory whose *.conf files are read after the files; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub(crate) config_directory: Vec<PathBuf>,
    /// Only these input plugins, joined by colons.
    #[arg(long, value_name = "PLUGINS")]
    pub(crate) input_filter: Vec<String>,
    /// Only these output plugins, joined by colons.
    #[arg(long, value_name = "PLUGINS")]
    pub(crate) output_filter: Vec<String>,
    /// Only components whose labels match, as `key=value;key2=pattern*`; may be given several times.
    #[arg(long, value_name = "LABELS")]
    pub(crate) select: Vec<String>,
    /// Leave plugins out that Muster does not have, with a warning.
    #[arg(long)]
    pub(crate) skip_unknown_plugins: bool,
    /// Put environment variables into strings after the TOML is read (the default).
    #[arg(long, conflicts_with = "non_strict_env_handling")]
    pub(crate) strict_env_handling: bool,
    /// Put environment variables into the text before the TOML is read.
    #[arg(long)]
    pub(crate) non_strict_env_handling: bool,
    /// Take `$$` literally, as before Telegraf 1.27.
    #[arg(long)]
    pub(crate) old_env_behavior: bool,
}

/// How changes of files are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchMode {
    /// Within a quarter of a second.
    Notify,
    /// At the interval of `--watch-interval`.
    Poll,
}

/// What to do instead of running the agent.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration, or print one to start from.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List the plugins with their options.
    Plugins(PluginsArgs),
    /// Inputs of the agent that runs: list, add, change, remove.
    #[command(subcommand)]
    Input(ComponentCommand),
    /// Processors of the agent that runs: list, add, change, remove.
    #[command(subcommand)]
    Processor(ComponentCommand),
    /// Aggregators of the agent that runs: list, add, change, remove.
    #[command(subcommand)]
    Aggregator(ComponentCommand),
    /// Outputs of the agent that runs: list, add, change, remove.
    #[command(subcommand)]
    Output(ComponentCommand),
    /// Liveness checks of the agent that runs: list, add, change, remove.
    #[command(subcommand)]
    Check(ComponentCommand),
    /// What tells others of the checks, in the agent that runs: list, add, change, remove.
    #[command(subcommand)]
    Publisher(ComponentCommand),
    /// Change any number of components, whole or not at all.
    Apply(ApplyArgs),
    /// List the changes of the desired state.
    History(HistoryArgs),
    /// Show what lies between two generations.
    Diff(DiffArgs),
    /// Make the components what they were at a generation.
    Rollback(RollbackArgs),
    /// Say how the agent is; exits with 1 if something is not well.
    Status(StatusArgs),
    /// Watch the components: states, rates, times, errors.
    Top(TopArgs),
    /// Watch the metrics as they pass to the outputs.
    Tail(TailArgs),
    /// Read the configuration files again, as SIGHUP does.
    Reload(ReloadArgs),
    /// Let all outputs write now, as SIGUSR1 does.
    Flush(FlushArgs),
    /// Show the agent's tasks as a tree.
    Tasks(TasksArgs),
    /// Find the lines of Go and Rust services at which goroutines or tasks leak.
    Leaks(Box<LeaksArgs>),
    /// Check whether Redis servers are alive, without an agent.
    Sentinel(Box<SentinelArgs>),
    /// Bring servers when the GitLab runners cannot bear their jobs, and remove them again.
    Scaler(Box<ScalerArgs>),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory.
    Man(ManArgs),
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Look for mistakes; nothing is started.
    Check(CheckArgs),
    /// Print a commented configuration to start from.
    Create(CreateArgs),
}

/// What to check.
#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Print the problems as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to print.
#[derive(Debug, ClapArgs)]
pub(crate) struct CreateArgs {
    /// Only these sections, joined by colons: global_tags, agent, control, outputs, processors,
    /// aggregators, inputs, checks, publishers.
    #[arg(long, value_name = "SECTIONS")]
    pub(crate) section_filter: Vec<String>,
    /// Only these input plugins, joined by colons.
    #[arg(long, value_name = "PLUGINS")]
    pub(crate) input_filter: Vec<String>,
    /// Only these output plugins, joined by colons.
    #[arg(long, value_name = "PLUGINS")]
    pub(crate) output_filter: Vec<String>,
    /// Only these processor plugins, joined by colons.
    #[arg(long, value_name = "PLUGINS")]
    pub(crate) processor_filter: Vec<String>,
    /// Only these aggregator plugins, joined by colons.
    #[arg(long, value_name = "PLUGINS")]
    pub(crate) aggregator_filter: Vec<String>,
}

/// Which plugins.
#[derive(Debug, ClapArgs)]
pub(crate) struct PluginsArgs {
    /// Only this kind: inputs, processors, aggregators, outputs, checks or publishers.
    pub(crate) kind: Option<String>,
    /// With every option, type, default and doc, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
