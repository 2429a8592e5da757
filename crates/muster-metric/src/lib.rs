//! Metrics in one arena: batches, views, types, time, line protocol.
//!
//! A [`Batch`] holds many metrics: one string of text, and rows that point into it. Nothing is
//! allocated for a single metric, tag or field. Parsers fill a batch, processors edit it in
//! place through [`MetricMut`], serializers walk it through [`Metric`].
//!
//! ```
//! use muster_metric::{Batch, Timestamp};
//!
//! let mut batch = Batch::new();
//! batch
//!     .metric("cpu")
//!     .tag("host", "db1")
//!     .field("usage_idle", 98.5)
//!     .at(Timestamp::from_seconds(1_700_000_000));
//! let cpu = batch.iter().next().unwrap();
//! assert_eq!(cpu.name(), "cpu");
//! assert_eq!(cpu.tag("host"), Some("db1"));
//! ```
//!
//! This crate does no input or output and knows no runtime.

mod batch;
mod builder;
mod chunk;
mod edit;
pub mod line_protocol;
mod series;
mod text;
mod time;
mod value;
mod view;
#[cfg(feature = "workload")]
pub mod workload;

pub use batch::{Batch, MAX_TEXT_BYTES, Room};
pub use builder::MetricBuilder;
pub use chunk::{Chunk, Metrics, RowSet};
pub use edit::MetricMut;
pub use series::SeriesKey;
pub use text::{Text, ToText};
pub use time::{Precision, Timestamp};
pub use value::{MetricType, Value};
pub use view::Metric;
