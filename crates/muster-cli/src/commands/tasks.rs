//! `muster tasks`.

mod dot;
mod process;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::args::{ClientArgs, StateArgs};
use crate::client::{Target, encode_path};
use crate::session::Session;
use crate::text::print;
use crate::{CommandResult, Failure};

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The tasks of an agent, or of any program with the debug pages of muster-tasks.
#[derive(Debug, Args)]
#[command(
    after_help = "Each task is shown with its name, the line that spawned it, its state and its age.
Without URL or PID the tasks are those of the agent. A program that serves
muster_tasks::debug::handle is found by the process ID if it listens on this machine.

Examples:
  muster tasks
  muster tasks --groups --watch
  muster tasks http://127.0.0.1:6060 --state waiting --min-age 10m
  muster tasks 4711 --dot | dot -Tsvg > tasks.svg
  muster tasks --group muster/inputs --json | jq .live"
)]
pub(crate) struct TasksArgs {
    /// Another program: http://host:port, unix:///path, or the ID of a process on this machine.
    #[arg(value_name = "URL|PID")]
    target: Option<String>,
    /// The tree of groups with their tasks; this is the default.
    #[arg(long, conflicts_with_all = ["groups", "dot", "count"])]
    tree: bool,
    /// How many tasks there are of each group, name, spawn line and label.
    #[arg(long, conflicts_with_all = ["dot", "count"])]
    groups: bool,
    /// The tree as a graph for Graphviz.
    #[arg(long, conflicts_with_all = ["count", "json"])]
    dot: bool,
    /// Only their number.
    #[arg(long, conflicts_with = "json")]
    count: bool,
    /// Again every two seconds, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Only the group with this path, and those below it.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["groups", "count"])]
    group: Option<String>,
    /// Only tasks in this state: spawned, waiting, polling, blocking, cancelled, aborting.
    #[arg(long, value_name = "STATE", conflicts_with_all = ["groups", "count"])]
    state: Option<String>,
    /// Only tasks that have lived so long: seconds, or a number with s, m or h.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["groups", "count"])]
    min_age: Option<String>,
    /// At most this many tasks.
    #[arg(long, value_name = "N", conflicts_with_all = ["groups", "count"])]
    limit: Option<usize>,
    #[command(flatten)]
    client: ClientArgs,
}

impl TasksArgs {
    /// The connection to the program whose tasks are asked for.
    ///
    /// # Errors
    /// If the address is none, or the process serves no tasks.
    pub(crate) fn open(&self, state: &StateArgs) -> Result<Session, Failure> {
        let Some(target) = &self.target else {
            return Session::open(&self.client, state);
        };
        let target = match target.parse() {
            Ok(pid) => process::find(pid)?,
            Err(_) => Target::parse(target).map_err(Failure::Usage)?,
        };
        Session::elsewhere(target, &self.client)
    }

    fn path(&self, json: bool) -> String {
        let page = match (self.groups, self.count) {
            (true, _) => "/debug/tasks/groups",
            (_, true) => return "/debug/tasks/count".to_owned(),
            _ => "/debug/tasks",
        };
        let format = if json { "json" } else { "text" };
        let mut path = format!("{page}?format={format}");
        let limit = self.limit.map(|limit| limit.to_string());
        for (name, value) in [
            ("group", &self.group),
            ("state", &self.state),
            ("min_age", &self.min_age),
            ("limit", &limit),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode_path(value)));
            }
        }
        path
    }
}

pub(crate) fn tasks(session: &Session, args: &TasksArgs) -> CommandResult {
    show(session, args)?;
    if !args.watch {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        session.block_on(tokio::time::sleep(WATCH_EVERY));
        let clear = !session.json && std::io::stdout().is_terminal();
        print(if clear { "\x1b[H\x1b[2J" } else { "\n" })?;
        show(session, args)?;
    }
}

fn show(session: &Session, args: &TasksArgs) -> Result<(), Failure> {
    let json = session.json || args.dot;
    let answer = session.get("list the tasks", &args.path(json))?;
    if args.dot {
        print(&dot::graph(&answer.json()?))
    } else if session.json {
        session.print_json(&answer.json()?)
    } else {
        print(&(crate::text::printable(answer.text().trim_end()) + "\n"))
    }
}
