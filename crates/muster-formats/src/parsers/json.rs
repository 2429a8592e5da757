//! `json`: objects, flattened into fields.

mod flatten;
mod path;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::tz::TimeZone;
use muster_metric::{Batch, Timestamp};
use muster_options::{Globs, JsonSchema, OptionError, Options};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Table;

use crate::format::take_back;
use crate::go_time::{TimeFormat, zone};
use crate::names::name_list;
use crate::{BuiltParser, Framing, ParseError, Parser, ParserRow, Problem, Report};

use flatten::{Leaf, flatten};
use path::Path;

pub use flatten::{MAX_FIELDS, MAX_KEY_BYTES};

/// Deeper nesting is refused.
pub const MAX_JSON_DEPTH: usize = 127;

pub(super) const ROW: ParserRow = ParserRow {
    name: "json",
    summary: "JSON objects or arrays of them; nested values become fields",
    options: JsonOptions::describe,
    build,
};

/// Options of the `json` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct JsonOptions {
    /// Which part of the document to read, as a GJSON path: keys joined by dots (`\.` for a dot
    /// in a key, `*` and `?` in a key for the first that matches), positions in arrays, `#` for
    /// every element, `#(key=="value")` for the first element that fits and `#(...)#` for all
    /// of them. Empty: the whole document.
    json_query: String,
    /// Keys, after flattening, that become tags instead of fields. May hold `*`, `?`, `[abc]`.
    tag_keys: Vec<String>,
    /// Keys, after flattening, of texts and booleans to keep as fields; others are left out.
    /// May hold `*`, `?`, `[abc]`.
    json_string_fields: Vec<String>,
    /// The key, after flattening, of the text that becomes the metric's name.
    json_name_key: String,
    /// The key, after flattening, of the metric's time; needs `json_time_format`.
    json_time_key: String,
    /// How times are written: `unix`, `unix_ms`, `unix_us`, `unix_ns`, or a Go layout such as
    /// `2006-01-02T15:04:05Z07:00`.
    json_time_format: String,
    /// The time zone of times that do not say theirs: a name such as `Europe/Rome`, `Local`, or
    /// empty for UTC.
    json_timezone: String,
    /// Whether one bad object in an array makes the whole document bad. If false, only that
    /// object is left out and reported.
    json_strict: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            json_query: String::new(),
            tag_keys: Vec::new(),
            json_string_fields: Vec::new(),
            json_name_key: String::new(),
            json_time_key: String::new(),
            json_time_format: String::new(),
            json_timezone: String::new(),
            json_strict: true,
        }
    }
}

#[derive(Debug)]
struct JsonParser {
    query: Option<Path>,
    tags: Globs,
    texts: Globs,
    name_key: String,
    time: Option<Time>,
    strict: bool,
}

#[derive(Debug)]
struct Time {
    key: String,
    format: TimeFormat,
    zone: TimeZone,
}

fn build(table: &Table) -> BuiltParser {
    let options = JsonOptions::parse(table)?;
    let mut errors = Vec::new();
    let mut names = |option, names: &[String]| {
        name_list(option, names)
            .map_err(|error| errors.push(error))
            .unwrap_or_default()
    };
    let tags = names("tag_keys", &options.tag_keys);
    let texts = names("json_string_fields", &options.json_string_fields);
    let query = Path::new(&options.json_query)
        .map_err(|message| errors.push(OptionError::new("json_query", message)))
        .unwrap_or_default();
    let time = time(&options)
        .map_err(|error| errors.push(error))
        .unwrap_or_default();
    if !errors.is_empty() {
        return Err(errors);
    }
    let (name_key, strict) = (options.json_name_key, options.json_strict);
    Ok(Box::new(JsonParser {
        query,
        tags,
        texts,
        name_key,
        time,
        strict,
    }))
}

fn time(options: &JsonOptions) -> Result<Option<Time>, OptionError> {
    let zone = zone(&options.json_timezone)
        .map_err(|error| OptionError::new("json_timezone", error.to_string()))?;
    if options.json_time_key.is_empty() {
        return Ok(None);
    }
    if options.json_time_format.is_empty() {
        let message = "json_time_key needs json_time_format";
        return Err(OptionError::new("json_time_format", message));
    }
    let format = TimeFormat::new(&options.json_time_format)
        .map_err(|error| OptionError::new("json_time_format", error.to_string()))?;
    Ok(Some(Time {
        key: options.json_time_key.clone(),
        format,
        zone,
    }))
}

impl Parser for JsonParser {
    /// Reads one document, or several one after the other (as in JSON Lines). A single bad
    /// document is an error; of several, the bad ones are reported.
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        let first_row = batch.rows();
        let mut report = Report::default();
        let mut documents = 0;
        let mut bad_documents = 0;
        let mut cursor = Cursor::new(input);
        while cursor.skip_white_space() {
            documents += 1;
            let rest = cursor.rest();
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
            let problem = match values.next() {
                None => break,
                Some(Ok(value)) => {
                    let problem = self.document(&value, cursor.place(), batch, &mut report);
                    cursor.advance(values.byte_offset());
                    problem
                }
                Some(Err(error)) => {
                    let problem = cursor.problem(&error);
                    let on_first_line = error.line() <= 1;
                    match next_line(rest) {
                        Some(next) if on_first_line || is_whole_line(&rest[next..]) => {
                            cursor.advance(next);
                        }
                        // Bad in the midst of a document of many lines: nothing after it can be
                        // trusted to be a document of its own.
                        _ => cursor.advance(rest.len()),
                    }
                    Err(problem)
                }
            };
            if let Err(problem) = problem {
                bad_documents += 1;
                report.note(problem);
            }
        }
        if documents == 1 && bad_documents == 1 {
            take_back(batch, first_row);
            let problem = report.problems.pop();
            return Err(problem.map_or_else(|| ParseError::Whole(String::new()), ParseError::At));
        }
        Ok(report)
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }
}

/// A place in the input that knows its line.
struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
    line: u64,
    line_start: usize,
}

impl<'a> Cursor<'a> {
    fn new(input: &'a [u8]) -> Self {
        let at = if input.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self {
            input,
            at,
            line: 1,
            line_start: at,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    fn advance(&mut self, by: usize) {
        let passed = &self.rest()[..by];
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        if let Some(end) = memchr::memrchr(b'\n', passed) {
            self.line_start = self.at + end + 1;
        }
        self.at += by;
    }

    /// False at the end.
    fn skip_white_space(&mut self) -> bool {
        let rest = self.rest();
        let skip = rest.iter().position(|b| !b.is_ascii_whitespace());
        self.advance(skip.unwrap_or(rest.len()));
        skip.is_some()
    }

    fn place(&self) -> (u64, u64) {
        (self.line, (self.at - self.line_start) as u64 + 1)
    }

    /// The problem with the document that starts here.
    fn problem(&self, error: &serde_json::Error) -> Problem {
        let (line, column) = self.place();
        let before = if error.line() <= 1 { column - 1 } else { 0 };
        let line = line + (error.line() as u64).saturating_sub(1);
        Problem::new(line, before + (error.column() as u64).max(1), words(error))
    }
}

/// What serde_json says, without its own place.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Where the next line starts.
fn next_line(input: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', input)
        .map(|end| end + 1)
        .filter(|start| *start < input.len())
}

/// Whether the first line is a document by itself.
fn is_whole_line(input: &[u8]) -> bool {
    let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<Map<String, Value>>(line).is_ok()
}

impl JsonParser {
    fn document(
        &self,
        value: &Value,
        (line, column): (u64, u64),
        batch: &mut Batch,
        report: &mut Report,
    ) -> Result<(), Problem> {
        let bad = |message: String| Problem::new(line, column, message);
        let found = match &self.query {
            None => Cow::Borrowed(value),
            Some(path) => match path.find(value) {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        let first_row = batch.rows();
        match found.as_ref() {
            Value::Null => {}
            Value::Object(object) => {
                report.metrics += usize::from(self.object(object, batch).map_err(bad)?);
            }
            Value::Array(items) => {
                let mut added = 0;
                for (at, item) in items.iter().enumerate() {
                    let result = match item {
                        Value::Object(object) => self.object(object, batch),
                        other => Err(format!("expected an object, found {}", kind(other))),
                    };
                    match result {
                        Ok(is_metric) => added += usize::from(is_metric),
                        Err(message) => {
                            let problem = bad(format!("element {at} of the array: {message}"));
                            if self.strict {
                                take_back(batch, first_row);
                                return Err(problem);
                            }
                            report.note(problem);
                        }
                    }
                }
                report.metrics += added;
            }
            other => {
                let message = format!(
                    "expected an object or an array of objects, found {}",
                    kind(other)
                );
                return Err(bad(message));
            }
        }
        Ok(())
    }

    /// Adds the object's metric; false if it has no field.
    fn object(&self, object: &Map<String, Value>, batch: &mut Batch) -> Result<bool, String> {
        let leaves = flatten(object)?;
        let text_at = |wanted: &str| {
            leaves
                .iter()
                .find(|(key, _)| key == wanted)
                .and_then(|(_, leaf)| leaf.as_text())
        };
        let name = if self.name_key.is_empty() {
            None
        } else {
            text_at(&self.name_key)
        };
        let time = self.time(&leaves)?;
        let mut metric = batch.metric(name.unwrap_or_default());
        for (key, leaf) in &leaves {
            if self.time.as_ref().is_some_and(|time| time.key == *key) {
                continue;
            }
            if self.tags.matches(key) {
                metric.add_tag(key, leaf.to_text());
                continue;
            }
            match leaf {
                Leaf::Number(number) => metric.add_new_field(key, *number),
                Leaf::Text(text) if self.texts.matches(key) => metric.add_new_field(key, *text),
                Leaf::Bool(value) if self.texts.matches(key) => metric.add_new_field(key, *value),
                Leaf::Text(_) | Leaf::Bool(_) => continue,
            };
        }
        if metric.field_count() == 0 {
            return Ok(false);
        }
        metric.finish(time);
        Ok(true)
    }

    fn time(&self, leaves: &[(String, Leaf<'_>)]) -> Result<Option<Timestamp>, String> {
        let Some(time) = &self.time else {
            return Ok(None);
        };
        let Some((_, leaf)) = leaves.iter().find(|(key, _)| *key == time.key) else {
            return Err(format!("there is no time at \"{}\"", time.key));
        };
        let read = time.format.read(&leaf.to_text(), &time.zone);
        read.map(Some).map_err(|error| error.to_string())
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
