//! `prometheus` and `openmetrics`: the text formats that are scraped.
//!
//! Each sample becomes a metric. In version 2 the metric is named `prometheus` and the field is
//! named as the sample; in version 1 the metric is named as the family and the field says what it
//! is. Sums and counts, and in version 1 all of a histogram or summary, that follow each other and
//! have the same labels are one metric.

mod family;
mod line;
mod number;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use muster_metric::Batch;
use muster_options::{JsonSchema, OptionError, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{BuiltParser, Framing, ParseError, Parser, ParserRow, Problem, Report};

use read::Reader;

/// A longer line of text is bad.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A sample with more labels is bad.
pub const MAX_LABELS: usize = 1024;

pub(super) const PROMETHEUS: ParserRow = ParserRow {
    name: "prometheus",
    summary: "Prometheus' text exposition format",
    options: PrometheusOptions::describe,
    build: build_prometheus,
};

pub(super) const OPENMETRICS: ParserRow = ParserRow {
    name: "openmetrics",
    summary: "OpenMetrics text",
    options: OpenMetricsOptions::describe,
    build: build_openmetrics,
};

/// Options of the `prometheus` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PrometheusOptions {
    /// How samples become metrics: 2 names every metric `prometheus` and the field as the sample,
    /// 1 names the metric as the family and the field `gauge`, `counter`, `value`, `sum`,
    /// `count`, or by its bucket or quantile.
    prometheus_metric_version: u32,
    /// Whether to ignore the samples' own times and take that of the collection.
    prometheus_ignore_timestamp: bool,
}

/// Options of the `openmetrics` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct OpenMetricsOptions {
    /// How samples become metrics: 2 names every metric `prometheus` and the field as the sample,
    /// 1 names the metric as the family and the field `gauge`, `counter`, `value`, `sum`,
    /// `count`, or by its bucket or quantile.
    openmetrics_metric_version: u32,
    /// Whether to ignore the samples' own times and take that of the collection.
    openmetrics_ignore_timestamp: bool,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        Self {
            prometheus_metric_version: 2,
            prometheus_ignore_timestamp: false,
        }
    }
}

impl Default for OpenMetricsOptions {
    fn default() -> Self {
        Self {
            openmetrics_metric_version: 2,
            openmetrics_ignore_timestamp: false,
        }
    }
}

fn build_prometheus(table: &Table) -> BuiltParser {
    let options = PrometheusOptions::parse(table)?;
    Ok(Box::new(TextParser {
        dialect: Dialect::Prometheus,
        version: version(
            "prometheus_metric_version",
            options.prometheus_metric_version,
        )?,
        ignore_time: options.prometheus_ignore_timestamp,
    }))
}

fn build_openmetrics(table: &Table) -> BuiltParser {
    let options = OpenMetricsOptions::parse(table)?;
    Ok(Box::new(TextParser {
        dialect: Dialect::OpenMetrics,
        version: version(
            "openmetrics_metric_version",
            options.openmetrics_metric_version,
        )?,
        ignore_time: options.openmetrics_ignore_timestamp,
    }))
}

fn version(option: &str, number: u32) -> Result<Version, Vec<OptionError>> {
    match number {
        1 => Ok(Version::V1),
        // Zero is what a configuration without the option has in Telegraf.
        0 | 2 => Ok(Version::V2),
        _ => Err(vec![OptionError::new(
            option,
            format!("there is no version {number}; use 1 or 2"),
        )]),
    }
}

/// How samples become metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The metric is named as the family.
    V1,
    /// The field is named as the sample.
    V2,
}

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Times in milliseconds; types without suffixes.
    Prometheus,
    /// Times in seconds, units, exemplars, `_total` and `_created`, an end mark.
    OpenMetrics,
}

#[derive(Debug)]
struct TextParser {
    dialect: Dialect,
    version: Version,
    ignore_time: bool,
}

impl Parser for TextParser {
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        let mut report = Report::default();
        let text = match std::str::from_utf8(input) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(without_bad_lines(input, &mut report)),
        };
        let rows = batch.rows();
        Reader::new(self.dialect, self.version, self.ignore_time, batch).run(&text, &mut report);
        report.metrics = batch.rows() - rows;
        Ok(report)
    }

    /// Types are said once for all of a family's lines.
    fn framing(&self) -> Framing {
        Framing::Document
    }
}

/// The text with empty lines in place of those that are not UTF-8.
fn without_bad_lines(input: &[u8], report: &mut Report) -> String {
    let mut text = String::with_capacity(input.len());
    for (at, line) in input.split_inclusive(|b| *b == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(error) => {
                let column = error.valid_up_to() as u64 + 1;
                report.note(Problem::new(
                    at as u64 + 1,
                    column,
                    "the line is no valid UTF-8",
                ));
                text.push('\n');
            }
        }
    }
    text
}
