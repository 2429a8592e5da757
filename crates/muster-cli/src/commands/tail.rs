//! `muster tail`.

use std::process::ExitCode;

use clap::Args;
use muster_metric::line_protocol::{Parser, Writer};
use muster_metric::{Batch, Metric, Value};
use muster_net::path_segment;
use serde_json::{Value as Json, json};

use crate::args::ClientArgs;
use crate::session::Session;
use crate::text::printable;
use crate::{CommandResult, Failure};

/// Which metrics.
#[derive(Debug, Args)]
#[command(
    after_help = "The metrics are shown as they pass to the outputs, until Ctrl-C. What cannot be printed in time
is left out; the agent never waits.

Examples:
  muster tail
  muster tail 'cpu,disk*' --limit 20
  muster tail --json mem | jq .fields.available"
)]
pub(crate) struct TailArgs {
    /// Patterns of measurement names, joined by commas; all if it is not given.
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// End after so many metrics.
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn tail(session: &Session, args: &TailArgs) -> CommandResult {
    use std::io::{IsTerminal, Write};
    let filter = args
        .filter
        .as_deref()
        .map(|f| format!("?filter={}", path_segment(f)));
    let path = format!("/api/v1/tail{}", filter.unwrap_or_default());
    let mut metrics = Metrics {
        left: args.limit,
        json: session.json,
        ..Metrics::default()
    };
    let mut out = std::io::stdout();
    let to_terminal = out.is_terminal();
    let stream = session
        .client()
        .stream("watch the metrics", &path, |piece| {
            let text = metrics.take(piece)?;
            let text = if to_terminal { printable(&text) } else { text };
            // Nobody reads on: that is the end and no failure.
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            Ok(written.is_ok() && metrics.left != Some(0))
        });
    session.block_on(stream)?;
    Ok(ExitCode::SUCCESS)
}

/// Cuts what comes in pieces into whole metrics.
#[derive(Default)]
struct Metrics {
    buffer: Vec<u8>,
    left: Option<u64>,
    json: bool,
}

impl Metrics {
    /// What is to be printed of what is whole by now.
    fn take(&mut self, piece: &[u8]) -> Result<String, Failure> {
        self.buffer.extend_from_slice(piece);
        let parser = Parser::default();
        let whole = parser.complete_len(&self.buffer);
        let lines: Vec<u8> = self.buffer.drain(..whole).collect();
        if !self.json && self.left.is_none() {
            return Ok(String::from_utf8_lossy(&lines).into_owned());
        }
        let mut batch = Batch::new();
        parser.parse(&lines, &mut batch).map_err(Failure::failed)?;
        let mut out = Vec::new();
        let writer = Writer {
            uint_support: true,
            ..Writer::default()
        };
        for metric in batch.iter() {
            if let Some(left) = &mut self.left {
                match left.checked_sub(1) {
                    Some(less) => *left = less,
                    None => break,
                }
            }
            if self.json {
                out.extend_from_slice(to_json(metric).to_string().as_bytes());
                out.push(b'\n');
            } else {
                writer.write(metric, &mut out).map_err(Failure::failed)?;
            }
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

fn to_json(metric: Metric<'_>) -> Json {
    let tags = metric
        .tags()
        .map(|(key, value)| (key.to_owned(), value.into()));
    let fields = metric.fields().map(|(key, value)| {
        let value = match value {
            Value::Float(number) => number.into(),
            Value::Int(number) => number.into(),
            Value::Uint(number) => number.into(),
            Value::Bool(flag) => flag.into(),
            Value::Text(text) => text.into(),
        };
        (key.to_owned(), value)
    });
    json!({
        "name": metric.name(),
        "tags": tags.collect::<serde_json::Map<_, Json>>(),
        "fields": fields.collect::<serde_json::Map<_, Json>>(),
        "time": metric.time().map(muster_metric::Timestamp::nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_whole_metrics() {
        let check = |mut metrics: Metrics, pieces: &[&str], want: &[&str]| {
            let got: Vec<String> = pieces
                .iter()
                .map(|p| metrics.take(p.as_bytes()).unwrap())
                .collect();
            assert_eq!(got, want);
        };
        let pieces = ["a x=1 5\nb y=", "\"p\nq\" 6\nc z", "=3i 7\n"];
        check(
            Metrics::default(),
            &pieces,
            &["a x=1 5\n", "b y=\"p\nq\" 6\n", "c z=3i 7\n"],
        );
        let two = Metrics {
            left: Some(2),
            ..Metrics::default()
        };
        check(two, &pieces, &["a x=1 5\n", "b y=\"p\nq\" 6\n", ""]);
        let mut json = Metrics {
            json: true,
            ..Metrics::default()
        };
        let got: Json = serde_json::from_str(&json.take(b"a,h=1 x=1 5\n").unwrap()).unwrap();
        assert_eq!(
            got,
            json!({"name": "a", "tags": {"h": "1"}, "fields": {"x": 1.0}, "time": 5})
        );
    }
}
