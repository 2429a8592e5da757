//! Parsers and serializers of metrics, one file each, as pure functions.
//!
//! A format is one file in `parsers/` or `serializers/` and one row in [`PARSERS`] or
//! [`SERIALIZERS`]. Nothing here does input or output: a parser gets bytes and fills a
//! [`Batch`](muster_metric::Batch), a serializer gets metrics and appends bytes.
//!
//! A plugin that has `data_format` takes its parser out of its own table:
//!
//! ```
//! use muster_formats::{name_unnamed, take_parser};
//! use muster_metric::Batch;
//!
//! let mut table = toml::from_str(
//!     "commands = ['cat /proc/loadavg']\ndata_format = 'value'\ndata_type = 'float'",
//! )
//! .unwrap();
//! let parser = take_parser(&mut table, "influx").unwrap();
//! assert_eq!(table.len(), 1, "what is left is the plugin's");
//!
//! let mut batch = Batch::new();
//! let report = parser.parse(b"0.25\n", &mut batch).unwrap();
//! name_unnamed(&mut batch, 0, "exec");
//! assert_eq!(report.metrics, 1);
//! assert_eq!(batch.iter().next().unwrap().field("value"), Some(0.25.into()));
//! ```
//!
//! # Limits
//!
//! Whatever comes in, a parser ends in time proportional to it and keeps within:
//!
//! | what | limit |
//! |---|---|
//! | described problems of one input | [`MAX_PROBLEMS`] |
//! | line of line protocol | `influx_max_line_bytes`, 1 MiB unless set |
//! | line of Prometheus or OpenMetrics text | [`MAX_LINE_BYTES`] |
//! | labels of a sample | [`MAX_LABELS`] |
//! | nesting of JSON | [`MAX_JSON_DEPTH`] |
//! | flattened key of JSON | [`MAX_KEY_BYTES`] |
//! | fields and tags of one JSON object | [`MAX_FIELDS`] |
//! | columns of a CSV row | [`MAX_COLUMNS`] |
//! | text of a batch | [`MAX_TEXT_BYTES`](muster_metric::MAX_TEXT_BYTES) |

mod choose;
mod format;
pub mod go_time;
mod names;
mod parsers;
mod serializers;
#[cfg(test)]
mod testing;

pub use choose::{take_parser, take_serializer};
pub use format::{
    BuiltParser, BuiltSerializer, Framing, MAX_PROBLEMS, ParseError, Parser, ParserRow, Problem,
    Report, Serializer, SerializerRow, Written, name_unnamed,
};
pub use parsers::{
    MAX_COLUMNS, MAX_FIELDS, MAX_JSON_DEPTH, MAX_KEY_BYTES, MAX_LABELS, MAX_LINE_BYTES, PARSERS,
};
pub use serializers::{Exposition, ExpositionOptions, Naming, PrometheusText, SERIALIZERS};

/// The parser of that name, as `data_format` names it.
pub fn parser(name: &str) -> Option<&'static ParserRow> {
    PARSERS.iter().find(|row| row.name == name)
}

/// The serializer of that name, as `data_format` names it.
pub fn serializer(name: &str) -> Option<&'static SerializerRow> {
    SERIALIZERS.iter().find(|row| row.name == name)
}
