//! `muster tasks`.

use std::process::ExitCode;

use clap::Args;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;
use crate::text::print;

/// The tree of tasks.
#[derive(Debug, Args)]
#[command(
    after_help = "Each task is shown with its name, the line that spawned it, its state and its age.

Examples:
  muster tasks
  muster tasks --count"
)]
pub(crate) struct TasksArgs {
    /// Only their number.
    #[arg(long, conflicts_with = "json")]
    count: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn tasks(session: &Session, args: &TasksArgs) -> CommandResult {
    let path = match (session.json, args.count) {
        (true, _) => "/debug/tasks?format=json",
        (false, true) => "/debug/tasks/count",
        (false, false) => "/debug/tasks",
    };
    let answer = session.get("list the tasks", path)?;
    if session.json {
        session.print_json(&answer.json()?)?;
    } else {
        print(&(answer.text().trim_end().to_owned() + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
