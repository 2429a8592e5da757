//! What is shown while the checks run.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use muster_metric::Timestamp;
use muster_sentinel::{Board, Document, Interest, Reason, State};
use tokio::signal::unix::{SignalKind, signal};

use super::documents;
use crate::commands::top::screen::Screen;
use crate::text::{Line, Style, Tone, clock, plural, print, printable};
use crate::{Failure, instances};

/// How often the table is drawn and keys are looked for.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Debug)]
pub(super) enum Show {
    /// A table that is redrawn; the terminal is taken with the first frame.
    Table(Option<Screen>),
    /// A line for each instance that has changed.
    Lines(Lines),
}

/// What is printed where there is no terminal: a line, or a document, for each instance that has
/// changed.
#[derive(Debug)]
pub(super) struct Lines {
    json: bool,
    /// What was printed of each last.
    last: HashMap<String, String>,
}

impl Lines {
    pub(super) fn new(json: bool) -> Self {
        let last = HashMap::new();
        Self { json, last }
    }

    /// Prints those of these instances, each with its ID, of which something else is to be said than
    /// was said last.
    pub(super) fn print<'d>(
        &mut self,
        documents: impl IntoIterator<Item = (&'d str, &'d Document)>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for (id, document) in documents {
            let line = words(document);
            if self.last.get(id) == Some(&line) {
                continue;
            }
            if self.json {
                text.push_str(&serde_json::to_string(document).map_err(Failure::failed)?);
                text.push('\n');
            } else {
                text.push_str(&format!("{} {line}\n", clock(Timestamp::now().nanos())));
            }
            self.last.insert(id.to_owned(), line);
        }
        if text.is_empty() {
            Ok(())
        } else {
            print(&text)
        }
    }
}

/// Shows what the checks find until somebody ends it: Ctrl-C, SIGTERM, `q` in the table. Returns
/// what is known then.
pub(super) async fn watch(board: &Board, mut show: Show) -> Result<Vec<Document>, Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("failed to listen to signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let changes = board.subscribe(Interest::Changes);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            changed = changes.changed() => show.changed(board, changed)?,
            () = tokio::time::sleep(TICK) => {
                if !show.look(board)? {
                    break;
                }
            }
        }
    }
    Ok(documents(board))
}

impl Show {
    /// JSON for programs, a table on a terminal, lines elsewhere.
    pub(super) fn new(json: bool) -> Self {
        if !json && std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            Self::Table(None)
        } else {
            Self::Lines(Lines::new(json))
        }
    }

    fn changed(&mut self, board: &Board, mut ids: Vec<Arc<str>>) -> Result<(), Failure> {
        let Self::Lines(lines) = self else {
            return self.draw(board);
        };
        ids.sort();
        let checked = ids.iter().filter_map(|id| {
            let slot = board.get(id)?;
            let status = slot.status();
            let document = Document::new(&slot.instance(), &status, &Default::default());
            status.checked.map(|_| (id, document))
        });
        let checked: Vec<_> = checked.collect();
        lines.print(checked.iter().map(|(id, document)| (&***id, document)))
    }

    /// Time has passed; false if the user ends it.
    fn look(&mut self, board: &Board) -> Result<bool, Failure> {
        if let Self::Table(Some(screen)) = self
            && is_ended(screen)?
        {
            return Ok(false);
        }
        self.draw(board)?;
        Ok(true)
    }

    fn draw(&mut self, board: &Board) -> Result<(), Failure> {
        let Self::Table(screen) = self else {
            return Ok(());
        };
        if screen.is_none() {
            *screen = Some(Screen::open().map_err(terminal)?);
        }
        match screen {
            Some(screen) => screen
                .draw(|size| frame(&documents(board), size, Style::stdout()))
                .map_err(terminal),
            None => Ok(()),
        }
    }
}

/// Whether the user has ended it by a key.
pub(crate) fn is_ended(screen: &mut Screen) -> Result<bool, Failure> {
    while event::poll(Duration::ZERO).map_err(terminal)? {
        match event::read().map_err(terminal)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                if key.code == KeyCode::Char('q') || (control && key.code == KeyCode::Char('c')) {
                    return Ok(true);
                }
            }
            Event::Resize(..) => screen.forget(),
            _ => {}
        }
    }
    Ok(false)
}

pub(crate) fn terminal(error: std::io::Error) -> Failure {
    Failure::failed(format!("failed to use the terminal: {error}"))
}

fn frame(all: &[Document], (width, height): (usize, usize), style: Style) -> Vec<String> {
    let mut lines = instances::table(all, Timestamp::now().nanos()).lines();
    let hidden = lines.len().saturating_sub(height.saturating_sub(3));
    lines.truncate(lines.len() - hidden);
    lines.push(Line::of("", Tone::Plain));
    let count = |state: State| all.iter().filter(|d| d.state == state).count();
    let (up, down) = (count(State::Up), count(State::Down));
    let tone = match (up == all.len(), down) {
        (true, _) => Tone::Good,
        (false, 0) => Tone::Warn,
        (false, _) => Tone::Bad,
    };
    let summary = format!("{}: {up} up, {down} down", plural(all.len(), "instance"));
    lines.push(Line::of(summary, tone));
    let hint = match hidden {
        0 => "q or Ctrl-C ends it".to_owned(),
        hidden => format!("{hidden} more than fit; q or Ctrl-C ends it"),
    };
    lines.push(Line::of(hint, Tone::Dim));
    lines.iter().map(|line| line.render(style, width)).collect()
}

/// What is known of an instance, in a line.
fn words(document: &Document) -> String {
    let mut line = format!("{} is {}", instances::place(document), document.state);
    for (so, word) in [(document.suspect, "suspect"), (document.rising, "rising")] {
        if so {
            line.push_str(&format!(", {word}"));
        }
    }
    if document.reason != Reason::Ok {
        line.push_str(&format!(": {}", document.reason));
    }
    if let Some(detail) = &document.detail {
        line.push_str(&format!(" ({})", printable(detail)));
    }
    line
}
