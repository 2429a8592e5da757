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
}

impl LineReader<'_> {
    /// Reads the line whose first byte, no whitespace, is at `at`. Returns where the next one
    /// begins. `start` is where the line began, for the limit of its length.
    #[inline]
    pub(super) fn read(&mut self, start: usize, at: usize) -> Result<usize, Bad> {
        let limit = start.saturating_add(self.max_line_bytes);
        let first_tag = self.batch.tags.len();
        let first_field = self.batch.fields.len();

        let (name, mut at) = self.token(at, Kind::Name, Fault::Name)?;
        if self.byte(at) == Some(b',') {
            at = self.tags(at, limit)?;
        }
        at = self.spaces(at, Fault::NoFields)?;
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
    #[inline]
    fn tags(&mut self, mut at: usize, limit: usize) -> Result<usize, Bad> {
        let first = self.batch.tags.len();
        let (mut previous, mut sorted) = (0, true);
        while self.byte(at) == Some(b',') {
            let from = at + 1;
            let (key, equals) = self.token(from, Kind::Key, Fault::TagKey)?;
            if self.byte(equals) != Some(b'=') {
                return Err((equals, Fault::TagValue));
            }
            let (value, end) = self.token(equals + 1, Kind::Value, Fault::TagValue)?;
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
        if !sorted {
            sort_tags(self.batch, first);
        }
        Ok(at)
    }

    /// From the first field's key to the end of the last field.
    #[inline]
    fn fields(&mut self, mut at: usize, limit: usize) -> Result<usize, Bad> {
        let first = self.batch.fields.len();
        // One bit for each key seen, chosen by the key's end.
        let mut seen = 0_u64;
        loop {
            let from = at;
            let (key, equals) = self.token(from, Kind::Key, Fault::FieldKey)?;
            if self.byte(equals) != Some(b'=') {
                return Err((equals, Fault::FieldValue));
            }
            let value;
            (value, at) = self.value(equals + 1)?;
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

    /// A field's value, and where it ends.
    #[inline]
    fn value(&mut self, from: usize) -> Result<(Slot, usize), Bad> {
        if self.byte(from) == Some(b'"') {
            let (text, end) = self.string(from)?;
            return Ok((Slot::Text(text), end));
        }
        let end = self.scanner.next(from);
        match number::field(&self.input[from..end]) {
            Ok(value) => Ok((value, end)),
            Err(fault) => Err((from, fault)),
        }
    }

    /// A quoted string, and where the quotes end.
    #[inline]
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
        Ok((text, end + 1))
    }

    /// A name, key or tag value: its text, and the structural byte that ends it.
    #[inline]
    fn token(&mut self, from: usize, kind: Kind, missing: Fault) -> Result<(Text, usize), Bad> {
        let end = self.scanner.next(from);
        let (text, end) = match self.byte(end) {
            Some(b',' | b' ' | b'\n') | None => (self.span(from, end), end),
            Some(b'=') if kind != Kind::Name => (self.span(from, end), end),
            Some(_) => self.odd_token(from, end, kind)?,
        };
        if end == from {
            Err((from, missing))
        } else {
            Ok((text, end))
        }
    }

    /// A token in which `stop` is the first structural byte, but perhaps not the end.
    #[cold]
    fn odd_token(&mut self, from: usize, stop: usize, kind: Kind) -> Result<(Text, usize), Bad> {
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
            at = self.scanner.next(at);
        }
        let text = match kind {
            _ if !escaped => self.span(from, at),
            Kind::Name => self.unescape(from, at, |byte| matches!(byte, b',' | b' '), false),
            Kind::Key | Kind::Value => self.unescape(
                from,
                at,
                |byte| matches!(byte, b',' | b'=' | b' ' | b'"'),
                false,
            ),
        };
        Ok((text, at))
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

    /// Passes over at least one whitespace, and says where something else begins.
    #[inline]
    fn spaces(&self, at: usize, missing: Fault) -> Result<usize, Bad> {
        let next = self.skip_spaces(at);
        match self.byte(next) {
            None | Some(b'\n' | b'\r') => Err((next, missing)),
            Some(_) if next == at => Err((next, missing)),
            Some(_) => Ok(next),
        }
    }

    #[inline]
    fn skip_spaces(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(is_space) {
            at += 1;
        }
        at
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
    #[inline]
    fn time(&self, at: usize) -> Result<(i64, usize), Bad> {
        let from = self.skip_spaces(at);
        if let Some(next) = self.line_break(from) {
            return Ok((self.default_time, next));
        }
        if from == at {
            return Err((at, Fault::AfterField));
        }
        let rest = &self.input[from..];
        let signed = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[signed..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let end = from + signed + digits;
        let ends = self
            .byte(end)
            .is_none_or(|byte| is_space(byte) || matches!(byte, b'\n' | b'\r'));
        if !ends {
            return Err((from, Fault::Timestamp));
        }
        let written = number::timestamp(&self.input[from..end]).map_err(|fault| (from, fault))?;
        let nanos = written
            .checked_mul(self.unit.nanos())
            .ok_or((from, Fault::TimestampRange))?;
        let after = self.skip_spaces(end);
        let next = self
            .line_break(after)
            .ok_or((after, Fault::AfterTimestamp))?;
        Ok((Timestamp::from_nanos(nanos).nanos(), next))
    }
}
