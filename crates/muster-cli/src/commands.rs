//! The subcommands, one file each.

pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod component;
mod config;
pub(crate) mod diff;
pub(crate) mod flush;
pub(crate) mod history;
pub(crate) mod leaks;
pub(crate) mod man;
mod once;
mod plugins;
pub(crate) mod reload;
pub(crate) mod rollback;
mod run;
pub(crate) mod scaler;
pub(crate) mod sentinel;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod tasks;
pub(crate) mod top;

use std::sync::Arc;

use muster_plugin::{Kind, Registry};

use crate::CommandResult;
use crate::args::{Args, ClientArgs, Command, StateArgs};
use crate::session::Session;

/// Does what the command line says.
pub(crate) fn dispatch(args: Args, registry: Arc<Registry>) -> CommandResult {
    let state = &args.run.state;
    let Some(command) = args.command else {
        return match args.run.test || args.run.once || args.run.test_wait > 0 {
            true => once::once(&args.run, registry),
            false => run::run(args.run, registry),
        };
    };
    match command {
        Command::Config(command) => config::config(command, &registry),
        Command::Plugins(args) => plugins::plugins(&args, &registry),
        Command::Input(command) => component::component(Kind::Input, command, state, &registry),
        Command::Processor(command) => {
            component::component(Kind::Processor, command, state, &registry)
        }
        Command::Aggregator(command) => {
            component::component(Kind::Aggregator, command, state, &registry)
        }
        Command::Output(command) => component::component(Kind::Output, command, state, &registry),
        Command::Check(command) => component::component(Kind::Check, command, state, &registry),
        Command::Publisher(command) => {
            component::component(Kind::Publisher, command, state, &registry)
        }
        Command::Apply(args) => remote(&args.client, state, |s| apply::apply(s, &args)),
        Command::History(args) => remote(&args.client, state, |s| history::history(s, &args)),
        Command::Diff(args) => remote(&args.client, state, |s| diff::diff(s, &args)),
        Command::Rollback(args) => remote(&args.client, state, |s| rollback::rollback(s, &args)),
        Command::Status(args) => remote(&args.client, state, status::status),
        Command::Top(args) => remote(&args.client, state, |s| top::top(s, &args)),
        Command::Tail(args) => remote(&args.client, state, |s| tail::tail(s, &args)),
        Command::Reload(args) => remote(&args.client, state, reload::reload),
        Command::Flush(args) => remote(&args.client, state, flush::flush),
        Command::Tasks(args) => talk(args.open(state)?, |s| tasks::tasks(s, &args)),
        Command::Leaks(args) => leaks::leaks(&args),
        Command::Sentinel(args) => sentinel::sentinel(&args, registry),
        Command::Scaler(args) => scaler::scaler(*args, state, registry),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => man::man(&args),
    }
}

/// Does something with an agent that runs. A failure is told to programs as JSON on the standard
/// output, besides the words for people on the standard error output.
fn remote(
    client: &ClientArgs,
    state: &StateArgs,
    work: impl FnOnce(&Session) -> CommandResult,
) -> CommandResult {
    talk(Session::open(client, state)?, work)
}

fn talk(session: Session, work: impl FnOnce(&Session) -> CommandResult) -> CommandResult {
    let outcome = work(&session);
    if let (true, Err(failure)) = (session.json, &outcome) {
        session.print_json(&failure.json())?;
    }
    outcome
}
