//! The parsers: one file and one row each.

mod csv;
mod gctrace;
mod influx;
mod json;
mod prometheus;
mod value;

use crate::ParserRow;

pub use csv::MAX_COLUMNS;
pub use json::{MAX_FIELDS, MAX_JSON_DEPTH, MAX_KEY_BYTES};
pub use prometheus::{MAX_LABELS, MAX_LINE_BYTES};

/// All parsers, by the name in `data_format`.
pub const PARSERS: &[ParserRow] = &[
    csv::ROW,
    gctrace::ROW,
    influx::ROW,
    json::ROW,
    prometheus::OPENMETRICS,
    prometheus::PROMETHEUS,
    value::ROW,
];
