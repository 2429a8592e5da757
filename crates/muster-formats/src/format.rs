//! What every format is: the traits, the rows of the tables, and the reports.

use muster_metric::{Batch, Metric};
use muster_options::{OptionDoc, OptionError};
use toml::Table;

/// So many bad records of one input are described in [`Report::problems`]; the rest is counted.
pub const MAX_PROBLEMS: usize = 16;

/// How a stream of bytes is cut into inputs for a parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Records end with a newline; any number of whole records makes one input.
    Lines,
    /// Only the whole document (a file, a body, a datagram) makes sense.
    Document,
}

/// Reads metrics from bytes.
pub trait Parser: Send + Sync {
    /// Appends the metrics of `input` to `batch`. Metrics without a time of their own are left
    /// without one; who collected them stamps them. Metrics that the format gives no name (CSV,
    /// JSON, single values) are left with an empty one; who collected them names them, with
    /// [`name_unnamed`].
    ///
    /// Where the format has records and the parser is told to skip bad ones, the good ones are
    /// kept and the bad ones are reported.
    ///
    /// # Errors
    /// If the input cannot be read, or a record is bad and the parser is told to fail: then
    /// `batch` is as it was.
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError>;

    /// How a stream in this format is cut.
    fn framing(&self) -> Framing;

    /// For a stream cut into [`Framing::Lines`]: how many leading bytes of `buffer` are whole
    /// records. Formats whose records may hold newlines override this.
    fn complete_len(&self, buffer: &[u8]) -> usize {
        buffer
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1)
    }
}

/// What a parse brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Metrics added to the batch.
    pub metrics: usize,
    /// Records left out because they were bad.
    pub bad: u64,
    /// The first few of them; bounded.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Counts a bad record and keeps its description, if there is room.
    pub fn note(&mut self, problem: Problem) {
        self.bad += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// One bad record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Problem {
    /// The line in the input, from 1.
    pub line: u64,
    /// The byte in the line, from 1.
    pub column: u64,
    /// What is wrong, as a lower-case phrase; holds at most a short excerpt of the input.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(line: u64, column: u64, message: impl Into<String>) -> Self {
        Self {
            line,
            column,
            message: message.into(),
        }
    }
}

/// An input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A place in the input is wrong.
    #[error("{0}")]
    At(#[from] Problem),
    /// The input as a whole is wrong.
    #[error("{0}")]
    Whole(String),
}

/// Gives the metrics without a name in the rows from `first_row` on this name: the plugin's, as
/// in Telegraf.
pub fn name_unnamed(batch: &mut Batch, first_row: usize, name: &str) {
    let mut place = None;
    for row in first_row..batch.rows() {
        if batch
            .get(row)
            .is_some_and(|metric| metric.name().is_empty())
        {
            let place = *place.get_or_insert_with(|| batch.text(name));
            if let Some(mut metric) = batch.get_mut(row) {
                metric.set_name(place);
            }
        }
    }
}

/// Takes back the metrics from `first_row` on: for a parser that fails half way.
pub(crate) fn take_back(batch: &mut Batch, first_row: usize) {
    for row in first_row..batch.rows() {
        if let Some(metric) = batch.get_mut(row) {
            metric.discard();
        }
    }
}

/// At most the first 40 characters, quoted: for messages.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Writes metrics as bytes.
pub trait Serializer: Send + Sync {
    /// Appends the metrics to `out`. What the format cannot express is left out and counted.
    fn serialize(
        &self,
        metrics: &mut dyn Iterator<Item = Metric<'_>>,
        out: &mut Vec<u8>,
    ) -> Written;

    /// The media type of what is written, for HTTP.
    fn content_type(&self) -> &'static str;
}

/// What a serialization brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Metrics written.
    pub metrics: usize,
    /// Metrics that the format cannot express, left out whole.
    pub left_out: usize,
}

/// A parser, or all that is wrong with its options.
pub type BuiltParser = Result<Box<dyn Parser>, Vec<OptionError>>;

/// A serializer, or all that is wrong with its options.
pub type BuiltSerializer = Result<Box<dyn Serializer>, Vec<OptionError>>;

/// A row of [`PARSERS`](crate::PARSERS).
#[derive(Debug)]
pub struct ParserRow {
    /// The name in `data_format`.
    pub name: &'static str,
    /// One sentence for lists.
    pub summary: &'static str,
    /// The options, which stand in the table of the plugin that uses the parser.
    pub options: fn() -> Vec<OptionDoc>,
    /// Makes a parser from its own options (the plugin's are taken out already).
    pub build: fn(&Table) -> BuiltParser,
}

/// A row of [`SERIALIZERS`](crate::SERIALIZERS).
#[derive(Debug)]
pub struct SerializerRow {
    /// The name in `data_format`.
    pub name: &'static str,
    /// One sentence for lists.
    pub summary: &'static str,
    /// The options, which stand in the table of the plugin that uses the serializer.
    pub options: fn() -> Vec<OptionDoc>,
    /// Makes a serializer from its own options (the plugin's are taken out already).
    pub build: fn(&Table) -> BuiltSerializer,
}
