//! The serializers: one file and one row each.

mod csv;
mod float;
mod influx;
mod json;
mod prometheus;

use crate::SerializerRow;

pub(crate) use float::go_float;
pub use prometheus::{Exposition, ExpositionOptions, Naming, PrometheusText};

/// All serializers, by the name in `data_format`.
pub const SERIALIZERS: &[SerializerRow] = &[csv::ROW, influx::ROW, json::ROW, prometheus::ROW];
