//! `csv`: rows of values with a delimiter.

mod header;
mod row;
#[cfg(test)]
mod tests;

use ::csv::{ByteRecord, ReaderBuilder};
use jiff::tz::TimeZone;
use muster_metric::Batch;
use muster_options::{JsonSchema, OptionError, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::format::take_back;
use crate::go_time::{TimeFormat, zone};
use crate::{BuiltParser, Framing, ParseError, Parser, ParserRow, Problem, Report};

use row::Columns;

/// A row with more columns is bad.
pub const MAX_COLUMNS: usize = 4096;

pub(super) const ROW: ParserRow = ParserRow {
    name: "csv",
    summary: "Rows of values with a delimiter, with or without a header",
    options: CsvOptions::describe,
    build,
};

/// Options of the `csv` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct CsvOptions {
    /// How many rows make the header. With more than one, the names of a column are joined. Each
    /// input (file, body, message) begins with its header.
    csv_header_row_count: usize,
    /// The names of the columns, instead of those in the header. A column without a name is left
    /// out. Needed if there is no header.
    csv_column_names: Vec<String>,
    /// The types of the columns; empty: an integer, float or boolean if a value looks like one,
    /// else text. `timestamp` is text for `csv_timestamp_column`.
    csv_column_types: Vec<ColumnType>,
    /// How many lines to skip before metadata and header.
    csv_skip_rows: usize,
    /// How many lines of metadata (`key: value`) stand before the header. They become tags of
    /// every metric.
    csv_metadata_rows: usize,
    /// What separates key and value of metadata. Longer ones are tried first.
    csv_metadata_separators: Vec<String>,
    /// Characters to cut off at both ends of keys and values of metadata.
    csv_metadata_trim_set: String,
    /// How many columns to skip at the start of every row, the header's too.
    csv_skip_columns: usize,
    /// What separates values: one ASCII character. A comma if empty.
    csv_delimiter: String,
    /// Lines that start with this character are skipped; none if empty.
    csv_comment: String,
    /// Whether to cut off white space around names and values.
    csv_trim_space: bool,
    /// Columns that become tags.
    csv_tag_columns: Vec<String>,
    /// The column with the metric's name.
    csv_measurement_column: String,
    /// The column with the metric's time; needs `csv_timestamp_format`.
    csv_timestamp_column: String,
    /// How times are written: `unix`, `unix_ms`, `unix_us`, `unix_ns`, or a Go layout such as
    /// `2006-01-02T15:04:05Z07:00`.
    csv_timestamp_format: String,
    /// The time zone of times that do not say theirs: a name such as `Europe/Rome`, `Local`, or
    /// empty for UTC.
    csv_timezone: String,
    /// Values that are left out, such as `""` or `"N/A"`.
    csv_skip_values: Vec<String>,
    /// Whether to leave out and report bad rows. If false, one bad row makes the input bad.
    csv_skip_errors: bool,
    /// Accepted for configurations that set it. Every input is read as a document of its own,
    /// with its own header: that is `always`.
    csv_reset_mode: ResetMode,
    /// Whether tags from columns win over tags of the same name from metadata.
    csv_tag_overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ColumnType {
    /// A signed integer.
    Int,
    /// A number.
    Float,
    /// A boolean.
    Bool,
    /// Text.
    String,
    /// Text that is a time.
    Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ResetMode {
    /// Telegraf's default.
    #[default]
    None,
    /// A new document with every input.
    Always,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            csv_header_row_count: 0,
            csv_column_names: Vec::new(),
            csv_column_types: Vec::new(),
            csv_skip_rows: 0,
            csv_metadata_rows: 0,
            csv_metadata_separators: Vec::new(),
            csv_metadata_trim_set: String::new(),
            csv_skip_columns: 0,
            csv_delimiter: ",".to_owned(),
            csv_comment: String::new(),
            csv_trim_space: false,
            csv_tag_columns: Vec::new(),
            csv_measurement_column: String::new(),
            csv_timestamp_column: String::new(),
            csv_timestamp_format: String::new(),
            csv_timezone: String::new(),
            csv_skip_values: Vec::new(),
            csv_skip_errors: false,
            csv_reset_mode: ResetMode::None,
            csv_tag_overwrite: false,
        }
    }
}

#[derive(Debug)]
struct CsvParser {
    options: CsvOptions,
    delimiter: u8,
    comment: Option<u8>,
    time: Option<(TimeFormat, TimeZone)>,
}

fn build(table: &Table) -> BuiltParser {
    let mut options = CsvOptions::parse(table)?;
    let mut errors = Vec::new();
    if options.csv_header_row_count == 0 && options.csv_column_names.is_empty() {
        let message = "the columns have no names: set csv_header_row_count or csv_column_names";
        errors.push(OptionError::new("csv_column_names", message));
    }
    if options.csv_column_names.len() > MAX_COLUMNS {
        let message = format!("more than {MAX_COLUMNS} columns");
        errors.push(OptionError::new("csv_column_names", message));
    }
    let (names, types) = (
        options.csv_column_names.len(),
        options.csv_column_types.len(),
    );
    if names > 0 && types > 0 && names != types {
        let message = format!("{types} types for {names} names in csv_column_names");
        errors.push(OptionError::new("csv_column_types", message));
    }
    if options.csv_metadata_rows > 0 && options.csv_metadata_separators.is_empty() {
        let message = "csv_metadata_rows needs csv_metadata_separators";
        errors.push(OptionError::new("csv_metadata_separators", message));
    }
    // Longer ones first; of equal length in the order given.
    options
        .csv_metadata_separators
        .sort_by_key(|separator| std::cmp::Reverse(separator.len()));
    let mut one_byte = |option: &str, text: &str| match text.as_bytes() {
        [] => None,
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Some(*byte),
        _ => {
            let message =
                format!("{text:?} is not one ASCII character other than quote or newline");
            errors.push(OptionError::new(option, message));
            None
        }
    };
    let delimiter = one_byte("csv_delimiter", &options.csv_delimiter).unwrap_or(b',');
    let comment = one_byte("csv_comment", &options.csv_comment);
    let time = time(&options)
        .map_err(|error| errors.push(error))
        .unwrap_or_default();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Box::new(CsvParser {
        options,
        delimiter,
        comment,
        time,
    }))
}

fn time(options: &CsvOptions) -> Result<Option<(TimeFormat, TimeZone)>, OptionError> {
    let zone = zone(&options.csv_timezone)
        .map_err(|error| OptionError::new("csv_timezone", error.to_string()))?;
    if options.csv_timestamp_column.is_empty() {
        return Ok(None);
    }
    if options.csv_timestamp_format.is_empty() {
        let message = "csv_timestamp_column needs csv_timestamp_format";
        return Err(OptionError::new("csv_timestamp_format", message));
    }
    let format = TimeFormat::new(&options.csv_timestamp_format)
        .map_err(|error| OptionError::new("csv_timestamp_format", error.to_string()))?;
    Ok(Some((format, zone)))
}

impl Parser for CsvParser {
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        let first_row = batch.rows();
        let result = self.document(input, batch);
        if result.is_err() {
            take_back(batch, first_row);
        }
        result
    }

    /// Without header, skipped rows and metadata every row can be read by itself.
    fn framing(&self) -> Framing {
        let options = &self.options;
        let preamble =
            options.csv_header_row_count + options.csv_skip_rows + options.csv_metadata_rows;
        if preamble == 0 {
            Framing::Lines
        } else {
            Framing::Document
        }
    }

    /// A newline within quotes ends no row.
    fn complete_len(&self, buffer: &[u8]) -> usize {
        let (mut quoted, mut complete) = (false, 0);
        for at in memchr::memchr2_iter(b'"', b'\n', buffer) {
            match buffer[at] {
                b'"' => quoted = !quoted,
                _ if !quoted => complete = at + 1,
                _ => {}
            }
        }
        complete
    }
}

impl CsvParser {
    fn document(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
        let mut report = Report::default();
        let preamble = header::preamble(&self.options, input)?;
        let lines_before = preamble.lines as u64;
        let body = &input[preamble.len..];
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .comment(self.comment)
            .from_reader(body);
        let mut record = ByteRecord::new();
        // The reader counts lines from 1 within the body.
        let line = |reader: &::csv::Reader<&[u8]>| lines_before + reader.position().line();
        let mut names = Vec::new();
        for _ in 0..self.options.csv_header_row_count {
            let at = line(&reader);
            if !self.read(&mut reader, &mut record, at)? {
                return Ok(report);
            }
            header::join(&self.options, &record, &mut names)
                .map_err(|message| Problem::new(at, 1, message))?;
        }
        let columns = Columns::new(&self.options, names, &preamble.metadata, batch)
            .map_err(|message| Problem::new(line(&reader), 1, message))?;
        loop {
            let start = reader.position().byte() as usize;
            let at = line(&reader);
            if !self.read(&mut reader, &mut record, at)? {
                return Ok(report);
            }
            let row_line = record
                .position()
                .map_or(at, |place| lines_before + place.line());
            let result = if is_cut_off(body, start, reader.position().byte() as usize) {
                Err((1, "a quote is not closed".to_owned()))
            } else {
                self.row(&columns, &record, batch)
            };
            match result {
                Ok(is_metric) => report.metrics += usize::from(is_metric),
                Err((column, message)) => {
                    let problem = Problem::new(row_line, column, message);
                    if !self.options.csv_skip_errors {
                        return Err(problem.into());
                    }
                    report.note(problem);
                }
            }
        }
    }

    fn read(
        &self,
        reader: &mut ::csv::Reader<&[u8]>,
        record: &mut ByteRecord,
        line: u64,
    ) -> Result<bool, ParseError> {
        reader
            .read_byte_record(record)
            .map_err(|e| Problem::new(line, 1, e.to_string()).into())
    }
}

/// Whether the last record ends within quotes.
fn is_cut_off(body: &[u8], start: usize, end: usize) -> bool {
    let is_last = end >= body.len();
    is_last && memchr::memchr_iter(b'"', body.get(start..end).unwrap_or_default()).count() % 2 == 1
}
