//! What is shown while targets are watched.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use muster_leaks::{Status, Suspect};

use super::progress::Progress;
use super::watching::{Board, Seen};
use crate::Failure;
use crate::commands::top::screen::Screen;
use crate::text::{Cell, Line, Style, Table, Tone, count, plural, print, printable};

/// What is shown while targets are watched.
#[derive(Debug)]
pub(super) enum Show {
    /// A table that is redrawn; the terminal is taken with the first frame.
    Table(Option<Screen>),
    /// A line for each sample, and one for each new suspect.
    Lines(Lines),
    /// How far it is.
    Progress(Progress),
}

/// What was printed.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Attempts of each target.
    attempts: Vec<u64>,
    suspects: HashSet<String>,
}

impl Show {
    /// A table on a terminal, lines elsewhere.
    pub(super) fn live() -> Self {
        if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            Self::Table(None)
        } else {
            Self::Lines(Lines::default())
        }
    }

    /// How far it is.
    pub(super) fn progress(within: Option<Duration>) -> Self {
        Self::Progress(Progress::new(within))
    }

    /// How often to look for keys, or at the clock.
    pub(super) fn tick(&self) -> Duration {
        match self {
            Self::Table(_) => Duration::from_millis(40),
            Self::Lines(_) | Self::Progress(_) => Duration::from_secs(1),
        }
    }

    /// Something is known anew.
    pub(super) fn changed(&mut self, board: &Board) -> Result<(), Failure> {
        board.look(|seen| match self {
            Self::Table(screen) => draw(screen, seen),
            Self::Lines(lines) => lines.print(seen),
            Self::Progress(progress) => {
                progress.show(seen);
                Ok(())
            }
        })
    }

    /// Time has passed; false if the user ends it.
    pub(super) fn look(&mut self, board: &Board) -> Result<bool, Failure> {
        match self {
            Self::Table(Some(screen)) => {
                let failed =
                    |error| Failure::failed(format!("failed to use the terminal: {error}"));
                while event::poll(Duration::ZERO).map_err(failed)? {
                    match event::read().map_err(failed)? {
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
                self.changed(board)?;
            }
            Self::Progress(_) => self.changed(board)?,
            Self::Table(None) | Self::Lines(_) => {}
        }
        Ok(true)
    }

    /// Gives the terminal back.
    pub(super) fn end(self) {
        if let Self::Progress(progress) = self {
            progress.end();
        }
    }
}

fn draw(screen: &mut Option<Screen>, seen: &[Seen]) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("failed to use the terminal: {error}"));
    if screen.is_none() {
        *screen = Some(Screen::open().map_err(failed)?);
    }
    match screen {
        Some(screen) => screen
            .draw(|size| frame(seen, size, Style::stdout()))
            .map_err(failed),
        None => Ok(()),
    }
}

fn tone(status: Status) -> Tone {
    match status {
        Status::Clean => Tone::Good,
        Status::Suspects => Tone::Warn,
        Status::Confirmed => Tone::Bad,
    }
}

/// The frame: the targets, what is suspected, what to look at.
fn frame(seen: &[Seen], (width, height): (usize, usize), style: Style) -> Vec<String> {
    let mut targets = Table::new(&["TARGET", "STATUS", ">GOROUTINES", ">SAMPLES", "LAST ERROR"]);
    for seen in seen {
        let verdict = &seen.verdict;
        let error = seen.error.as_deref().map(printable).unwrap_or_default();
        targets.row(vec![
            printable(&seen.target).into(),
            match verdict.samples {
                0 => Cell::toned("not reached", Tone::Bad),
                _ => Cell::toned(verdict.status.as_str(), tone(verdict.status)),
            },
            count(verdict.goroutines).into(),
            verdict.samples.to_string().into(),
            Cell::toned(error.replace('\n', " "), Tone::Bad),
        ]);
    }
    let mut suspects = Table::new(&[
        ">COUNT",
        ">PER HOUR",
        "EVIDENCE",
        "WAITS FOR",
        "BLOCKS AT",
        "STARTED AT",
        "TARGET",
    ]);
    let mut all: Vec<(&Seen, &Suspect)> = seen
        .iter()
        .flat_map(|seen| {
            seen.verdict
                .suspects
                .iter()
                .map(move |suspect| (seen, suspect))
        })
        .collect();
    all.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    for (seen, suspect) in &all {
        let started = suspect.started_at.as_ref();
        let started = started.map_or_else(|| "-".to_owned(), |at| printable(&at.to_string()));
        suspects.row(vec![
            count(suspect.count).into(),
            format!("{:+.0}", suspect.per_hour).into(),
            suspect.evidence.as_str().into(),
            suspect.class.into(),
            Cell::toned(printable(&suspect.blocks_at.to_string()), Tone::Strong),
            started.into(),
            printable(&seen.target).into(),
        ]);
    }
    let mut lines = targets.lines();
    lines.push(Line::of("", Tone::Plain));
    if all.is_empty() {
        lines.push(Line::of("nothing is suspected", Tone::Dim));
    } else {
        lines.extend(suspects.lines());
    }
    lines.truncate(height.saturating_sub(2));
    lines.push(Line::of("", Tone::Plain));
    lines.push(Line::of(
        "q or Ctrl-C ends it and prints the report",
        Tone::Dim,
    ));
    lines.iter().map(|line| line.render(style, width)).collect()
}

impl Lines {
    fn print(&mut self, seen: &[Seen]) -> Result<(), Failure> {
        self.attempts.resize(seen.len(), 0);
        let mut text = String::new();
        for (seen, printed) in seen.iter().zip(&mut self.attempts) {
            if seen.attempts == *printed {
                continue;
            }
            *printed = seen.attempts;
            let target = printable(&seen.target);
            if let Some(error) = &seen.error {
                eprintln!("muster: failed to {}", printable(error));
            }
            let Some((at, goroutines)) = seen.total.last() else {
                continue;
            };
            let (status, suspects) = (seen.verdict.status, seen.verdict.suspects.len());
            let suspects = plural(suspects, "suspect");
            text.push_str(&format!(
                "{at:.0} {target} {status}: {goroutines} goroutines, {suspects}\n"
            ));
            for suspect in &seen.verdict.suspects {
                let line = one_line(suspect);
                if self.suspects.insert(format!(
                    "{target} {:?} {}",
                    suspect.evidence, suspect.blocks_at
                )) {
                    text.push_str(&format!("{at:.0} {target} suspect: {}\n", printable(&line)));
                }
            }
        }
        print(&text)
    }
}

fn one_line(suspect: &Suspect) -> String {
    let Suspect {
        class,
        blocks_at,
        count,
        per_hour,
        evidence,
        ..
    } = suspect;
    let mut line = format!("{class} at {blocks_at}, {count} ({per_hour:+.0} per hour), {evidence}");
    if let Some(at) = &suspect.started_at {
        line.push_str(&format!(", started at {at}"));
    }
    line
}
