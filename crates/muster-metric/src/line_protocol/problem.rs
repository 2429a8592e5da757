//! What parsing found wrong, and where.

use std::fmt;

/// How many problems a [`Report`] keeps; further ones are only counted.
pub const MAX_PROBLEMS: usize = 8;

/// The most bytes of a line that a [`Problem`] shows.
const MAX_EXCERPT: usize = 80;

/// What parsing did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Metrics added to the batch.
    pub metrics: usize,
    /// Lines that were left out because they are bad.
    pub bad_lines: u64,
    /// The first bad lines, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

impl Report {
    /// The first bad line, if there was one.
    pub fn first(&self) -> Option<&Problem> {
        self.problems.first()
    }
}

/// One bad line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in which the fault lies, counted from 1 by newlines of the input.
    pub line: u64,
    /// The byte of that line at which the fault was noticed, counted from 1.
    pub column: u64,
    /// What is wrong.
    pub fault: Fault,
    /// The line around the fault, at most 80 bytes, with replacement characters for what is not
    /// UTF-8.
    pub excerpt: String,
}

impl Problem {
    /// The problem at byte `at` of `input`. `line` is the number of the line that begins at
    /// `from`, somewhere before.
    pub(super) fn new(input: &[u8], from: usize, line: u64, at: usize, fault: Fault) -> Self {
        let at = at.min(input.len());
        let line = line + memchr::memchr_iter(b'\n', &input[from..at]).count() as u64;
        let start = memchr::memrchr(b'\n', &input[..at]).map_or(0, |newline| newline + 1);
        let end = memchr::memchr(b'\n', &input[at..]).map_or(input.len(), |len| at + len);
        // A long line is shown around the fault, two thirds of the room before it.
        let shown = start.max(at.saturating_sub(MAX_EXCERPT * 2 / 3));
        let shown = &input[shown..end.min(shown + MAX_EXCERPT)];
        let excerpt = String::from_utf8_lossy(shown).trim_end().to_owned();
        Self {
            line,
            column: (at - start) as u64 + 1,
            fault,
            excerpt,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            fault,
            excerpt,
        } = self;
        write!(f, "line {line}, column {column}: {fault}: {excerpt:?}")
    }
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The line does not begin with a measurement name.
    #[error("expected a measurement name")]
    Name,
    /// A comma after the name or a tag, and no tag key.
    #[error("expected a tag key")]
    TagKey,
    /// A tag without `=`, or with nothing after it.
    #[error("expected a tag value")]
    TagValue,
    /// The line ends before its fields.
    #[error("expected fields after the measurement and its tags")]
    NoFields,
    /// No field key where one must be.
    #[error("expected a field key")]
    FieldKey,
    /// A field without `=`, or with nothing after it.
    #[error("expected a field value")]
    FieldValue,
    /// A field value that is none of the known forms.
    #[error("a field value must be a number, a boolean or a quoted string")]
    NotANumber,
    /// An integer beyond 64 bits.
    #[error("the integer does not fit into 64 bits")]
    IntegerRange,
    /// A float beyond the range of 64 bits.
    #[error("the number is out of range")]
    FloatRange,
    /// A string that does not end.
    #[error("the quoted string has no end")]
    OpenString,
    /// Something else than a comma, whitespace or the line's end after a field.
    #[error("expected a comma, a timestamp or the end of the line after a field")]
    AfterField,
    /// A timestamp that is not 1 to 19 digits with an optional minus sign.
    #[error("expected a timestamp of 1 to 19 digits")]
    Timestamp,
    /// A timestamp before the year 1677 or after 2262 in the configured precision.
    #[error("the timestamp is out of range for its precision")]
    TimestampRange,
    /// Something after the timestamp.
    #[error("expected the end of the line after the timestamp")]
    AfterTimestamp,
    /// Bytes that are not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// A line longer than the configured limit.
    #[error("the line is longer than the limit")]
    TooLong,
}

/// Why parsing added nothing to the batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A bad line, with [`OnError::Fail`](super::OnError::Fail).
    #[error("parse line protocol: {0}")]
    BadLine(Box<Problem>),
    /// The batch has no room for so much text: begin another one, or parse smaller pieces.
    #[error("parse line protocol: {bytes} bytes do not fit into the batch")]
    BatchFull {
        /// The length of the input.
        bytes: usize,
    },
}
