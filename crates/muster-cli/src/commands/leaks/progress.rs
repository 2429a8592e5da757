//! How far the watching is, on the standard error output.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::watching::Seen;
use crate::text::plural;

/// How far the watching is. On a terminal one line that is written over; else one at the start.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    within: Option<Duration>,
    terminal: bool,
    shown: bool,
}

impl Progress {
    pub(super) fn new(within: Option<Duration>) -> Self {
        Self {
            began: Instant::now(),
            within,
            terminal: std::io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// Shows it.
    pub(super) fn show(&mut self, seen: &[Seen]) {
        let samples: u64 = seen.iter().map(|seen| seen.verdict.samples).sum();
        let suspects: usize = seen.iter().map(|seen| seen.verdict.suspects.len()).sum();
        let failing = seen.iter().filter(|seen| seen.error.is_some()).count();
        let duration = |d: Duration| muster_options::Duration::from_secs(d.as_secs());
        let mut text = match self.within {
            Some(within) => format!("{} of {}", duration(self.began.elapsed()), duration(within)),
            None => duration(self.began.elapsed()).to_string(),
        };
        let (targets, samples) = (
            plural(seen.len(), "target"),
            plural(samples as usize, "sample"),
        );
        text.push_str(&format!(
            ": {targets}, {samples}, {}",
            plural(suspects, "suspect")
        ));
        if failing > 0 {
            text.push_str(&format!(", {failing} failing"));
        }
        if self.terminal {
            eprint!("\r\x1b[Kwatching for {text}; Ctrl-C ends it and shows what is known");
        } else if !self.shown {
            eprintln!("muster: watching for {text}");
        }
        self.shown = true;
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if self.terminal && self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
