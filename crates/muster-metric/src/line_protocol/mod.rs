//! InfluxDB line protocol, in and out.
//!
//! One metric a line: `name,tag=value,... field=value,... time`. The format is described at
//! <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>; where InfluxDB and
//! Telegraf differ, Telegraf's byte rules hold (see [`Parser`] and [`Writer`]), because metrics
//! of a Telegraf installation must come through unchanged.
//!
//! ```
//! use muster_metric::Batch;
//! use muster_metric::line_protocol::{Parser, Writer};
//!
//! let mut batch = Batch::new();
//! let lines = b"cpu,host=db1 usage=98.5 1700000000000000000\nbad line\nmem free=7i\n";
//! let report = Parser::default().parse(lines, &mut batch).unwrap();
//! assert_eq!((report.metrics, report.bad_lines), (2, 1));
//! assert_eq!(report.problems[0].line, 2);
//!
//! let mut out = Vec::new();
//! Writer::default().write_all(batch.iter(), &mut out);
//! assert_eq!(out, b"cpu,host=db1 usage=98.5 1700000000000000000\nmem free=7i\n");
//! ```

mod float;
mod line;
mod lines;
mod number;
mod parse;
mod problem;
mod scan;
mod text;
mod write;

pub use lines::complete_len;
pub use parse::{DEFAULT_MAX_LINE_BYTES, OnError, Parser};
pub use problem::{Fault, MAX_PROBLEMS, ParseError, Problem, Report};
pub use write::{Unwritable, Writer, Written};
