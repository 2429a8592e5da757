//! A table whose columns are aligned.

use super::{Style, Tone};

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What it says.
    pub(crate) text: String,
    /// Its colour.
    pub(crate) tone: Tone,
}

/// One line of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) Vec<Cell>);

/// A table with a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug)]
struct Column {
    heading: &'static str,
    right: bool,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            tone: Tone::Plain,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            tone: Tone::Plain,
        }
    }
}

impl Cell {
    /// A cell in a colour.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl Line {
    /// A line of one colour.
    pub(crate) fn of(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![Cell::toned(text, tone)])
    }

    /// The line in at most `width` characters, with its colours, without blanks at the end.
    pub(crate) fn render(&self, style: Style, width: usize) -> String {
        let mut left = width;
        let mut out = String::new();
        let last = self
            .0
            .iter()
            .rposition(|cell| !cell.text.trim_end().is_empty());
        for (at, cell) in self
            .0
            .iter()
            .enumerate()
            .take(last.map_or(0, |last| last + 1))
        {
            let text = if Some(at) == last {
                cell.text.trim_end()
            } else {
                cell.text.as_str()
            };
            let length = text.chars().count();
            if length <= left {
                out.push_str(&style.paint(text, cell.tone));
                left -= length;
                continue;
            }
            if left > 0 {
                let mut cut: String = text.chars().take(left - 1).collect();
                cut.push('…');
                out.push_str(&style.paint(&cut, cell.tone));
            }
            break;
        }
        out
    }
}

impl Table {
    /// A table with these columns; a heading that begins with `>` aligns its column to the right.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let column = |heading: &&'static str| match heading.strip_prefix('>') {
            Some(heading) => Column {
                heading,
                right: true,
            },
            None => Column {
                heading,
                right: false,
            },
        };
        Self {
            columns: headings.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The heading and the rows.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let width = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells
                .map(|cell| cell.text.chars().count())
                .chain([column.heading.len()])
                .max()
        };
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|c| width(c).unwrap_or_default())
            .collect();
        let line = |row: &[Cell]| {
            let mut cells = Vec::new();
            for ((column, width), cell) in self.columns.iter().zip(&widths).zip(row) {
                let pad = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                let text = match column.right {
                    true => format!("{pad}{}", cell.text),
                    false => format!("{}{pad}", cell.text),
                };
                if !cells.is_empty() {
                    cells.push(Cell::from("  "));
                }
                cells.push(Cell {
                    text,
                    tone: cell.tone,
                });
            }
            Line(cells)
        };
        let headings: Vec<Cell> = self
            .columns
            .iter()
            .map(|c| Cell::toned(c.heading, Tone::Strong))
            .collect();
        let mut lines = vec![line(&headings)];
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines
    }

    /// The table as text, a line each row.
    pub(crate) fn render(&self, style: Style) -> String {
        self.lines()
            .iter()
            .map(|line| line.render(style, usize::MAX) + "\n")
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["ID", ">N", "WHY"]);
        table.row(vec!["a".into(), "10".into(), "".into()]);
        table.row(vec!["longer".into(), "7".into(), "because".into()]);
        let want = "ID       N  WHY\na       10\nlonger   7  because\n";
        assert_eq!(table.render(Style::plain()), want);
    }

    #[test]
    fn lines_are_cut_at_the_width() {
        let line = Line(vec!["abc".into(), "def".into()]);
        let check = |width, want: &str| assert_eq!(line.render(Style::plain(), width), want);
        check(9, "abcdef");
        check(6, "abcdef");
        check(5, "abcd…");
        check(3, "abc");
        check(2, "a…");
        check(0, "");
    }
}
