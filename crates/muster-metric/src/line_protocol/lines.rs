//! Where lines end, whether they are good or bad.
//!
//! A newline ends a line unless it lies inside a quoted string, and only field values are quoted.
//! The rule is the same for streams and for recovery after a fault, so that cutting a stream
//! into pieces never changes what is read from it.

use memchr::{memchr, memchr2, memrchr};

use super::parse::DEFAULT_MAX_LINE_BYTES;
use super::scan::is_space;

/// How many leading bytes of `buffer` are whole lines, with the default line limit; see
/// [`Parser::complete_len`](super::Parser::complete_len).
pub fn complete_len(buffer: &[u8]) -> usize {
    complete_len_within(buffer, DEFAULT_MAX_LINE_BYTES)
}

pub(super) fn complete_len_within(buffer: &[u8], max_line_bytes: usize) -> usize {
    let mut done = 0;
    while let Some(quote) = memchr(b'"', &buffer[done..]) {
        // The lines before the one with the quote end where their newlines are.
        let quote = done + quote;
        let start = memrchr(b'\n', &buffer[done..quote]).map_or(done, |newline| done + newline + 1);
        match line_end(buffer, start, max_line_bytes) {
            End::Known(end) => done = end,
            End::Open { .. } => return start,
        }
    }
    memrchr(b'\n', &buffer[done..]).map_or(done, |newline| done + newline + 1)
}

/// Where a line ends.
pub(super) enum End {
    /// After its newline.
    Known(usize),
    /// Not known yet; if no more input comes, here.
    Open { last: usize },
}

/// Where the line that begins at `start` ends, its newline included.
///
/// A string whose quote is not closed within `max_line_bytes` of the line's start, or that spans
/// newlines and is followed by something that cannot follow a field, was never meant to be one:
/// the line ends at the first newline after the opening quote.
pub(super) fn line_end(input: &[u8], start: usize, max_line_bytes: usize) -> End {
    let open = End::Open { last: input.len() };
    let Some(newline) = memchr(b'\n', &input[start..]) else {
        return open;
    };
    let mut newline = start + newline;
    let Some(fields) = fields_start(&input[start..newline]) else {
        return End::Known(newline + 1);
    };
    let mut at = start + fields;
    while let Some(quote) = memchr(b'"', &input[at..newline]) {
        let quote = at + quote;
        at = quote + 1;
        let opens = input[..quote].ends_with(b"=") && !input[..quote].ends_with(b"\\=");
        if !opens {
            continue;
        }
        let limit = input.len().min(start.saturating_add(max_line_bytes));
        match string_end(input, quote + 1, limit) {
            Some(end) => at = end + 1,
            None if limit < input.len() => break,
            None => return End::Open { last: newline + 1 },
        }
        if at > newline {
            match input.get(at) {
                Some(&byte) if is_space(byte) || matches!(byte, b',' | b'\n' | b'\r') => {}
                None => return open,
                Some(_) => break,
            }
            let Some(next) = memchr(b'\n', &input[at..]) else {
                return open;
            };
            newline = at + next;
        }
    }
    End::Known(newline + 1)
}

/// Where the fields begin: after the first whitespace that is neither escaped nor at the start.
/// `None` for comments and for lines without fields.
fn fields_start(line: &[u8]) -> Option<usize> {
    let mut at = line.iter().position(|&byte| !is_space(byte))?;
    if line[at] == b'#' {
        return None;
    }
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\t' | 0x0c => return Some(at),
            b'\\' if line.get(at + 1).copied().is_some_and(is_escapable) => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Whether a backslash takes this byte with it. The second of two backslashes is looked at again,
/// and nothing escapes tabs and line ends.
pub(super) fn is_escapable(byte: u8) -> bool {
    !matches!(byte, b'\\' | b'\t' | 0x0c | b'\n' | b'\r')
}

/// The position of the quote that closes a string whose text begins at `from`.
#[inline]
pub(super) fn string_end(input: &[u8], from: usize, limit: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = input.get(at..limit)?;
        at += memchr2(b'"', b'\\', rest)?;
        if input[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newlines_end_lines_unless_quoted() {
        let check = |whole: &str, rest: &str| {
            let buffer = format!("{whole}{rest}");
            assert_eq!(complete_len(buffer.as_bytes()), whole.len(), "{buffer:?}");
        };
        check("", "");
        check("", "cpu a=1");
        check("cpu a=1\n", "");
        check("cpu a=1\r\n\n", "cpu");
        check("cpu a=\"x\"\n", "cpu a=\"x\"");
        check("", "cpu a=\"x\ny");
        check("", "cpu a=\"x\ny\"");
        check("", "cpu a=\"x\\\"\ny");
        check("cpu a=\"x\ny\",b=\"z\n\n\"\n", "cpu");
        check("# it's \"quoted=\"\n", "cpu");
        check("cpu,a=\"b\n", "");
        check("cpu,a=\"b c=1\n", "");
        check("cpu\\ x,a=\"b\n", "");
        check("cpu a\\=\"b\n", "");
        check("cpu \"a\n", "");
        // The quote of the first line is never closed: the next line has its own.
        check("cpu a=\"x\ncpu b=\"y\"\n", "cpu c=\"");
    }

    #[test]
    fn strings_longer_than_the_limit_are_no_strings() {
        let long = format!("cpu a=\"{}\nmem", "x".repeat(50));
        assert_eq!(complete_len_within(long.as_bytes(), 40), long.len() - 3);
        assert_eq!(complete_len_within(long.as_bytes(), 100), 0);
    }
}
