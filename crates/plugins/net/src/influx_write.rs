//! What the listeners for InfluxDB's write protocols have in common.

use muster_metric::line_protocol::{OnError, Parser, Report};
use muster_metric::{Batch, Precision, Timestamp};

/// The lines of one request.
pub(crate) struct Lines {
    pub(crate) batch: Batch,
    /// What is wrong with some of them; in InfluxDB's words.
    pub(crate) problem: Option<String>,
}

/// Reads lines; bad ones are left out.
pub(crate) fn read(body: &[u8], precision: Precision) -> Lines {
    let parser = Parser {
        precision,
        on_error: OnError::Skip,
        default_time: Some(Timestamp::now()),
        ..Parser::default()
    };
    let mut batch = Batch::with_capacity(16, body.len());
    let problem = match parser.parse(body, &mut batch) {
        Ok(report) => describe(&report),
        Err(error) => Some(error.to_string()),
    };
    Lines { batch, problem }
}

fn describe(report: &Report) -> Option<String> {
    let first = report.first()?;
    let problem = format!(
        "unable to parse '{}': {} (line {}, column {})",
        first.excerpt, first.fault, first.line, first.column
    );
    let more = match report.bad_lines {
        0 | 1 => String::new(),
        bad => format!("; {} more lines are bad", bad - 1),
    };
    let partial = if report.metrics > 0 {
        "partial write: "
    } else {
        ""
    };
    Some(format!("{partial}{problem}{more}"))
}

/// Tags all metrics.
pub(crate) fn tag(batch: &mut Batch, key: &str, value: &str) {
    let (key, value) = (batch.text(key), batch.text(value));
    batch.for_each_mut(|mut metric| metric.set_tag(key, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_good_lines_and_tells_of_bad_ones() {
        let lines = read(b"a v=1 1\nbad\nb v=2 2\nworse\n", Precision::SECOND);
        assert_eq!(lines.batch.len(), 2);
        let problem = lines.problem.unwrap();
        assert!(
            problem.starts_with("partial write: unable to parse 'bad': "),
            "{problem}"
        );
        assert!(problem.ends_with("; 1 more lines are bad"), "{problem}");
        let lines = read(b"bad", Precision::SECOND);
        assert!(
            lines
                .problem
                .unwrap()
                .starts_with("unable to parse 'bad': ")
        );
        assert!(read(b"a v=1\n", Precision::SECOND).problem.is_none());
    }
}
