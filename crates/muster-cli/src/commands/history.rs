//! `muster history`.

use clap::Args;
use muster_control::api::RecordView;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;
use crate::text::{Cell, Style, Table, Tone, clock, printable};

/// So many components of a change are named.
const NAMED: usize = 3;

/// Which part of the history.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster history
  muster history --limit 5 --before 40")]
pub(crate) struct HistoryArgs {
    /// At most so many changes.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// None after this generation.
    #[arg(long, value_name = "GEN")]
    before: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn history(session: &Session, args: &HistoryArgs) -> CommandResult {
    let before = args
        .before
        .map_or_else(String::new, |before| format!("&before={before}"));
    let path = format!("/api/v1/history?limit={}{before}", args.limit);
    let answer = session.get("read the history", &path)?;
    session.present(&answer, |records: &Vec<RecordView>, style| {
        words(records, style)
    })
}

fn words(records: &[RecordView], style: Style) -> String {
    if records.is_empty() {
        return "no change yet\n".to_owned();
    }
    let mut table = Table::new(&[">GEN", "AT", "BY", "CHANGES", "MESSAGE"]);
    for record in records {
        table.row(vec![
            record.generation.to_string().into(),
            Cell::toned(clock(record.at), Tone::Dim),
            record.by.as_str().into(),
            changes(record).into(),
            printable(&record.message).replace('\n', " ").into(),
        ]);
    }
    table.render(style)
}

fn changes(record: &RecordView) -> String {
    let sign = |action: &str| match action {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    };
    let edits = &record.edits;
    let named = edits
        .iter()
        .take(NAMED)
        .map(|e| format!("{}{}", sign(&e.action), e.component));
    let mut text = named.collect::<Vec<_>>().join(" ");
    if edits.len() > NAMED {
        text.push_str(&format!(" and {} more", edits.len() - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_names_some_components() {
        let edit = |component: &str, action: &str| json!({"component": component, "action": action, "plugin": "x"});
        let check = |edits: serde_json::Value, want: &str| {
            let record =
                json!({"generation": 1, "at": 0, "by": "api", "message": "", "edits": edits});
            assert_eq!(changes(&serde_json::from_value(record).unwrap()), want);
        };
        check(
            json!([edit("inputs/a", "added"), edit("inputs/b", "removed")]),
            "+inputs/a -inputs/b",
        );
        let many: Vec<_> = ["a", "b", "c", "d", "e"]
            .iter()
            .map(|id| edit(id, "changed"))
            .collect();
        check(json!(many), "~a ~b ~c and 2 more");
    }
}
