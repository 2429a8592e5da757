//! The terminal: drawn without flicker, and given back as it was.

use std::io::{self, Stdout, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};

/// The terminal's other screen. The first one comes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
    /// What each line shows.
    shown: Vec<String>,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let mut screen = Self {
            out: io::stdout(),
            shown: Vec::new(),
        };
        execute!(
            screen.out,
            EnterAlternateScreen,
            DisableLineWrap,
            Hide,
            Clear(ClearType::All)
        )?;
        Ok(screen)
    }

    /// Forgets what is shown: the next frame is drawn whole.
    pub(crate) fn forget(&mut self) {
        self.shown.clear();
    }

    /// Draws a frame; only lines that differ from what is shown are written.
    pub(crate) fn draw(
        &mut self,
        frame: impl FnOnce((usize, usize)) -> Vec<String>,
    ) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        // The last column stays free: to clear behind it would clear it.
        let lines = frame((usize::from(width).saturating_sub(1), usize::from(height)));
        if lines == self.shown {
            return Ok(());
        }
        queue!(self.out, BeginSynchronizedUpdate)?;
        if self.shown.is_empty() {
            queue!(self.out, Clear(ClearType::All))?;
        }
        for (row, line) in (0..height).zip(&lines) {
            if self.shown.get(usize::from(row)) != Some(line) {
                queue!(
                    self.out,
                    MoveTo(0, row),
                    Print(line),
                    Clear(ClearType::UntilNewLine)
                )?;
            }
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.shown = lines;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done if the terminal is gone.
        let _ = execute!(self.out, EnableLineWrap, Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
