//! `muster status`.

use std::process::ExitCode;

use clap::Args;
use muster_control::api::StatusView;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;
use crate::text::{Style, Tone, ago, printable, state_tone};

/// How the agent is.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 if all is well, with 1 if a component is not well, a task holds
a thread or leaks, or the files could not be read, with 4 if no agent answers.

Examples:
  muster status
  muster status --json | jq .generation"
)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn status(session: &Session) -> CommandResult {
    let answer = session.get("ask for the status", "/api/v1/status")?;
    let now = muster_metric::Timestamp::now().nanos();
    session.present(&answer, |view: &StatusView, style| words(view, now, style))?;
    Ok(if is_well(&answer.to()?) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn is_well(view: &StatusView) -> bool {
    let tasks_are_well = view.stuck.is_empty() && view.leaks.is_empty();
    view.troubles.is_empty() && tasks_are_well && view.reload_error.is_none()
}

fn words(view: &StatusView, now: i64, style: Style) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!(
            "{}  {value}\n",
            style.paint(&format!("{name:<11}"), Tone::Dim)
        ));
    };
    line(
        "agent",
        &format!("muster {}, process {}", view.version, view.pid),
    );
    line("running for", &ago(view.started, now));
    line("generation", &view.generation.to_string());
    for (kind, states) in view.components.as_object().into_iter().flatten() {
        let states = states.as_object().into_iter().flatten();
        let states =
            states.map(|(state, n)| style.paint(&format!("{n} {state}"), state_tone(state)));
        line(kind, &states.collect::<Vec<_>>().join(", "));
    }
    line("tasks", &view.tasks.to_string());
    line("state", &view.state_dir);
    let bad = |text: &str| style.paint(text, Tone::Bad);
    for trouble in &view.troubles {
        let state = bad(&trouble.state);
        let (since, why) = (ago(trouble.since, now), printable(&trouble.why));
        text.push_str(&format!(
            "{} is {state} for {since}: {why}\n",
            trouble.component
        ));
    }
    for task in &view.stuck {
        text.push_str(&format!("{} {task}\n", bad("a task holds its thread:")));
    }
    for leak in &view.leaks {
        text.push_str(&format!("{} {leak}\n", bad("tasks leak:")));
    }
    if let Some(error) = &view.reload_error {
        let error = printable(error.trim_end());
        text.push_str(&format!(
            "{}\n{error}\n",
            bad("the files could not be read again:")
        ));
    }
    if is_well(view) {
        text.push_str(&style.paint("all is well", Tone::Good));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_status_says_what_is_wrong() {
        let mut view: StatusView = serde_json::from_value(json!({
            "version": "1.0", "pid": 7, "started": 0, "generation": 3, "tasks": 12,
            "components": {"inputs": {"failing": 1, "running": 8}}, "state_dir": "/s",
            "troubles": [], "stuck": []}))
        .unwrap();
        let head = "\
agent        muster 1.0, process 7
running for  9s
generation   3
inputs       1 failing, 8 running
tasks        12
state        /s
";
        let now = 9_000_000_000;
        assert_eq!(
            words(&view, now, Style::plain()),
            format!("{head}all is well\n")
        );
        view.troubles = serde_json::from_value(
            json!([{"component": "inputs/a", "state": "failing", "why": "no route", "since": 0}]),
        )
        .unwrap();
        view.leaks = vec!["3 x muster/a".into()];
        view.reload_error = Some("bad\n".into());
        let troubles = "inputs/a is failing for 9s: no route\ntasks leak: 3 x muster/a\nthe files could not be read again:\nbad\n";
        assert_eq!(
            words(&view, now, Style::plain()),
            format!("{head}{troubles}")
        );
    }
}
