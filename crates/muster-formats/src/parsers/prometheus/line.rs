//! One line taken apart.

use std::borrow::Cow;

use super::{Dialect, MAX_LABELS, number};
use crate::format::excerpt;

/// What is wrong, and at which byte of the line.
pub(super) type Bad = (usize, String);

/// A label; the value still has its escapes if it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label<'a> {
    pub(super) key: &'a str,
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Label<'a> {
    pub(super) fn value(&self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// A sample without its labels, which went into a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) value: f64,
    /// In nanoseconds.
    pub(super) time: Option<i64>,
}

/// What a line that begins with `#` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comment<'a> {
    Type {
        family: &'a str,
        kind: &'a str,
    },
    Unit {
        family: &'a str,
        unit: &'a str,
    },
    End,
    /// Help, or nothing of interest.
    Other,
}

/// Reads a line that begins with `#`.
pub(super) fn comment(line: &str) -> Comment<'_> {
    let rest = line[1..].trim_matches([' ', '\t']);
    if rest == "EOF" {
        return Comment::End;
    }
    let mut words = rest.splitn(3, [' ', '\t']);
    let (word, family, rest) = (words.next(), words.next(), words.next());
    let family = family.map(|name| name.trim_matches('"'));
    match (word, family, rest.map(str::trim)) {
        (Some("TYPE"), Some(family), Some(kind)) => Comment::Type { family, kind },
        (Some("UNIT"), Some(family), Some(unit)) => Comment::Unit { family, unit },
        _ => Comment::Other,
    }
}

/// Reads a sample; its labels replace what is in `labels`.
pub(super) fn sample<'a>(
    line: &'a str,
    dialect: Dialect,
    labels: &mut Vec<Label<'a>>,
) -> Result<Sample<'a>, Bad> {
    labels.clear();
    let bytes = line.as_bytes();
    let end = bytes
        .iter()
        .position(|b| !is_name_byte(*b))
        .unwrap_or(bytes.len());
    let mut name = &line[..end];
    if name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return Err((0, format!("{} is no name", excerpt(name))));
    }
    let mut at = skip_space(bytes, end);
    if bytes.get(at) == Some(&b'{') {
        at = self::labels(line, at + 1, &mut name, labels)?;
    } else if at == end {
        return Err((at, "wanted a name and a value".to_owned()));
    }
    if name.is_empty() {
        return Err((0, "wanted a name".to_owned()));
    }
    let (word, after) = word(line, at).ok_or((at, "wanted a value".to_owned()))?;
    let value = number::value(word).ok_or_else(|| {
        (
            after - word.len(),
            format!("{} is no number", excerpt(word)),
        )
    })?;
    let mut time = None;
    let mut rest = skip_space(bytes, after);
    let exemplar = |at: usize| dialect == Dialect::OpenMetrics && bytes.get(at) == Some(&b'#');
    if !exemplar(rest)
        && let Some((word, after)) = self::word(line, rest)
    {
        let nanos = number::time(word, dialect)
            .ok_or_else(|| (rest, format!("{} is no timestamp", excerpt(word))))?;
        time = Some(nanos);
        rest = skip_space(bytes, after);
    }
    if rest < bytes.len() && !exemplar(rest) {
        return Err((rest, format!("did not expect {}", excerpt(&line[rest..]))));
    }
    Ok(Sample { name, value, time })
}

fn is_name_byte(byte: u8) -> bool {
    const NAME: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let b = byte as u8;
            table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
            byte += 1;
        }
        table
    };
    NAME[usize::from(byte)]
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count()
}

/// The word at or after a place, and where it ends.
fn word(line: &str, from: usize) -> Option<(&str, usize)> {
    let start = skip_space(line.as_bytes(), from);
    let rest = line.get(start..).filter(|rest| !rest.is_empty())?;
    let len = memchr::memchr2(b' ', b'\t', rest.as_bytes()).unwrap_or(rest.len());
    Some((&rest[..len], start + len))
}

/// Reads labels up to the closing brace and returns the place after it. A quoted text alone is
/// the sample's name.
fn labels<'a>(
    line: &'a str,
    mut at: usize,
    name: &mut &'a str,
    labels: &mut Vec<Label<'a>>,
) -> Result<usize, Bad> {
    let bytes = line.as_bytes();
    loop {
        at = skip_space(bytes, at);
        let start = at;
        let key = match bytes.get(at) {
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => {
                let (key, escaped, end) = quoted(line, at)?;
                if escaped {
                    return Err((at, "escapes in names are not supported".to_owned()));
                }
                at = end;
                key
            }
            _ => {
                while bytes.get(at).is_some_and(|b| is_name_byte(*b)) {
                    at += 1;
                }
                &line[start..at]
            }
        };
        at = skip_space(bytes, at);
        if bytes.get(at) == Some(&b'=') {
            let is_quoted = bytes[start] == b'"';
            if key.is_empty() || (!is_quoted && key.as_bytes()[0].is_ascii_digit()) {
                return Err((start, format!("{} is no label", excerpt(key))));
            }
            at = skip_space(bytes, at + 1);
            let (raw, escaped, end) = quoted(line, at)?;
            if labels.len() == MAX_LABELS {
                return Err((start, format!("more than {MAX_LABELS} labels")));
            }
            labels.push(Label { key, raw, escaped });
            at = end;
        } else if bytes.get(start) == Some(&b'"') && name.is_empty() && labels.is_empty() {
            *name = key;
        } else {
            return Err((at, "wanted `=` after a label's name, or `}`".to_owned()));
        }
        at = skip_space(bytes, at);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => {}
            _ => return Err((at, "wanted `,` or `}` after a label".to_owned())),
        }
    }
}

/// A text in quotes, whether it has escapes, and the place after it.
fn quoted(line: &str, at: usize) -> Result<(&str, bool, usize), Bad> {
    let bytes = line.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        return Err((at, "wanted a quoted text".to_owned()));
    }
    let start = at + 1;
    let mut end = start;
    let mut escaped = false;
    loop {
        let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[end..]) else {
            return Err((at, "a quote is not closed".to_owned()));
        };
        end += found;
        if bytes[end] == b'"' {
            return Ok((&line[start..end], escaped, end + 1));
        }
        escaped = true;
        end = (end + 2).min(bytes.len());
    }
}

/// `\\`, `\"` and `\n`; before any other character a backslash stands for itself.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some(c @ ('\\' | '"')) => text.push(c),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}
