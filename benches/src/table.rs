//! The rows as an aligned table, which is also Markdown, and as JSON.

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::row::Row;

const HEAD: [&str; 7] = [
    "what",
    "figure",
    "reference",
    "ratio",
    "target",
    "reached",
    "note",
];

/// An aligned Markdown table.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut cells = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(row_cells));
    let width = |at: usize| {
        cells
            .iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; HEAD.len()] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, row) in cells.iter().enumerate() {
        text.push_str(&line(row, widths, ' '));
        if number == 0 {
            text.push_str(&line(&HEAD.map(|_| String::new()), widths, '-'));
        }
    }
    text
}

fn line(cells: &[String; HEAD.len()], widths: [usize; HEAD.len()], fill: char) -> String {
    let mut text = String::from("|");
    for (cell, width) in cells.iter().zip(widths) {
        let missing = width - cell.chars().count();
        text.push(' ');
        text.push_str(cell);
        text.extend(std::iter::repeat_n(fill, missing));
        text.push_str(" |");
    }
    text.push('\n');
    text
}

fn row_cells(row: &Row) -> [String; HEAD.len()] {
    let (figure, note) = match &row.figure {
        Ok(figure) => (row.unit.show(*figure), row.note.clone()),
        Err(why) => ("not measured".to_owned(), why.clone()),
    };
    let reference = match &row.reference {
        Some((what, value)) => format!("{} ({what})", row.unit.show(*value)),
        None => String::new(),
    };
    let ratio = row
        .ratio()
        .map(|ratio| format!("{ratio:.2}x"))
        .unwrap_or_default();
    let reached = match row.reached() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let cells = [
        row.what.clone(),
        figure,
        reference,
        ratio,
        row.target_text(),
        reached.to_owned(),
        note,
    ];
    cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "))
}

/// The same for programs.
pub(crate) fn json(rows: &[Row], machine: &Machine) -> Value {
    let of_row = |row: &Row| {
        json!({
            "what": row.what,
            "figure": row.figure.as_ref().ok(),
            "unit": row.unit.to_string(),
            "reference": row.reference.as_ref().map(|(_, value)| value),
            "reference_what": row.reference.as_ref().map(|(what, _)| what),
            "ratio": row.ratio(),
            "target": row.target_text(),
            "reached": row.reached(),
            "missing": row.figure.as_ref().err(),
            "note": row.note,
        })
    };
    json!({ "machine": machine.to_string(), "rows": rows.iter().map(of_row).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Target, Unit};

    #[test]
    fn aligns() {
        let fast = Row::new("fast", Unit::Nanoseconds, 30.0, Target::RatioAtMost(1.5));
        let rows = [
            fast.beside("raw", 20.0),
            Row::missing("other", "it is a|b\nlong"),
        ];
        let want = "\
| what  | figure       | reference   | ratio | target   | reached | note            |
| ----- | ------------ | ----------- | ----- | -------- | ------- | --------------- |
| fast  | 30 ns        | 20 ns (raw) | 1.50x | <= 1.50x | yes     |                 |
| other | not measured |             |       |          | no      | it is a\\|b long |
";
        assert_eq!(markdown(&rows), want);
    }
}
