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
const TICK: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Debug)]
pub(super) enum Show {
    /// A table that is redrawn; the terminal is taken with the first frame.
    Table(Option<Screen>),
    /// A line for each instance that has changed, with what was printed of it last.
    Lines(HashMap<Arc<str>, String>),
    /// A document a line for each instance that has changed.
    Json,
}

/// Shows what the checks find until somebody ends it: Ctrl-C, SIGTERM, `q` in the table. Returns
/// what is known then.
pub(super) async fn watch(board: &Board, mut show: Show) -> Result<Vec<Document>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("listen to signals: {error}"));
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
        if json {
            Self::Json
        } else if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            Self::Table(None)
        } else {
            Self::Lines(HashMap::new())
        }
    }

    fn changed(&mut self, board: &Board, mut ids: Vec<Arc<str>>) -> Result<(), Failure> {
        ids.sort();
        let mut text = String::new();
        for slot in ids.iter().filter_map(|id| board.get(id)) {
            let status = slot.status();
            if status.checked.is_none() {
                continue;
            }
            let document = Document::new(slot.instance(), &status, &Default::default());
            match self {
                Self::Json => {
                    text.push_str(&serde_json::to_string(&document).map_err(Failure::failed)?);
                    text.push('\n');
                }
                Self::Lines(last) => {
                    let line = words(&document);
                    if last.get(slot.id()) != Some(&line) {
                        text.push_str(&format!("{} {line}\n", clock(Timestamp::now().nanos())));
                        last.insert(Arc::clone(slot.id()), line);
                    }
                }
                Self::Table(_) => return self.draw(board),
            }
        }
        if text.is_empty() {
            Ok(())
        } else {
            print(&text)
        }
    }

    /// Time has passed; false if the user ends it.
    fn look(&mut self, board: &Board) -> Result<bool, Failure> {
        if let Self::Table(Some(screen)) = self {
            while event::poll(Duration::ZERO).map_err(terminal)? {
                match event::read().map_err(terminal)? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        let control = key.modifiers.contains(KeyModifiers::CONTROL);
                        if key.code == KeyCode::Char('q')
                            || (control && key.code == KeyCode::Char('c'))
                        {
                            return Ok(false);
                        }
                    }
                    Event::Resize(..) => screen.forget(),
                    _ => {}
                }
            }
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

fn terminal(error: std::io::Error) -> Failure {
    Failure::failed(format!("use the terminal: {error}"))
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
