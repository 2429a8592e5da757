//! Parsers and serializers of metrics, one file each, as pure functions.
//!
//! A format is one file in `parsers/` or `serializers/` and one row in [`PARSERS`] or
//! [`SERIALIZERS`]. Nothing here does input or output: a parser gets bytes and fills a
//! [`Batch`](muster_metric::Batch), a serializer gets metrics and appends bytes.

mod format;
mod parsers;
mod serializers;

pub use format::{
    Framing, ParseError, Parser, ParserRow, Problem, Report, Serializer, SerializerRow, Written,
};
pub use parsers::PARSERS;
pub use serializers::SERIALIZERS;

/// The parser of that name, as `data_format` names it.
pub fn parser(name: &str) -> Option<&'static ParserRow> {
    PARSERS.iter().find(|row| row.name == name)
}

/// The serializer of that name, as `data_format` names it.
pub fn serializer(name: &str) -> Option<&'static SerializerRow> {
    SERIALIZERS.iter().find(|row| row.name == name)
}
