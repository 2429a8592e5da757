//! Plain text, aligned.

use std::fmt::Write;

use super::{age, rate, size};
use crate::baseline::Change;
use crate::top::Row;
use crate::verdict::{Suspect, Verdict};

/// A table: columns are as wide as their widest cell, numbers to the right; the last is not padded.
fn table(right: &[bool], lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let cell = printable(cell);
            let _ = match right.get(column) {
                Some(true) => write!(row, "{cell:>width$}  "),
                _ => write!(row, "{cell:<width$}  "),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// Names come from the service: nothing in them may move the cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The verdict on one target: a line, a table of the suspects, and what is known of each.
pub fn verdict(verdict: &Verdict) -> String {
    let (target, status) = (printable(&verdict.target), verdict.status);
    let (goroutines, samples) = (verdict.goroutines, verdict.samples);
    let mut text = format!("{target}: {status}, {goroutines} goroutines, {samples} samples");
    if verdict.restarts > 0 {
        let _ = write!(text, ", {} restarts", verdict.restarts);
    }
    if let Some(leaked) = verdict.leaked {
        let _ = write!(text, ", {leaked} proved to be leaked");
    }
    text.push('\n');
    if !verdict.suspects.is_empty() {
        let head = [
            "",
            "COUNT",
            "PER HOUR",
            "OLDEST",
            "EVIDENCE",
            "WAITS FOR",
            "BLOCKS AT",
        ];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for (number, suspect) in (1..).zip(&verdict.suspects) {
            lines.push(vec![
                format!("{number}"),
                suspect.count.to_string(),
                rate(suspect.per_hour),
                age(suspect.oldest_seconds),
                suspect.evidence.to_string(),
                suspect.class.to_owned(),
                suspect.blocks_at.to_string(),
            ]);
        }
        text.push('\n');
        text.push_str(&table(&[true, true, true, true], &lines));
    }
    for (number, suspect) in (1..).zip(&verdict.suspects) {
        text.push_str(&details(number, suspect));
    }
    if !verdict.notes.is_empty() {
        text.push_str("\nAlso growing:\n");
        let lines: Vec<Vec<String>> = verdict
            .notes
            .iter()
            .map(|note| {
                vec![
                    format!("  {}", note.count),
                    rate(note.per_hour),
                    note.class.to_owned(),
                    note.at.to_string(),
                    format!("({})", note.why),
                ]
            })
            .collect();
        text.push_str(&table(&[true, true], &lines));
    }
    text
}

fn details(number: usize, suspect: &Suspect) -> String {
    let mut lines = vec![
        ("waits for", suspect.waits_for.to_owned()),
        ("blocks at", suspect.blocks_at.to_string()),
    ];
    let started = suspect.started_at.as_ref().map(ToString::to_string);
    let unknown = || "not known: it needs a dump (debug=2)".to_owned();
    lines.push(("started at", started.unwrap_or_else(unknown)));
    if let Some(since) = suspect.since {
        lines.push(("since", format!("{since:.0}")));
    }
    let memory = suspect.memory;
    let (low, high) = (size(memory.low), size(memory.high));
    lines.push(("memory", format!("{low} to {high} of stacks")));
    for reason in &suspect.why {
        lines.push(("why", reason.clone()));
    }
    if let Some(cause) = suspect.cause {
        lines.push(("cause", cause.to_owned()));
    }
    lines.push(("look at", suspect.look_at.to_owned()));
    for with in &suspect.together_with {
        let (count, class, at) = (with.count, with.class, &with.blocks_at);
        lines.push(("together with", format!("{count} in {class} at {at}")));
    }
    let mut text = format!(
        "\n{number}. {}\n",
        printable(&suspect.blocks_at.to_string())
    );
    let mut last = "";
    for (name, value) in lines {
        let shown = if name == last { "" } else { name };
        let _ = writeln!(text, "   {shown:<13}  {}", printable(&value));
        last = name;
    }
    text.push_str("   stack\n");
    for place in &suspect.stack {
        let _ = writeln!(text, "     {}", printable(&place.to_string()));
    }
    text
}

/// What is there now, at most `limit` sites.
pub fn rows(rows: &[Row], limit: usize) -> String {
    let head = ["COUNT", "OLDEST", "STACKS", "WAITS FOR", "AT", "STARTED AT"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows.iter().take(limit) {
        let started = row.started_at.as_ref().map(ToString::to_string);
        lines.push(vec![
            row.count.to_string(),
            match row.oldest_minutes {
                0 => "-".to_owned(),
                minutes => age(minutes * 60),
            },
            row.variants.to_string(),
            row.class.to_owned(),
            row.at.to_string(),
            started.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let mut text = table(&[true, true, true], &lines);
    if rows.len() > limit {
        let more = rows.len() - limit;
        let _ = writeln!(text, "and {more} more");
    }
    text
}

/// What has grown since a baseline.
pub fn changes(changes: &[Change]) -> String {
    let head = ["BEFORE", "NOW", "WAITS FOR", "AT"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for change in changes {
        lines.push(vec![
            change.before.to_string(),
            change.now.to_string(),
            change.class.to_owned(),
            change.at.to_string(),
        ]);
    }
    table(&[true, true], &lines)
}
