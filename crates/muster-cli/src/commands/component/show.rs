//! `muster input show`.

use clap::Args;
use muster_control::api::{ComponentView, InstanceView};
use muster_control::change::to_toml;
use muster_plugin::Kind;

use super::{names, path, with_near_id};
use crate::CommandResult;
use crate::args::ClientArgs;
use crate::observed::Observed;
use crate::session::Session;
use crate::text::{Style, Tone, ago, bytes, clock, duration, printable, state_tone};

/// Which component.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its ID.
    id: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn show(session: &Session, kind: Kind, args: &ShowArgs) -> CommandResult {
    let ids = std::slice::from_ref(&args.id);
    let answer = session.get(&format!("show {}", names(kind, ids)), &path(kind, &args.id));
    let answer = with_near_id(session, kind, ids, answer)?;
    session.present(&answer, |view: &ComponentView, style| {
        words(view, muster_metric::Timestamp::now().nanos(), style)
    })
}

fn words(view: &ComponentView, now: i64, style: Style) -> String {
    let observed = Observed::of(view);
    let mut lines: Vec<(&str, String)> = Vec::new();
    let state = style.paint(&observed.state, state_tone(&observed.state));
    lines.push(("plugin", view.plugin.clone()));
    lines.push(("defined in", view.source.clone()));
    lines.push(("state", format!("{state} for {}", ago(observed.since, now))));
    if let Some(why) = &observed.why {
        lines.push(("why", style.paint(&printable(why), Tone::Bad)));
    }
    lines.push(("metrics", observed.metrics.to_string()));
    let counters = [
        ("filtered", observed.filtered),
        ("dropped", observed.dropped),
        ("rejected", observed.rejected),
        ("errors", observed.errors),
        ("timeouts", observed.timeouts),
        ("panics", observed.panics),
        ("failed starts", observed.startup_errors),
        ("skipped", observed.skipped),
    ];
    let counted = counters.into_iter().filter(|(_, number)| *number > 0);
    lines.extend(counted.map(|(name, number)| (name, number.to_string())));
    if let Some(mean) = observed.run_ns.checked_div(observed.runs) {
        let at = observed
            .last_run_at
            .map_or_else(String::new, |at| format!(", {} ago", ago(at, now)));
        let (last, longest) = (
            duration(observed.last_run_ns),
            duration(observed.longest_run_ns),
        );
        let mean = duration(mean);
        lines.push(("last run", format!("{last}{at}")));
        lines.push((
            "runs",
            format!("{} (mean {mean}, longest {longest})", observed.runs),
        ));
    }
    if let Some(queue) = &view.queue {
        let dropped = match queue.dropped {
            0 => String::new(),
            dropped => format!(", {dropped} dropped"),
        };
        let size = bytes(queue.bytes as u64);
        lines.push((
            "queue",
            format!(
                "{} of {} metrics, {size}{dropped}",
                queue.metrics, queue.limit
            ),
        ));
    }
    if let Some(error) = &observed.last_error {
        let message = printable(&error.message);
        lines.push(("last error", format!("{message} ({})", clock(error.at))));
    }
    let mut text = style.paint(&format!("{}s/{}", view.kind, view.id), Tone::Strong) + "\n";
    for (name, value) in lines {
        text.push_str(&format!(
            "  {}  {value}\n",
            style.paint(&format!("{name:<13}"), Tone::Dim)
        ));
    }
    if !view.instances.is_empty() {
        text.push('\n');
        let documents = view.instances.iter().map(|instance| &instance.status);
        text.push_str(&crate::instances::table(documents, now).render(style));
    }
    for instance in &view.instances {
        text.push_str(&transitions(instance, style));
    }
    text.push('\n');
    text.push_str(&definition(view));
    text
}

/// The last of an instance's transitions; all that are kept are in the JSON.
fn transitions(instance: &InstanceView, style: Style) -> String {
    const SHOWN: usize = 10;
    let all = &instance.transitions;
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{}\n",
        style.paint(&printable(&instance.id), Tone::Strong)
    );
    for transition in &all[all.len().saturating_sub(SHOWN)..] {
        let detail = transition.detail.as_deref().unwrap_or_default();
        let line = format!(
            "  {}  {} to {}: {} {}",
            clock(transition.at),
            transition.from,
            transition.to,
            transition.reason,
            printable(detail)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The definition as it would stand in a file.
fn definition(view: &ComponentView) -> String {
    let mut options = toml::Table::new();
    options.insert("id".to_owned(), view.id.clone().into());
    if let Ok(toml::Value::Table(given)) = to_toml(&view.options) {
        options.extend(given);
    }
    let table = view.kind.parse().map_or("inputs", Kind::table);
    let plugin = toml::Table::from_iter([(
        view.plugin.clone(),
        toml::Value::Array(vec![options.into()]),
    )]);
    let document = toml::Table::from_iter([(table.to_owned(), plugin.into())]);
    toml::to_string(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_component_is_shown_as_it_would_stand_in_a_file() {
        let view = json!({"kind": "input", "id": "a", "plugin": "cpu", "source": "the API",
            "options": {"percpu": false, "tags": {"dc": "x"}},
            "observed": {"state": "running", "since": 0, "metrics": 4, "runs": 2,
                "run_ns": 3_000_000, "last_run_ns": 1_000_000, "longest_run_ns": 2_000_000,
                "last_run_at": 0, "errors": 1}});
        let want = "\
inputs/a
  plugin         cpu
  defined in     the API
  state          running for 5s
  metrics        4
  errors         1
  last run       1.0ms, 5s ago
  runs           2 (mean 1.5ms, longest 2.0ms)

[[inputs.cpu]]
id = \"a\"
percpu = false

[inputs.cpu.tags]
dc = \"x\"
";
        let view = serde_json::from_value(view).unwrap();
        assert_eq!(words(&view, 5_000_000_000, Style::plain()), want);
    }
}
