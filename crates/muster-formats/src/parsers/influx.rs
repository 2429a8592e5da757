//! `influx`: line protocol, read by [`muster_metric::line_protocol`].

use muster_metric::line_protocol::{self, Fault};
use muster_metric::{Batch, Precision};
use muster_options::{Duration, JsonSchema, OptionError, Options, Size};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::format::excerpt;
use crate::{BuiltParser, Framing, ParseError, Parser, ParserRow, Problem, Report};

pub(super) const ROW: ParserRow = ParserRow {
    name: "influx",
    summary: "InfluxDB line protocol",
    options: InfluxOptions::describe,
    build,
};

/// Options of the `influx` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InfluxOptions {
    /// The unit of timestamps: `1ns`, `1us`, `1ms` or `1s`.
    influx_timestamp_precision: Duration,
    /// The longest line that is taken.
    influx_max_line_bytes: Size,
    /// Accepted for configurations that set it; there is one parser.
    influx_parser_type: ParserType,
    /// What a bad line does: with `skip` it alone is left out and reported, with `fail` the whole
    /// input is refused, as Telegraf does it.
    on_error: OnError,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ParserType {
    /// Telegraf's own parser, whose rules hold here.
    #[default]
    #[serde(alias = "")]
    Internal,
    /// InfluxDB's parser; the same as `internal` here.
    Upstream,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnError {
    /// Leave the bad line out and report it.
    #[default]
    Skip,
    /// Refuse the whole input.
    Fail,
}

impl Default for InfluxOptions {
    fn default() -> Self {
        Self {
            influx_timestamp_precision: std::time::Duration::from_nanos(1).into(),
            influx_max_line_bytes: Size::from_bytes(line_protocol::DEFAULT_MAX_LINE_BYTES as u64),
            influx_parser_type: ParserType::default(),
            on_error: OnError::default(),
        }
    }
}

fn build(table: &Table) -> BuiltParser {
    let options = InfluxOptions::parse(table)?;
    let mut errors = Vec::new();
    let precision = match options.influx_timestamp_precision.as_nanos() {
        // Nothing given, in Telegraf's configuration.
        0 | 1 => Precision::NANOSECOND,
        1_000 => Precision::MICROSECOND,
        1_000_000 => Precision::MILLISECOND,
        1_000_000_000 => Precision::SECOND,
        _ => {
            let message = format!(
                "{} is none of 1ns, 1us, 1ms, 1s",
                options.influx_timestamp_precision
            );
            errors.push(OptionError::new("influx_timestamp_precision", message));
            Precision::NANOSECOND
        }
    };
    if options.influx_max_line_bytes.bytes() == 0 {
        errors.push(OptionError::new(
            "influx_max_line_bytes",
            "a line has at least one byte",
        ));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Box::new(InfluxParser(line_protocol::Parser {
        precision,
        on_error: match options.on_error {
            OnError::Skip => line_protocol::OnError::Skip,
            OnError::Fail => line_protocol::OnError::Fail,
        },
        max_line_bytes: options.influx_max_line_bytes.as_usize(),
        default_time: None,
    })))
}

#[derive(Debug)]
struct InfluxParser(line_protocol::Parser);

impl Parser for InfluxParser {
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        match self.0.parse(input, batch) {
            Ok(report) => Ok(Report {
                metrics: report.metrics,
                bad: report.bad_lines,
                problems: report.problems.iter().map(problem).collect(),
            }),
            Err(line_protocol::ParseError::BadLine(bad)) => Err(ParseError::At(problem(&bad))),
            Err(error) => Err(ParseError::Whole(error.to_string())),
        }
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn complete_len(&self, buffer: &[u8]) -> usize {
        self.0.complete_len(buffer)
    }
}

fn problem(bad: &line_protocol::Problem) -> Problem {
    let message = match bad.fault {
        // The excerpt may show what the reader's terminal cannot.
        fault @ Fault::NotUtf8 => fault.to_string(),
        fault => format!("{fault}: {}", excerpt(&bad.excerpt)),
    };
    Problem::new(bad.line, bad.column, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_parser, survives};
    use proptest::prelude::*;

    #[track_caller]
    fn check(options: &str, input: &str, want: &[&str]) {
        check_parser("influx", options, input, want);
    }

    #[test]
    fn reads_lines() {
        check(
            "",
            "cpu,host=a idle=1,n=2i 3\n# no\nmem free=1u\n",
            &["cpu,host=a idle=1,n=2i 3", "mem free=1u"],
        );
        check(
            "influx_timestamp_precision = '1s'",
            "cpu idle=1 3",
            &["cpu idle=1 3000000000"],
        );
        check(
            "influx_parser_type = 'upstream'",
            "cpu idle=1",
            &["cpu idle=1"],
        );
    }

    #[test]
    fn bad_lines_are_skipped_or_fail() {
        let input = "a v=1\nb\nc v=2\n";
        let message = "expected fields after the measurement and its tags: \"b\"";
        check("", input, &["a v=1", "c v=2", &format!("! 2:2 {message}")]);
        check(
            "on_error = 'fail'",
            input,
            &[&format!("!! line 2, column 2: {message}")],
        );
        check(
            "influx_max_line_bytes = 3",
            "a v=1\n",
            &["! 1:4 the line is longer than the limit: \"a v=1\""],
        );
        check(
            "influx_timestamp_precision = '2s'\ninflux_max_line_bytes = 0",
            "",
            &[
                "!!! influx_timestamp_precision: 2s is none of 1ns, 1us, 1ms, 1s",
                "!!! influx_max_line_bytes: a line has at least one byte",
            ],
        );
    }

    proptest! {
        #[test]
        fn survives_anything(input in any::<Vec<u8>>(), fail: bool) {
            survives(&ROW, if fail { "on_error = 'fail'" } else { "" }, &input);
        }
    }
}
