//! Bytes from somewhere, through a parser, into a batch.

use std::sync::Arc;

use muster_formats::{Framing, ParseError, Parser, Report, name_unnamed};
use muster_metric::Batch;
use muster_plugin::PluginError;

/// A parser and the name for metrics that have none.
#[derive(Clone)]
pub(crate) struct Feed {
    parser: Arc<dyn Parser>,
    name: &'static str,
}

impl Feed {
    /// Feeds the parser; metrics without a name get the plugin's.
    pub(crate) fn new(parser: Arc<dyn Parser>, name: &'static str) -> Self {
        Self { parser, name }
    }

    /// Parses a whole document that came from `source`.
    ///
    /// # Errors
    /// If it, or a record in it, is bad. What is good is in the batch.
    pub(crate) fn document(
        &self,
        bytes: &[u8],
        source: &str,
        batch: &mut Batch,
    ) -> Result<(), PluginError> {
        let first = batch.rows();
        let parsed = self.parser.parse(bytes, batch);
        name_unnamed(batch, first, self.name);
        judge(parsed, source)
    }

    /// How many leading bytes of a stream are whole records.
    pub(crate) fn complete_len(&self, stream: &[u8]) -> usize {
        match self.parser.framing() {
            Framing::Lines => self.parser.complete_len(stream),
            Framing::Document => memchr::memrchr(b'\n', stream).map_or(0, |at| at + 1),
        }
    }

    /// Parses whole records of a stream. In formats that know only documents each line is one. A
    /// bad record does not keep the others out.
    pub(crate) fn records(
        &self,
        bytes: &[u8],
        source: &str,
        batch: &mut Batch,
        mut report: impl FnMut(PluginError),
    ) {
        if self.parser.framing() == Framing::Lines {
            let first = batch.rows();
            if let Ok(done) = self.parser.parse(bytes, batch) {
                name_unnamed(batch, first, self.name);
                if let Err(error) = judge(Ok(done), source) {
                    report(error);
                }
                return;
            }
        }
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if line.iter().any(|b| !b.is_ascii_whitespace())
                && let Err(error) = self.document(line, source, batch)
            {
                report(error);
            }
        }
    }
}

fn judge(parsed: Result<Report, ParseError>, source: &str) -> Result<(), PluginError> {
    let failed = || PluginError::new(format!("parse what came from {source}"));
    match parsed {
        Ok(Report { bad: 0, .. }) => Ok(()),
        Ok(Report { bad, problems, .. }) => {
            let first = problems
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            Err(failed().because(match bad {
                1 => first,
                bad => format!("{bad} bad records, the first at {first}"),
            }))
        }
        Err(error) => Err(failed().because(error)),
    }
}
