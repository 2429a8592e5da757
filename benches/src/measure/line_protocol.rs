//! Line protocol beside the vendor's crate `influxdb-line-protocol`, on one thread.

use std::hint::black_box;

use muster_metric::line_protocol::{Parser, Writer};
use muster_metric::{Batch, workload};

use super::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::cpu_of;

const LINES: usize = 2_000;
const ROUNDS: usize = 200;

pub(super) fn measure(_: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (name, text, judged) in [
        ("a host's metrics", workload::host_lines(LINES), true),
        (
            "a service's requests",
            workload::request_lines(LINES),
            false,
        ),
        (
            "lines of one field",
            workload::one_field_lines(LINES),
            false,
        ),
    ] {
        let [vendor, parse, both] = compare(&text);
        let note = format!("{} B a line", text.len() / LINES);
        let row = |what: &str, figure: f64, least: f64| {
            let target = if judged {
                Target::RatioAtLeast(least)
            } else {
                Target::None
            };
            Row::new(
                &format!("line protocol, {what}: {name}"),
                Unit::MetricsPerSecond,
                figure,
                target,
            )
            .beside("parse by influxdb-line-protocol", vendor)
            .note(note.clone())
        };
        rows.push(row("parse", parse, 6.0));
        rows.push(row("parse and serialize", both, 3.0));
    }
    Ok(rows)
}

/// Metrics a second: the vendor's parse, ours, ours with serialization.
fn compare(text: &str) -> [f64; 3] {
    let (mut batch, mut out) = (Batch::new(), Vec::new());
    let mut best = [0f64; 3];
    for _ in 0..ROUNDS {
        let round = [
            cpu_of(|| vendor(text)),
            cpu_of(|| {
                batch.clear();
                parse(text, &mut batch);
            }),
            cpu_of(|| {
                batch.clear();
                parse(text, &mut batch);
                serialize(&batch, &mut out);
            }),
        ];
        for (best, time) in best.iter_mut().zip(round) {
            *best = best.max(LINES as f64 / time.as_secs_f64());
        }
    }
    best
}

fn vendor(text: &str) {
    let parsed = influxdb_line_protocol::parse_lines(text)
        .filter_map(Result::ok)
        .map(|line| black_box(line).field_set.len())
        .sum::<usize>();
    assert!(parsed >= LINES, "the vendor's crate refuses lines");
}

pub(super) fn parse(text: &str, batch: &mut Batch) {
    let report = Parser::default().parse(text.as_bytes(), batch);
    assert!(
        report.is_ok_and(|report| report.bad_lines == 0),
        "every line is good"
    );
    black_box(batch);
}

pub(super) fn serialize(batch: &Batch, out: &mut Vec<u8>) {
    out.clear();
    let written = Writer::default().write_all(batch.iter(), out);
    assert_eq!(written.metrics, batch.rows(), "every metric is written");
    black_box(out);
}
