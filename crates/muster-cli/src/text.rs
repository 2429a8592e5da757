//! What people see: colours, aligned tables, numbers and times in few characters.

mod style;
mod table;
mod units;

pub(crate) use style::{Style, Tone, state_tone};
pub(crate) use table::{Cell, Line, Table};
pub(crate) use units::{ago, bytes, clock, count, duration, plural, rate};

use crate::Failure;

/// Writes to the standard output. Nobody reads on: that is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "failed to write the answer: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Text from elsewhere without what would move the cursor or change colours.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
