//! One line: from bytes to a row of the batch.

use super::Fault;
use super::lines::{is_escapable, string_end};
use super::number;
use super::scan::{Scanner, head, is_space, tail};
use crate::batch::{Batch, Field, Row, Run, Tag};
use crate::builder::{sort_tags, unite_fields};
use crate::value::Slot;
use crate::{MetricType, Precision, Text, Timestamp};

/// Up to so many fields each new key is compared with the keys before it; beyond, keys that
/// occur twice are looked for when the line is done, so that no line takes quadratic time.
const FEW_FIELDS: usize = 64;

/// A fault and the byte of the input at which it was noticed.
pub(super) type Bad = (usize, Fault);

/// What a key or value may contain unescaped, and which escapes it knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    Key,
    Value,
}

/// Reads lines of `input`, whose text already lies in the batch from `base` on.
pub(super) struct LineReader<'a> {
    pub(super) input: &'a [u8],
    pub(super) batch: &'a mut Batch,
    pub(super) base: usize,
    pub(super) unit: Precision,
    pub(super) max_line_bytes: usize,
    /// The time of lines without one.
    pub(super) default_time: i64,
    pub(super) scanner: Scanner<'a>,
    /// The place of the input right after all that the scanner has passed, if that is known.
    pub(super) synced: usize,
}

impl LineReader<'_> {
    /// Reads the line whose first byte, no whitespace, is at `at`. Returns where the next one
    /// begins. `start` is where the line began, for the limit of its length.
    #[inline]
    pub(super) fn read(&mut self, start: usize, at: usize) -> Result<usize, Bad> {
        let limit = start.saturating_add(self.max_line_bytes);
        if std::mem::replace(&mut self.synced, usize::MAX) != at {
            self.scanner.seek(at);
        }
        let first_tag = self.batch.tags.len();
        let first_field = self.batch.fields.len();

        let from = at;
        let (name, mut at) = self.token(from, Kind::Name);
        if at == from {
            return Err((from, Fault::Name));
        }
        if self.byte(at) == Some(b',') {
            at = self.tags(at, limit)?;
        }
        let stop = at;
        at = self.past_spaces(stop);
        if at == stop || matches!(self.byte(at), None | Some(b'\n' | b'\r')) {
            return Err((at, Fault::NoFields));
        }
        at = self.fields(at, limit)?;
        let time;
        (time, at) = self.time(at)?;
        if at > limit {
            return Err((limit, Fault::TooLong));
        }

        let run = |start: usize, end: usize| Run {
            start: start as u32,
            len: (end - start) as u32,
        };
        self.batch.rows.push(Row {
            name,
            tags: run(first_tag, self.batch.tags.len()),
            fields: run(first_field, self.batch.fields.len()),
            time,
            kind: MetricType::Untyped,
            dropped: false,
        });
        Ok(at)
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.input.get(at).copied()
    }

    /// From the comma after the name to the end of the last tag.
    #[inline(never)]
    fn tags(&mut self, mut at: usize, limit: usize) -> Result<usize, Bad> {
        let first = self.batch.tags.len();
        let (mut previous, mut sorted) = (0, true);
        while self.byte(at) == Some(b',') {
            let from = at + 1;
            let (key, equals) = self.token(from, Kind::Key);
            if equals == from {
                return Err((from, Fault::TagKey));
            }
            if self.byte(equals) != Some(b'=') {
                return Err((equals, Fault::TagValue));
            }
            let (value, end) = self.token(equals + 1, Kind::Value);
            if end == equals + 1 {
                return Err((end, Fault::TagValue));
            }
            self.batch.tags.push(Tag { key, value });
            // Equal heads may be equal keys: then the whole keys are compared in the end.
            let head = head(self.input, from, equals);
            sorted &= previous < head;
            previous = head;
            at = end;
            if at > limit {
                return Err((limit, Fault::TooLong));
            }
        }
        if self.byte(at) == Some(b'=') {
            return Err((at, Fault::TagValue));
        }
        if !sorted {
            sort_tags(self.batch, first);
        }
        Ok(at)
    }

    /// From the first field's key to the end of the last field.
    #[inline(never)]
    fn fields(&mut self, mut at: usize, limit: usize) -> Result<usize, Bad> {
        let first = self.batch.fields.len();
        // One bit for each key seen, chosen by the key's end.
        let mut seen = 0_u64;
        loop {
            let from = at;
            let (key, equals) = self.token(from, Kind::Key);
            if equals == from {
                return Err((from, Fault::FieldKey));
            }
            if self.byte(equals) != Some(b'=') {
                return Err((equals, Fault::FieldValue));
            }
            let value;
            if self.byte(equals + 1) == Some(b'"') {
                let text;
                (text, at) = self.string(equals + 1)?;
                value = Slot::Text(text);
            } else {
                at = self.scanner.next();
                let from = equals + 1;
                value = match number::field(self.input, from, at) {
                    Some(value) => value,
                    None => return Err((from, number::fault(&self.input[from..at]))),
                };
            }
            let mixed = tail(self.input, from, equals).wrapping_add((equals - from) as u64);
            let bit = 1 << (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58);
            // An escaped key was copied to the end of the text: it may equal one that was not.
            let escaped = key.start as usize != self.base + from;
            if (seen & bit != 0 || (escaped && seen != 0)) && self.replaced(first, key, value) {
                // The known key has the new value.
            } else {
                self.batch.fields.push(Field { key, value });
            }
            seen |= if escaped { u64::MAX } else { bit };
            match self.byte(at) {
                Some(b',') if at < limit => at += 1,
                Some(b',') => return Err((limit, Fault::TooLong)),
                _ => break,
            }
        }
        if self.batch.fields.len() - first > FEW_FIELDS {
            unite_fields(self.batch, first);
        }
        Ok(at)
    }

    /// Gives the field with this key the value, if there is one among the first few fields.
    fn replaced(&mut self, first: usize, key: Text, value: Slot) -> bool {
        let text = self.batch.text.as_bytes();
        let wanted = &text[key.range()];
        let fields = &mut self.batch.fields[first..];
        if fields.len() > FEW_FIELDS {
            return false;
        }
        match fields
            .iter_mut()
            .find(|f| f.key.len == key.len && text[f.key.range()] == *wanted)
        {
            Some(field) => {
                field.value = value;
                true
            }
            None => false,
        }
    }

    /// A quoted string, and where the quotes end.
    #[inline(never)]
    fn string(&mut self, quote: usize) -> Result<(Text, usize), Bad> {
        let from = quote + 1;
        let limit = self
            .input
            .len()
            .min(from.saturating_add(self.max_line_bytes));
        let Some(end) = string_end(self.input, from, limit) else {
            return Err((quote, Fault::OpenString));
        };
        let text = if memchr::memchr(b'\\', &self.input[from..end]).is_none() {
            self.span(from, end)
        } else {
            self.unescape(from, end, |byte| matches!(byte, b'"' | b'\\'), true)
        };
        // What ends the field is passed, as after every other value.
        self.scanner.seek(end + 2);
        Ok((text, end + 1))
    }

    /// A name, key or tag value: its text, and the structural byte that ends it.
    #[inline(always)]
    fn token(&mut self, from: usize, kind: Kind) -> (Text, usize) {
        let end = self.scanner.next();
        let ends = match (kind, self.byte(end)) {
            (Kind::Key, byte) => byte == Some(b'='),
            (_, byte) => matches!(byte, Some(b',' | b' ')),
        };
        if ends {
            (self.span(from, end), end)
        } else {
            self.odd_token(from, end, kind)
        }
    }

    /// A token in which `stop` is the first structural byte, but perhaps not the end.
    #[cold]
    #[inline(never)]
    fn odd_token(&mut self, from: usize, stop: usize, kind: Kind) -> (Text, usize) {
        let (mut at, mut escaped) = (stop, false);
        loop {
            match self.byte(at) {
                None | Some(b',' | b' ' | b'\t' | 0x0c | b'\n' | b'\r') => break,
                Some(b'=') if kind != Kind::Name => break,
                Some(b'\\') if self.byte(at + 1).is_some_and(is_escapable) => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
            }
            self.scanner.seek(at);
            at = self.scanner.next();
        }
        let text = match kind {
            _ if !escaped => self.span(from, at),
            Kind::Name => self.unescape(from, at, |byte| matches!(byte, b',' | b' '), false),
            Kind::Key | Kind::Value => {
                let escapes = |byte| matches!(byte, b',' | b'=' | b' ' | b'"');
                self.unescape(from, at, escapes, false)
            }
        };
        (text, at)
    }

    /// The input's bytes as text of the batch.
    #[inline]
    fn span(&self, from: usize, end: usize) -> Text {
        Text {
            start: (self.base + from) as u32,
            len: (end - from) as u32,
        }
    }

    /// A copy of the input's bytes, without the backslash before each byte that `escapes`. With
    /// `pairs`, the byte after a backslash is never itself an escaping one.
    fn unescape(
        &mut self,
        from: usize,
        end: usize,
        escapes: impl Fn(u8) -> bool,
        pairs: bool,
    ) -> Text {
        let text = &mut self.batch.text;
        let start = text.len();
        let (mut copied, mut at) = (from, from);
        while at < end {
            let Some(backslash) = memchr::memchr(b'\\', &self.input[at..end]) else {
                break;
            };
            at += backslash;
            if at + 1 < end && escapes(self.input[at + 1]) {
                text.extend_from_within(self.base + copied..self.base + at);
                copied = at + 1;
                at += 2;
            } else {
                at += if pairs && at + 1 < end { 2 } else { 1 };
            }
        }
        text.extend_from_within(self.base + copied..self.base + end);
        Text {
            start: start as u32,
            len: (text.len() - start) as u32,
        }
    }

    /// Where something else than whitespace begins, from a structural byte on that the scanner
    /// has passed.
    #[inline(always)]
    fn past_spaces(&mut self, at: usize) -> usize {
        if !self.byte(at).is_some_and(is_space) {
            return at;
        }
        if !self.byte(at + 1).is_some_and(is_space) {
            return at + 1;
        }
        self.past_many_spaces(at)
    }

    #[cold]
    fn past_many_spaces(&mut self, at: usize) -> usize {
        let spaces = self.input[at..]
            .iter()
            .take_while(|&&byte| is_space(byte))
            .count();
        self.scanner.seek(at + spaces);
        at + spaces
    }

    /// Where the next line begins, if this one ends at `at`.
    #[inline]
    fn line_break(&self, at: usize) -> Option<usize> {
        match self.byte(at) {
            None => Some(at),
            Some(b'\n') => Some(at + 1),
            Some(b'\r') => match self.byte(at + 1) {
                None => Some(at + 1),
                Some(b'\n') => Some(at + 2),
                Some(_) => None,
            },
            Some(_) => None,
        }
    }

    /// What follows the fields: perhaps a timestamp, then the end of the line.
    #[inline(always)]
    fn time(&mut self, at: usize) -> Result<(i64, usize), Bad> {
        let from = self.past_spaces(at);
        if let Some(next) = self.line_break(from) {
            // Only the byte at the fields' end was passed.
            self.synced = if from == at { at + 1 } else { usize::MAX };
            return Ok((self.default_time, next));
        }
        if from == at {
            return Err((at, Fault::AfterField));
        }
        let end = self.scanner.next();
        let written = number::timestamp(self.input, from, end).map_err(|fault| (from, fault))?;
        let nanos = written
            .checked_mul(self.unit.nanos())
            .ok_or((from, Fault::TimestampRange))?;
        let after = self.past_spaces(end);
        let next = self
            .line_break(after)
            .ok_or((after, Fault::AfterTimestamp))?;
        self.synced = if after == end { end + 1 } else { usize::MAX };
        Ok((Timestamp::from_nanos(nanos).nanos(), next))
    }
}
