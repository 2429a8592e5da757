//! `muster input ls`.

use clap::Args;
use muster_control::api::ComponentView;
use muster_options::Globs;
use muster_plugin::Kind;
use serde_json::Value;

use crate::args::ClientArgs;
use crate::observed::Observed;
use crate::session::Session;
use crate::text::{Cell, Style, Table, Tone, ago, count, duration, printable, state_tone};
use crate::{CommandResult, Failure};

/// Which components.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those whose IDs match this pattern.
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn list(session: &Session, kind: Kind, args: &ListArgs) -> CommandResult {
    let patterns: Vec<&str> = args.pattern.as_deref().into_iter().collect();
    let globs = Globs::new(&patterns, &[])
        .map_err(|error| Failure::Usage(format!("PATTERN is no pattern: {error}")))?;
    let wanted = |id: &str| globs.is_empty() || globs.matches(id);
    let what = format!("list the {}", kind.plural());
    let answer = session.get(&what, &format!("/api/v1/{}", kind.plural()))?;
    if session.json {
        let mut all: Vec<Value> = answer.to()?;
        all.retain(|view| view["id"].as_str().is_some_and(wanted));
        session.print_json(&Value::Array(all))?;
        return Ok(std::process::ExitCode::SUCCESS);
    }
    session.present(&answer, |all: &Vec<ComponentView>, style| {
        let shown: Vec<_> = all.iter().filter(|view| wanted(&view.id)).collect();
        let now = muster_metric::Timestamp::now().nanos();
        words(kind, &shown, now, style)
    })
}

fn words(kind: Kind, views: &[&ComponentView], now: i64, style: Style) -> String {
    if views.is_empty() {
        return format!("no {}\n", kind.plural());
    }
    let output = kind == Kind::Output;
    let mut headings = vec![
        "ID",
        "PLUGIN",
        "STATE",
        ">METRICS",
        ">ERRORS",
        ">LAST RUN",
        ">TOOK",
    ];
    if output {
        headings.push(">QUEUE");
    }
    headings.push("FROM");
    let mut table = Table::new(&headings);
    for view in views {
        let observed = Observed::of(view);
        let failures = observed.failures();
        let last = observed
            .last_run_at
            .map_or_else(|| "-".to_owned(), |at| ago(at, now) + " ago");
        let took = if observed.runs == 0 {
            "-".to_owned()
        } else {
            duration(observed.last_run_ns)
        };
        let mut row = vec![
            view.id.as_str().into(),
            view.plugin.as_str().into(),
            Cell::toned(&observed.state, state_tone(&observed.state)),
            count(observed.metrics).into(),
            Cell::toned(
                count(failures),
                if failures == 0 {
                    Tone::Plain
                } else {
                    Tone::Bad
                },
            ),
            last.into(),
            took.into(),
        ];
        if output {
            let queue = view.queue.as_ref();
            row.push(
                queue
                    .map_or_else(|| "-".to_owned(), |q| count(q.metrics as u64))
                    .into(),
            );
        }
        row.push(Cell::toned(&view.source, Tone::Dim));
        table.row(row);
    }
    let mut text = table.render(style);
    let instances = || views.iter().flat_map(|view| &view.instances);
    if instances().next().is_some() {
        let documents = instances().map(|instance| &instance.status);
        text.push('\n');
        text.push_str(&crate::instances::table(documents, now).render(style));
    }
    for view in views {
        if let Some(why) = Observed::of(view).why {
            text.push_str(&format!("{}: {}\n", view.id, printable(&why)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn components_are_a_table() {
        let view = |id: &str, observed: Value| ComponentView {
            kind: "input".into(),
            id: id.into(),
            plugin: "cpu".into(),
            source: "the API".into(),
            options: json!({}),
            observed,
            queue: None,
            instances: Vec::new(),
        };
        let well = json!({"state": "running", "metrics": 12345, "runs": 3, "last_run_ns": 1_200_000,
            "last_run_at": 1_000_000_000});
        let ill = json!({"state": "failing", "errors": 2, "why": "no \u{1b}[31mroute"});
        let (a, b) = (view("a", well), view("b-long", ill));
        let want = "\
ID      PLUGIN  STATE    METRICS  ERRORS  LAST RUN   TOOK  FROM
a       cpu     running    12.3k       0    4s ago  1.2ms  the API
b-long  cpu     failing        0       2         -      -  the API
b-long: no \u{fffd}[31mroute
";
        assert_eq!(
            words(Kind::Input, &[&a, &b], 5_000_000_000, Style::plain()),
            want
        );
        assert_eq!(words(Kind::Output, &[], 0, Style::plain()), "no outputs\n");
    }
}
