//! `muster input|processor|aggregator|output|check|publisher`: components of the agent that runs.

mod add;
mod list;
mod pause;
mod remove;
mod set;
mod show;
mod test;

use clap::Subcommand;
use muster_control::api::ComponentView;
use muster_net::path_segment;
use muster_options::suggest;
use muster_plugin::{Kind, Registry};

use crate::args::StateArgs;
use crate::session::Session;
use crate::{CommandResult, Failure};

/// What to do with components of one kind.
#[derive(Debug, Subcommand)]
pub(crate) enum ComponentCommand {
    /// List them: state, counters, the last run.
    Ls(list::ListArgs),
    /// Show one: its definition and what became of it.
    Show(show::ShowArgs),
    /// Add one; refused if its ID exists.
    Add(add::AddArgs),
    /// Change some options of one; the others stay.
    Set(set::SetArgs),
    /// Let some rest; they keep their state.
    Pause(pause::PauseArgs),
    /// Let some work again; a quarantined one is tried at once.
    Resume(pause::ResumeArgs),
    /// Remove some, all of them or none.
    Rm(remove::RemoveArgs),
    /// Try one in the agent, apart from what runs: an input gathers once, the others are given
    /// metrics.
    Test(test::TestArgs),
}

/// Does it.
pub(crate) fn component(
    kind: Kind,
    command: ComponentCommand,
    state: &StateArgs,
    registry: &Registry,
) -> CommandResult {
    use super::remote;
    use ComponentCommand as C;
    match command {
        C::Ls(args) => remote(&args.client, state, |s| list::list(s, kind, &args)),
        C::Show(args) => remote(&args.client, state, |s| show::show(s, kind, &args)),
        C::Add(args) => remote(&args.client, state, |s| add::add(s, kind, &args, registry)),
        C::Set(args) => remote(&args.client, state, |s| set::set(s, kind, &args)),
        C::Pause(args) => remote(&args.client, state, |s| pause::pause(s, kind, &args)),
        C::Resume(args) => remote(&args.client, state, |s| pause::resume(s, kind, &args)),
        C::Rm(args) => remote(&args.client, state, |s| remove::remove(s, kind, &args)),
        C::Test(args) => remote(&args.client, state, |s| {
            test::test(s, kind, &args, registry)
        }),
    }
}

/// Where a component is in the API.
fn path(kind: Kind, id: &str) -> String {
    format!("/api/v1/{}/{}", kind.plural(), path_segment(id))
}

/// All components of a kind.
fn components(session: &Session, kind: Kind) -> Result<Vec<ComponentView>, Failure> {
    let path = format!("/api/v1/{}", kind.plural());
    session
        .get(&format!("list the {}", kind.plural()), &path)?
        .to()
}

/// If there is no such component: the failure with one whose ID is near.
fn with_near_id<T>(
    session: &Session,
    kind: Kind,
    ids: &[String],
    result: Result<T, Failure>,
) -> Result<T, Failure> {
    let failure = match result {
        Err(failure @ Failure::Refused { status: 404, .. }) => failure,
        other => return other,
    };
    let Ok(components) = components(session, kind) else {
        return Err(failure);
    };
    let known: Vec<&str> = components.iter().map(|c| c.id.as_str()).collect();
    let absent = ids.iter().find(|id| !known.contains(&id.as_str()));
    let near = absent.and_then(|id| suggest(id, known.iter().copied()));
    Err(match near {
        Some(near) => failure.with_hint(&format!("did you mean {near}?")),
        None => failure.with_hint(&format!("`muster {kind} ls` lists those that there are")),
    })
}

/// The components as they are named in messages.
fn names(kind: Kind, ids: &[String]) -> String {
    ids.iter()
        .map(|id| format!("{}/{id}", kind.plural()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The examples in the help of one kind's commands.
pub(crate) fn examples(kind: Kind) -> [(&'static str, String); 8] {
    let k = kind.as_str();
    let (plugin, id, options, unset) = match kind {
        Kind::Input => ("cpu", "cpu-fast", "percpu=false interval=1s", "percpu"),
        Kind::Processor => ("override", "site", "tags.dc=fra order=1", "tags.dc"),
        Kind::Aggregator => (
            "basicstats",
            "stats",
            "period=30s 'stats=[\"mean\",\"max\"]'",
            "stats",
        ),
        Kind::Output => (
            "file",
            "copy",
            "'files=[\"/var/log/metrics.lp\"]'",
            "metric_batch_size",
        ),
        Kind::Check => (
            "redis",
            "cache",
            "'servers=[\"127.0.0.1:6379\"]' interval=500ms",
            "interval",
        ),
        Kind::Publisher => ("file", "status", "path=/run/muster/checks.json", "refresh"),
        Kind::Scaler => ("scaler", "scaler", "owner=ci mode=observe", "mode"),
    };
    let first = options.split_whitespace().next().unwrap_or_default();
    let text = |lines: &[String]| {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("  muster {k} {line}"))
            .collect();
        format!("Examples:\n{}", lines.join("\n"))
    };
    [
        ("ls", text(&["ls".into(), "ls '*-fast' --json".into()])),
        ("show", text(&[format!("show {id}")])),
        (
            "add",
            text(&[
                format!("add {plugin} --id {id} {options}"),
                format!("add --file {id}.toml --dry-run"),
            ]) + "\n\nVALUE is a TOML value if it can be read as one (5, true, [1, 2], {a = 1}), else a text.",
        ),
        (
            "set",
            text(&[
                format!("set {id} {first}"),
                format!("set {id} --unset {unset}"),
            ]),
        ),
        ("pause", text(&[format!("pause {id}")])),
        ("resume", text(&[format!("resume {id}")])),
        ("rm", text(&[format!("rm {id}")])),
        (
            "test",
            match kind {
                Kind::Input => text(&["test cpu-fast".into(), "test cpu percpu=false".into()]),
                Kind::Output => {
                    text(&[
                        format!("test {id} --metrics probe.lp"),
                        "test http url=http://127.0.0.1:8080/write < probe.lp".into(),
                    ]) + "\n\nThe metrics are really written."
                }
                Kind::Check => text(&[format!("test {id}"), format!("test {plugin} {options}")]),
                Kind::Publisher | Kind::Scaler => format!("A {k} cannot be tried."),
                Kind::Processor | Kind::Aggregator => {
                    text(&[
                        format!("test {id} --metrics sample.lp"),
                        format!("test {plugin} {first} < sample.lp"),
                    ]) + "\n\nWhat is printed is what leaves it."
                }
            },
        ),
    ]
}
