//! What every format is: the traits, the rows of the tables, and the reports.

use muster_metric::{Batch, Metric};
use muster_options::{OptionDoc, OptionError};
use toml::Table;

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
    /// without one; who collected them stamps them.
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
        buffer.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
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

/// Writes metrics as bytes.
pub trait Serializer: Send + Sync {
    /// Appends the metrics to `out`. What the format cannot express is left out and counted.
    fn serialize(&self, metrics: &mut dyn Iterator<Item = Metric<'_>>, out: &mut Vec<u8>)
    -> Written;

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
    pub build: fn(&Table) -> Result<Box<dyn Parser>, Vec<OptionError>>,
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
    pub build: fn(&Table) -> Result<Box<dyn Serializer>, Vec<OptionError>>,
}
