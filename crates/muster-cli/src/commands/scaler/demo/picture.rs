//! What a demonstration shows: a screen that is drawn anew, or a line for what has changed.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::time::Duration;

use muster_scaler::Status;
use muster_scaler_core::{ServerName, ServerState};

use super::stage::Stage;
use crate::Failure;
use crate::commands::scaler::servers;
use crate::commands::sentinel::live::{is_ended, terminal};
use crate::commands::top::screen::Screen;
use crate::text::{Line, Style, Tone, plural, print};

/// So many past figures are drawn.
const PAST: usize = 120;
/// So many of the last events are shown.
const EVENTS: usize = 8;

/// How it is shown.
#[derive(Debug)]
pub(super) struct Picture {
    show: Show,
    known: BTreeMap<ServerName, ServerState>,
    waiting: VecDeque<usize>,
    slots: VecDeque<usize>,
    events: VecDeque<String>,
}

#[derive(Debug)]
enum Show {
    Nothing,
    Lines,
    Screen(Option<Screen>),
}

impl Picture {
    /// Nothing for programs, a screen on a terminal, lines elsewhere.
    pub(super) fn new(json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        let show = match (json, is_terminal) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Screen(None),
            (false, false) => Show::Lines,
        };
        Self {
            show,
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            slots: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Shows how it stands; false if the user ends it.
    pub(super) fn draw(
        &mut self,
        stage: &Stage,
        status: &Status,
        elapsed: Duration,
    ) -> Result<bool, Failure> {
        let news = self.news(status, elapsed);
        let screen = match &mut self.show {
            Show::Nothing => return Ok(true),
            Show::Lines => {
                if !news.is_empty() {
                    print(&(news.join("\n") + "\n"))?;
                }
                return Ok(true);
            }
            Show::Screen(screen) => screen,
        };
        for line in news {
            keep(&mut self.events, line, EVENTS);
        }
        let counts = stage.gitlab.counts();
        let joined = |s: &&ServerState| **s == ServerState::Joined;
        let slots = stage.permanent_slots()
            + self.known.values().filter(joined).count() * stage.server_slots();
        keep(&mut self.waiting, counts.pending, PAST);
        keep(&mut self.slots, slots, PAST);
        if screen.is_none() {
            *screen = Some(Screen::open().map_err(terminal)?);
        }
        let Some(screen) = screen else {
            return Ok(true);
        };
        if is_ended(screen)? {
            return Ok(false);
        }
        let mut lines = vec![
            Line::of(
                format!(
                    "{:5.0} s   a GitLab, its runners, Prometheus and the scaler, all on this machine",
                    elapsed.as_secs_f64()
                ),
                Tone::Strong,
            ),
            Line::of("", Tone::Plain),
            Line::of(
                format!(
                    "jobs      {} wait, {} run, {} done, {} killed",
                    counts.pending, counts.running, counts.succeeded, counts.killed
                ),
                if counts.killed == 0 {
                    Tone::Plain
                } else {
                    Tone::Bad
                },
            ),
            Line::of(format!("waiting   {}", bars(&self.waiting)), Tone::Warn),
            Line::of(
                format!("slots     {} {slots}", bars(&self.slots)),
                Tone::Good,
            ),
            Line::of("", Tone::Plain),
        ];
        lines.extend(servers::table(status).lines());
        lines.push(Line::of("", Tone::Plain));
        lines.extend(
            self.events
                .iter()
                .map(|event| Line::of(event.clone(), Tone::Dim)),
        );
        lines.push(Line::of("", Tone::Plain));
        lines.push(Line::of("q or Ctrl-C ends it", Tone::Dim));
        let style = Style::stdout();
        let frame = |(width, height): (usize, usize)| {
            let shown = lines.iter().take(height);
            shown.map(|line| line.render(style, width)).collect()
        };
        screen.draw(frame).map_err(terminal)?;
        Ok(true)
    }

    /// What has become of the servers since the last look, a line each.
    fn news(&mut self, status: &Status, elapsed: Duration) -> Vec<String> {
        let now: BTreeMap<ServerName, ServerState> = status
            .ledger
            .servers
            .values()
            .map(|server| (server.name.clone(), server.state))
            .collect();
        let at = elapsed.as_secs_f64();
        let mut news = Vec::new();
        for (name, state) in &now {
            if self.known.get(name) != Some(state) {
                news.push(format!("{at:6.1} s  {name} is {state}"));
            }
        }
        for name in self.known.keys().filter(|name| !now.contains_key(*name)) {
            news.push(format!(
                "{at:6.1} s  {name} is gone; {} left",
                plural(now.len(), "server")
            ));
        }
        self.known = now;
        news
    }
}

fn keep<T>(past: &mut VecDeque<T>, new: T, most: usize) {
    past.push_back(new);
    while past.len() > most {
        past.pop_front();
    }
}

/// Figures as bars of eight heights, the highest filled.
fn bars(figures: &VecDeque<usize>) -> String {
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = figures.iter().copied().max().unwrap_or(0).max(8);
    let height = |figure: &usize| HEIGHTS.get((figure * 8).div_ceil(most)).copied();
    figures.iter().filter_map(height).collect()
}
