//! Line protocol against the vendor's crate `influxdb-line-protocol`, side by side in one run.
//!
//! `cargo run --release -p muster-metric --features workload --example line_protocol_speed`
//!
//! Rounds of all contenders alternate, so that whatever else the machine does meets each of
//! them; the best round of each counts.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use muster_metric::line_protocol::{Parser, Writer};
use muster_metric::{Batch, workload};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LINES: usize = 2_000;
const ROUNDS: usize = 200;

fn main() {
    println!("best of {ROUNDS} rounds, {LINES} lines, one thread");
    compare("host mix", &workload::host_lines(LINES));
    compare("one field", &workload::one_field_lines(LINES));
}

fn compare(name: &str, text: &str) {
    let (mut batch, mut out) = (Batch::new(), Vec::new());
    let mut best = [Duration::MAX; 5];
    for _ in 0..ROUNDS {
        let rounds = [
            time(|| vendor(text)),
            time(|| parse(text, &mut Batch::new())),
            time(|| {
                batch.clear();
                parse(text, &mut batch);
            }),
            time(|| {
                batch.clear();
                parse(text, &mut batch);
                serialize(&batch, &mut out);
            }),
            time(|| serialize(&batch, &mut out)),
        ];
        for (best, round) in best.iter_mut().zip(rounds) {
            *best = round.min(*best);
        }
    }
    println!("\n{name}: {} bytes a line", text.len() / LINES);
    let labels = [
        "vendor's crate, parse",
        "muster, parse, new batch",
        "muster, parse, reused batch",
        "muster, parse and serialize",
        "muster, serialize",
    ];
    for (label, time) in labels.iter().zip(best) {
        println!(
            "  {label:<28} {:>6.2} M metrics/s {:>7.0} MB/s {:>7.1} ns/metric {:>6.2}x",
            LINES as f64 / time.as_secs_f64() / 1e6,
            text.len() as f64 / time.as_secs_f64() / 1e6,
            time.as_nanos() as f64 / LINES as f64,
            best[0].as_secs_f64() / time.as_secs_f64(),
        );
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn vendor(text: &str) {
    let parsed = influxdb_line_protocol::parse_lines(text)
        .filter_map(Result::ok)
        .map(|line| black_box(line).field_set.len())
        .sum::<usize>();
    assert!(parsed >= LINES);
}

fn parse(text: &str, batch: &mut Batch) {
    let report = Parser::default().parse(text.as_bytes(), batch);
    assert!(
        report.is_ok_and(|report| report.metrics == LINES),
        "every line is good"
    );
    black_box(batch);
}

fn serialize(batch: &Batch, out: &mut Vec<u8>) {
    out.clear();
    let written = Writer::default().write_all(batch.iter(), out);
    assert_eq!(written.metrics, LINES);
    black_box(out);
}
