//! Colours, where they are wanted.

use std::io::IsTerminal;

/// What a text is about; it decides the colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Bad,
    /// Not important.
    Dim,
    /// A heading.
    Strong,
}

/// Whether and how to colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colored: bool,
}

impl Style {
    /// For the standard output: colours on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colored: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colored: false }
    }

    /// The text in its colour.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.colored => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The colour of a component's state.
pub(crate) fn state_tone(state: &str) -> Tone {
    match state {
        "running" => Tone::Good,
        "starting" | "stopping" | "backing-off" => Tone::Warn,
        "failing" | "quarantined" => Tone::Bad,
        "paused" | "stopped" => Tone::Dim,
        _ => Tone::Plain,
    }
}
