//! What `top` shows of what it knows: order, filter, the lines of a frame. Pure.

use clap::ValueEnum;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Model, Row};
use crate::text::{Cell, Line, Style, Table, Tone, ago, count, duration, plural, rate, state_tone};

/// Lines of a frame that are no rows: two of the head, the heading, two of the foot.
const OTHER_LINES: usize = 5;

/// The column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// The order of the data path, then the ID.
    Id,
    /// The worst state first.
    State,
    /// The most metrics in a second first.
    Rate,
    /// The longest last gather or write first.
    Time,
    /// The most failures first.
    Errors,
    /// The most metrics that wait first.
    Queue,
}

const SORTS: [Sort; 6] = [
    Sort::Id,
    Sort::State,
    Sort::Rate,
    Sort::Time,
    Sort::Errors,
    Sort::Queue,
];

/// How the components are looked at.
#[derive(Debug)]
pub(super) struct View {
    sort: Sort,
    reverse: bool,
    filter: String,
    /// Whether keys go into the filter.
    typing: bool,
    /// The chosen row.
    chosen: usize,
    /// The first row that is shown.
    first: usize,
    /// Rows that fit, as of the last frame.
    page: usize,
}

impl View {
    /// A look at everything that has `filter` in it.
    pub(super) fn new(sort: Sort, filter: String) -> Self {
        Self {
            sort,
            reverse: false,
            filter,
            typing: false,
            chosen: 0,
            first: 0,
            page: 1,
        }
    }

    /// Does what a key says; whether to go on.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return false,
            KeyCode::Char(c) if self.typing && !control => self.filter.push(c),
            KeyCode::Backspace if self.typing => drop(self.filter.pop()),
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Char('q') => return false,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char('s') | KeyCode::Right => self.sort_by(1),
            KeyCode::Left => self.sort_by(SORTS.len() - 1),
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen += 1,
            KeyCode::PageUp => self.chosen = self.chosen.saturating_sub(self.page),
            KeyCode::PageDown => self.chosen += self.page,
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = usize::MAX / 2,
            _ => {}
        }
        true
    }

    fn sort_by(&mut self, step: usize) {
        let now = SORTS
            .iter()
            .position(|sort| *sort == self.sort)
            .unwrap_or_default();
        self.sort = SORTS[(now + step) % SORTS.len()];
        self.reverse = false;
    }

    /// The rows that are wanted, in order.
    fn rows<'a>(&self, model: &'a Model) -> Vec<&'a Row> {
        let filter = self.filter.to_lowercase();
        let has = |row: &&Row| {
            [&row.name, &row.plugin, &row.state]
                .iter()
                .any(|t| t.to_lowercase().contains(&filter))
        };
        let mut rows: Vec<&Row> = model.rows.iter().filter(has).collect();
        rows.sort_by(|a, b| {
            let first = match self.sort {
                Sort::Id => std::cmp::Ordering::Equal,
                Sort::State => badness(&b.state).cmp(&badness(&a.state)),
                Sort::Rate => b.rate.total_cmp(&a.rate),
                Sort::Time => b.took.cmp(&a.took),
                Sort::Errors => b.failures.cmp(&a.failures),
                Sort::Queue => b.queue.cmp(&a.queue),
            };
            first.then_with(|| (a.order, &a.name).cmp(&(b.order, &b.name)))
        });
        if self.reverse {
            rows.reverse();
        }
        rows
    }

    /// One plain table of all rows.
    pub(super) fn table(&self, model: &Model, now: i64, style: Style) -> String {
        let mut text = head(model, now).render(style, usize::MAX) + "\n";
        text.push_str(&table(&self.rows(model), now, None, self.sort).render(style));
        text
    }

    /// The lines of a screen of `width` and `height`.
    pub(super) fn frame(
        &mut self,
        model: &Model,
        now: i64,
        (width, height): (usize, usize),
        style: Style,
    ) -> Vec<String> {
        let rows = self.rows(model);
        self.page = height.saturating_sub(OTHER_LINES).max(1);
        self.chosen = self.chosen.min(rows.len().saturating_sub(1));
        let last_first = rows.len().saturating_sub(self.page);
        let around = self.chosen.saturating_sub(self.page - 1)..=self.chosen;
        self.first = self
            .first
            .clamp(*around.start(), *around.end())
            .min(last_first);
        let shown: Vec<&Row> = rows
            .iter()
            .skip(self.first)
            .take(self.page)
            .copied()
            .collect();
        let mut lines = vec![head(model, now), self.second_line(rows.len(), model)];
        lines.extend(table(&shown, now, Some(self.chosen - self.first), self.sort).lines());
        lines.resize(height.saturating_sub(2).max(lines.len()), Line::default());
        lines.push(match rows.get(self.chosen) {
            Some(row) => detail(row),
            None => Line::of("no component matches", Tone::Dim),
        });
        let keys = "q end  ↑↓ choose  ←→ sort  r reverse  / filter  Esc all";
        lines.push(Line::of(keys, Tone::Dim));
        lines.truncate(height);
        lines.iter().map(|line| line.render(style, width)).collect()
    }

    fn second_line(&self, rows: usize, model: &Model) -> Line {
        if let Some(trouble) = &model.trouble {
            return Line::of(trouble.as_str(), Tone::Bad);
        }
        let order = self.sort.to_possible_value();
        let order = order.as_ref().map_or("", |value| value.get_name());
        let turned = if self.reverse { ", reversed" } else { "" };
        let mut text = format!("{}, by {order}{turned}", plural(rows, "component"));
        if self.typing || !self.filter.is_empty() {
            let cursor = if self.typing { "_" } else { "" };
            text.push_str(&format!(", filter: {}{cursor}", self.filter));
        }
        Line::of(text, Tone::Dim)
    }
}

/// How bad a state is.
fn badness(state: &str) -> u8 {
    match state_tone(state) {
        Tone::Bad => 3,
        Tone::Warn => 2,
        Tone::Dim => 1,
        _ => 0,
    }
}

fn head(model: &Model, now: i64) -> Line {
    let Some(status) = &model.status else {
        return Line::default();
    };
    let troubles = status.troubles.len() + status.stuck.len() + status.leaks.len();
    let well = match troubles {
        0 => Cell::toned("all is well", Tone::Good),
        n => Cell::toned(format!("{n} not well"), Tone::Bad),
    };
    let inputs = model
        .rows
        .iter()
        .filter(|row| row.name.starts_with("inputs/"));
    let total: f64 = inputs.map(|row| row.rate).sum();
    let rest = format!(
        "  up {}  generation {}  {} tasks  {} metrics/s  ",
        ago(status.started, now),
        status.generation,
        status.tasks,
        rate(total),
    );
    Line(vec![
        Cell::toned(format!("muster {}", status.version), Tone::Strong),
        rest.into(),
        well,
    ])
}

fn table(rows: &[&Row], now: i64, chosen: Option<usize>, sort: Sort) -> Table {
    let mark = |of: Sort, plain: &'static str, marked: &'static str| {
        if chosen.is_some() && sort == of {
            marked
        } else {
            plain
        }
    };
    let mut table = Table::new(&[
        mark(Sort::Id, "COMPONENT", "COMPONENT*"),
        "PLUGIN",
        mark(Sort::State, "STATE", "STATE*"),
        mark(Sort::Rate, ">METRICS/S", ">METRICS/S*"),
        ">METRICS",
        mark(Sort::Time, ">TOOK", ">TOOK*"),
        ">LONGEST",
        ">LAST",
        mark(Sort::Errors, ">ERRORS", ">ERRORS*"),
        ">DROPPED",
        mark(Sort::Queue, ">QUEUE", ">QUEUE*"),
    ]);
    for (at, row) in rows.iter().enumerate() {
        let tone = if chosen == Some(at) {
            Tone::Strong
        } else {
            Tone::Plain
        };
        let alarm =
            |number: u64| Cell::toned(count(number), if number == 0 { tone } else { Tone::Bad });
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.row(vec![
            Cell::toned(row.name.as_str(), tone),
            Cell::toned(row.plugin.as_str(), tone),
            Cell::toned(row.state.as_str(), state_tone(&row.state)),
            Cell::toned(rate(row.rate), tone),
            Cell::toned(count(row.metrics), tone),
            Cell::toned(or_dash(row.took.map(duration)), tone),
            Cell::toned(or_dash(row.took.map(|_| duration(row.longest))), tone),
            Cell::toned(or_dash(row.last_run_at.map(|at| ago(at, now))), tone),
            alarm(row.failures),
            alarm(row.dropped),
            Cell::toned(or_dash(row.queue.map(|(n, _)| count(n as u64))), tone),
        ]);
    }
    table
}

/// More of the chosen row.
fn detail(row: &Row) -> Line {
    let name = Cell::toned(row.name.as_str(), Tone::Strong);
    let queue = row
        .queue
        .map(|(metrics, limit)| format!("  queue {metrics} of {limit}"));
    let why = match &row.why {
        Some(why) => Cell::toned(format!("  {why}"), Tone::Bad),
        None => Cell::toned("  no error", Tone::Dim),
    };
    Line(vec![name, queue.unwrap_or_default().into(), why])
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{component, snapshot};
    use super::*;
    use serde_json::json;

    fn model() -> Model {
        let mut model = Model::default();
        let mut b = component("b", "failing", 50);
        b["observed"]["errors"] = 3.into();
        b["observed"]["why"] = "no route".into();
        let components = json!([
            component("a", "running", 100),
            b,
            component("c", "paused", 10)
        ]);
        model.update(10_000_000_000, snapshot(components));
        model
    }

    fn press(view: &mut View, keys: &[KeyCode]) -> bool {
        keys.iter()
            .all(|code| view.key(KeyEvent::new(*code, KeyModifiers::NONE)))
    }

    #[test]
    fn the_plain_table_has_all_rows() {
        let text =
            View::new(Sort::Id, String::new()).table(&model(), 10_000_000_000, Style::plain());
        let want = "\
muster 1.0  up 10s  generation 3  9 tasks  16.0 metrics/s  all is well
COMPONENT  PLUGIN  STATE    METRICS/S  METRICS   TOOK  LONGEST  LAST  ERRORS  DROPPED  QUEUE
inputs/a   mock    running       10.0      100  2.0ms      0ns     -       0        0      -
inputs/b   mock    failing       5.00       50  2.0ms      0ns     -       3        0      -
inputs/c   mock    paused        1.00       10  2.0ms      0ns     -       0        0      -
";
        assert_eq!(text, want);
    }

    #[test]
    fn rows_are_sorted_and_filtered() {
        let check = |keys: &[KeyCode], want: &[&str]| {
            let mut view = View::new(Sort::Id, String::new());
            assert!(press(&mut view, keys));
            let model = model();
            let got: Vec<&str> = view.rows(&model).iter().map(|row| &row.name[7..]).collect();
            assert_eq!(got, want, "{keys:?}");
        };
        use KeyCode::{Char, Enter, Esc, Left, Right};
        check(&[], &["a", "b", "c"]);
        check(&[Char('r')], &["c", "b", "a"]);
        check(&[Right], &["b", "c", "a"]);
        check(&[Right, Right], &["a", "b", "c"]);
        check(&[Left, Left], &["b", "a", "c"]);
        check(&[Char('/'), Char('q'), Enter], &[]);
        check(&[Char('/'), Char('F'), Char('a'), Enter], &["b"]);
        check(&[Char('/'), Char('q'), Esc], &["a", "b", "c"]);
    }

    #[test]
    fn keys_end_it() {
        assert!(!press(
            &mut View::new(Sort::Id, String::new()),
            &[KeyCode::Char('q')]
        ));
        let mut view = View::new(Sort::Id, String::new());
        assert!(!view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn a_frame_fits_the_screen_and_follows_the_chosen_row() {
        let mut view = View::new(Sort::Id, String::new());
        let mut frame = |keys: &[KeyCode], size: (usize, usize)| {
            press(&mut view, keys);
            view.frame(&model(), 10_000_000_000, size, Style::plain())
        };
        let lines = frame(&[], (40, 6));
        assert_eq!(lines.len(), 6);
        assert!(
            lines.iter().all(|line| line.chars().count() <= 40),
            "{lines:?}"
        );
        assert!(lines[3].starts_with("inputs/a"), "{lines:?}");
        let lines = frame(&[KeyCode::Down], (80, 6));
        assert!(lines[3].starts_with("inputs/b"), "{lines:?}");
        assert_eq!(lines[4], "inputs/b  no route");
        let lines = frame(&[KeyCode::End], (80, 30));
        assert!(
            lines[3].starts_with("inputs/a") && lines[28].starts_with("inputs/c"),
            "{lines:?}"
        );
        assert_eq!(frame(&[], (5, 0)).len(), 0);
    }
}
