//! A file's text, as it may be shown.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A configuration text with its name, and the places in it that must not be shown.
pub struct SourceText {
    name: String,
    text: String,
    /// Byte ranges of secrets, ascending, apart from each other.
    secrets: Vec<Range<usize>>,
    /// The byte after each newline.
    lines: Vec<usize>,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceText")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What stands for a secret.
const MASK: &str = "***";

impl SourceText {
    /// A text; `secrets` are the byte ranges that must not be shown.
    pub(crate) fn new(name: String, text: String, mut secrets: Vec<Range<usize>>) -> Self {
        secrets.retain(|range| range.start < range.end && text.get(range.clone()).is_some());
        secrets.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in secrets {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        let lines = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self {
            name,
            text,
            secrets: apart,
            lines,
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub fn position(&self, byte: usize) -> (u32, u32) {
        let before = floor(&self.text, byte);
        let line = self.lines.partition_point(|start| *start <= before.len());
        let start = line
            .checked_sub(1)
            .and_then(|at| self.lines.get(at))
            .copied()
            .unwrap_or(0);
        let column = before[start..].chars().count() + 1;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (narrow(line + 1), narrow(column))
    }

    /// The lines around a range as they may be shown, the number of the first of them, and where
    /// the range lies in them.
    pub(crate) fn excerpt(&self, span: &Range<usize>) -> (String, u32, Range<usize>) {
        let start = floor(&self.text, span.start).len();
        let end = floor(&self.text, span.end.max(start)).len();
        let first = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        // A range over several lines is shown by its first.
        let last = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let mut pieces = Vec::new();
        let mut at = first;
        for secret in self
            .secrets
            .iter()
            .filter(|s| s.start < last && s.end > first)
        {
            pieces.push((at..secret.start.max(at), false));
            at = secret.end.min(last);
            pieces.push((secret.start.max(first)..at, true));
        }
        pieces.push((at..last, false));
        let (mut shown, mut from, mut to) = (String::new(), 0, 0);
        for (piece, hidden) in pieces {
            let here = shown.len();
            shown.push_str(if hidden {
                MASK
            } else {
                &self.text[piece.clone()]
            });
            // A range that begins or ends within a secret takes in all of its mask.
            let place = |byte: usize, within: usize| match byte {
                byte if byte <= piece.start => here,
                byte if byte >= piece.end => shown.len(),
                _ if hidden => within,
                byte => here + byte - piece.start,
            };
            if start >= piece.start {
                from = place(start, here);
            }
            if end > piece.start {
                to = place(end, shown.len());
            }
        }
        let shown_line = shown.trim_end_matches('\r').to_owned();
        let from = floor(&shown_line, from).len();
        let to = floor(&shown_line, to).len().max(from);
        let (line, _) = self.position(start);
        (shown_line, line, from..to)
    }
}

/// The text up to a byte, or up to the character that the byte lies in.
fn floor(text: &str, byte: usize) -> &str {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    &text[..byte]
}

/// A range of a configuration text.
#[derive(Clone, Debug)]
pub struct Place {
    /// The text.
    pub source: Arc<SourceText>,
    /// The bytes in it.
    pub span: Range<usize>,
}

impl Place {
    /// The line, from 1.
    pub fn line(&self) -> u32 {
        self.source.position(self.span.start).0
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> u32 {
        self.source.position(self.span.start).1
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line(), self.column())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_the_line_without_its_secrets() {
        let check = |text: &str, secret: &str, marked: &str, want: &str| {
            let range = |part: &str| text.find(part).map_or(0..0, |at| at..at + part.len());
            let source = SourceText::new("x".into(), text.into(), vec![range(secret)]);
            let (shown, line, span) = source.excerpt(&range(marked));
            assert_eq!(format!("{line}|{shown}|{}", &shown[span]), want);
        };
        check(
            "a = 1\nkey = \"s3cret\" # x\n",
            "s3cret",
            "key",
            "2|key = \"***\" # x|key",
        );
        check(
            "key = \"s3cret\"\r\n",
            "s3cret",
            "\"s3cret\"",
            "1|key = \"***\"|\"***\"",
        );
        check(
            "key = \"s3cret\" # x",
            "s3cret",
            "s3cret",
            "1|key = \"***\" # x|***",
        );
        check(
            "key = \"s3cret\" # x",
            "s3cret",
            "cre",
            "1|key = \"***\" # x|***",
        );
        check(
            "key = \"s3cret\" # x",
            "s3cret",
            "# x",
            "1|key = \"***\" # x|# x",
        );
        check("k = '''a\nb'''\nc = 1", "a\nb", "k", "1|k = '''***|k");
        check("k = '''a\nb'''\nc = 1", "a\nb", "b'", "2|***'''|***'");
        check("a = 1", "", "a = 1", "1|a = 1|a = 1");
        check("", "", "", "1||");
    }

    proptest! {
        #[test]
        fn never_panics_and_never_tells(
            before in "[ab\n]{0,8}", after in "[ab\n]{0,8}", secret in "[XYZ\n]{1,6}", a in 0usize..24, b in 0usize..24,
        ) {
            let text = format!("{before}{secret}{after}");
            let hidden = before.len()..before.len() + secret.len();
            let source = SourceText::new("x".into(), text, vec![hidden]);
            let (shown, _, span) = source.excerpt(&(a..b));
            prop_assert!(!shown.contains(['X', 'Y', 'Z']), "{}", shown);
            prop_assert!(shown.get(span).is_some());
        }
    }
}
