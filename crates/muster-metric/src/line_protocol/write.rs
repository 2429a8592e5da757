//! The serializer: metrics as lines.

use super::text::{Kind, push, push_string};
use crate::batch::{Batch, Field, Tag};
use crate::value::Slot;
use crate::{Metric, Precision};

/// Writes metrics as line protocol, with Telegraf's byte rules:
/// - Spaces and commas are escaped in names, also `=` in tag keys, tag values and field keys;
///   tabs, newlines, form feeds and carriage returns become `\t`, `\n`, `\f`, `\r` there.
/// - Names, keys and tag values cannot end in a backslash: trailing ones are left out. (Telegraf
///   leaves them on names and field keys, where they swallow what follows.) Tags whose key or
///   value is empty are left out.
/// - In strings only `"` and `\` are escaped; newlines and tabs stay as they are.
/// - Floats are the shortest decimals that read back as the same number, never with an exponent;
///   NaN and infinities are left out.
/// - Tags are in the order of their keys, fields in the order in which they were added.
///
/// A metric without a time is written without one. Cost: about 1.5 ns for each byte of output on
/// a server's core; nothing is allocated but the output, unless fields are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Write unsigned integers with `u`, as InfluxDB 2 reads them. Otherwise (the default) they
    /// are written as signed ones, at most 9223372036854775807.
    pub uint_support: bool,
    /// Write fields in the order of their keys.
    pub sort_fields: bool,
    /// Write no timestamps.
    pub omit_timestamp: bool,
    /// The most bytes of a line, its newline included; a metric with a longer one is split into
    /// several lines with a part of the fields each. Default 0: no limit.
    pub max_line_bytes: usize,
    /// The unit of timestamps, which are rounded down to it. Default nanoseconds.
    pub precision: Precision,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            uint_support: false,
            sort_fields: false,
            omit_timestamp: false,
            max_line_bytes: 0,
            precision: Precision::NANOSECOND,
        }
    }
}

/// What [`Writer::write_all`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Metrics that were written.
    pub metrics: usize,
    /// Metrics that line protocol cannot express, which were left out.
    pub unwritable: usize,
}

/// Why a metric was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// The measurement's name is empty, or nothing but backslashes.
    #[error("write line protocol: the metric has no name")]
    NoName,
    /// The name begins with `#`: the line would be read as a comment. (Telegraf writes it.)
    #[error("write line protocol: a line whose name begins with '#' is a comment")]
    CommentName,
    /// No field is left: there is none, or all are NaN, infinite or without a key.
    #[error("write line protocol: the metric has no field that can be written")]
    NoFields,
    /// The name, the tags and a single field are longer than the limit.
    #[error("write line protocol: a line with one field is longer than {limit} bytes")]
    TooLong {
        /// The configured [`Writer::max_line_bytes`].
        limit: usize,
    },
}

impl Writer {
    /// Appends the metric to `out`.
    ///
    /// # Errors
    /// If line protocol cannot express the metric; nothing is appended then.
    pub fn write(&self, metric: Metric<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let before = out.len();
        let written = self.line(metric, out);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    /// Appends the metrics to `out`; those that cannot be written are left out and counted.
    pub fn write_all<'a>(
        &self,
        metrics: impl IntoIterator<Item = Metric<'a>>,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut done = Written::default();
        for metric in metrics {
            match self.write(metric, out) {
                Ok(()) => done.metrics += 1,
                Err(_) => done.unwritable += 1,
            }
        }
        done
    }

    fn line(&self, metric: Metric<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let (batch, row) = metric.parts();
        let start = out.len();
        if !push(&batch.text, row.name, Kind::Name, out) {
            return Err(Unwritable::NoName);
        }
        if out.get(start) == Some(&b'#') {
            return Err(Unwritable::CommentName);
        }
        for tag in &batch.tags[row.tags.range()] {
            push_tag(batch, tag, out);
        }
        out.push(b' ');
        let header = start..out.len();
        let time = Footer::of(self, metric);
        let mut line = Line {
            writer: self,
            batch,
            header,
            time,
            start,
            fields: 0,
        };
        let fields = &batch.fields[row.fields.range()];
        if self.sort_fields {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|field| batch.resolve(field.key));
            fields
                .into_iter()
                .try_for_each(|field| line.field(field, out))?;
        } else {
            for field in fields {
                line.field(field, out)?;
            }
        }
        if line.fields == 0 {
            return Err(Unwritable::NoFields);
        }
        line.time.push(out);
        Ok(())
    }
}

/// The line that is being written.
struct Line<'a> {
    writer: &'a Writer,
    batch: &'a Batch,
    /// Where the name and tags lie in the output.
    header: std::ops::Range<usize>,
    time: Footer,
    start: usize,
    /// How many fields the line has so far.
    fields: usize,
}

impl Line<'_> {
    #[inline]
    fn field(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        if matches!(field.value, Slot::Float(value) if !value.is_finite()) {
            return Ok(());
        }
        let before = out.len();
        if self.fields > 0 {
            out.push(b',');
        }
        if !push(&self.batch.text, field.key, Kind::KeyOrValue, out) {
            out.truncate(before);
            return Ok(());
        }
        out.push(b'=');
        self.value(field.value, out);
        self.fields += 1;
        let limit = self.writer.max_line_bytes;
        if limit > 0 && out.len() - self.start + self.time.len() > limit {
            self.split(before, field, out)?;
        }
        Ok(())
    }

    #[inline]
    fn value(&self, value: Slot, out: &mut Vec<u8>) {
        match value {
            Slot::Float(value) => super::float::push(value, out),
            Slot::Int(value) => push_int(value, out),
            Slot::Uint(value) if self.writer.uint_support => push_uint(value, out),
            Slot::Uint(value) => push_int(i64::try_from(value).unwrap_or(i64::MAX), out),
            Slot::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Slot::Text(value) => push_string(self.batch.resolve(value), out),
        }
    }

    /// Moves the field that was written from `before` on to a line of its own.
    #[cold]
    fn split(&mut self, before: usize, field: &Field, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let limit = self.writer.max_line_bytes;
        if self.fields == 1 {
            return Err(Unwritable::TooLong { limit });
        }
        out.truncate(before);
        self.time.push(out);
        self.start = out.len();
        out.extend_from_within(self.header.clone());
        self.fields = 0;
        self.field(field, out)
    }
}

/// What ends each line of a metric.
struct Footer {
    time: Option<i64>,
}

impl Footer {
    fn of(writer: &Writer, metric: Metric<'_>) -> Self {
        let time = metric.time().filter(|_| !writer.omit_timestamp);
        Self {
            time: time.map(|time| time.nanos().div_euclid(writer.precision.nanos())),
        }
    }

    fn len(&self) -> usize {
        let digits = |time| itoa::Buffer::new().format::<i64>(time).len();
        self.time.map_or(1, |time| 2 + digits(time))
    }

    fn push(&self, out: &mut Vec<u8>) {
        if let Some(time) = self.time {
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        }
        out.push(b'\n');
    }
}

#[inline]
fn push_tag(batch: &Batch, tag: &Tag, out: &mut Vec<u8>) {
    let before = out.len();
    out.push(b',');
    let written = push(&batch.text, tag.key, Kind::KeyOrValue, out) && {
        out.push(b'=');
        push(&batch.text, tag.value, Kind::KeyOrValue, out)
    };
    if !written {
        out.truncate(before);
    }
}

fn push_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.push(b'i');
}

fn push_uint(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.push(b'u');
}
