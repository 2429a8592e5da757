//! How fast the hot formats are, on one core:
//! `cargo run --release -p muster-formats --example speed`.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for people to look at"
)]

use std::time::{Duration, Instant};

use muster_metric::Batch;
use toml::Table;

const SAMPLES: usize = 50_000;

fn main() {
    let prometheus = exposition(SAMPLES);
    let json: String = (0..SAMPLES)
        .map(|n| {
            format!(
                "{{\"host\":\"db{}\",\"cpu\":{{\"user\":{n}.5,\"idle\":3}}}}\n",
                n % 9
            )
        })
        .collect();
    let csv: String = (0..SAMPLES)
        .map(|n| format!("db{},{n}.5,{n},true\n", n % 9))
        .collect();
    let influx: String = (0..SAMPLES)
        .map(|n| {
            format!(
                "cpu,host=db{},cpu=cpu{n} user={n}.5,idle=3i 1700000000000000000\n",
                n % 9
            )
        })
        .collect();
    parse("influx", "", &influx);
    parse("prometheus", "", &prometheus);
    parse("prometheus", "prometheus_metric_version = 1", &prometheus);
    parse("json", "tag_keys = ['host']", &json);
    parse(
        "csv",
        "csv_column_names = ['host', 'a', 'b', 'c']\ncsv_tag_columns = ['host']",
        &csv,
    );
    for format in ["influx", "json", "csv", "prometheus"] {
        serialize(format, &prometheus);
    }
}

/// What a scrape brings: gauges with a few labels, counters, histograms.
fn exposition(samples: usize) -> String {
    let mut text = String::new();
    for family in 0..samples / 100 {
        text.push_str(&format!(
            "# HELP app_{family}_bytes Some bytes.\n# TYPE app_{family}_bytes gauge\n"
        ));
        for n in 0..70 {
            text.push_str(&format!(
                "app_{family}_bytes{{instance=\"10.0.0.{n}:9100\",job=\"node\",device=\"sda{n}\"}} {n}{family}.25\n"
            ));
        }
        text.push_str(&format!("# TYPE app_{family}_seconds histogram\n"));
        for n in 0..30 {
            text.push_str(&format!(
                "app_{family}_seconds_bucket{{job=\"node\",le=\"{}\"}} {n}\n",
                f64::from(n) / 4.0
            ));
        }
    }
    text
}

fn parse(format: &str, options: &str, text: &str) {
    let parser = build(crate_parser(format), options);
    let mut batch = Batch::new();
    let (best, count) = best_of(|| {
        batch.clear();
        parser
            .parse(text.as_bytes(), &mut batch)
            .expect("the text is good")
            .metrics
    });
    show(
        &format!(
            "parse {format} {}",
            options.lines().next().unwrap_or_default()
        ),
        best,
        count,
        text.len(),
    );
}

fn serialize(format: &str, text: &str) {
    let parser = build(crate_parser("prometheus"), "");
    let mut batch = Batch::new();
    parser
        .parse(text.as_bytes(), &mut batch)
        .expect("the text is good");
    batch.stamp(muster_metric::Timestamp::from_seconds(1_700_000_000));
    let row = muster_formats::serializer(format).expect("the format is there");
    let Ok(serializer) = (row.build)(&Table::new()) else {
        return;
    };
    let mut out = Vec::new();
    let (best, count) = best_of(|| {
        out.clear();
        serializer.serialize(&mut batch.iter(), &mut out).metrics
    });
    show(&format!("serialize {format}"), best, count, out.len());
}

fn crate_parser(format: &str) -> &'static muster_formats::ParserRow {
    muster_formats::parser(format).expect("the format is there")
}

fn build(row: &muster_formats::ParserRow, options: &str) -> Box<dyn muster_formats::Parser> {
    let table: Table = toml::from_str(options).expect("the options are TOML");
    match (row.build)(&table) {
        Ok(parser) => parser,
        Err(errors) => std::process::exit(errors.len() as i32),
    }
}

fn best_of(mut run: impl FnMut() -> usize) -> (Duration, usize) {
    let mut best = Duration::MAX;
    let mut count = 0;
    for _ in 0..15 {
        let start = Instant::now();
        count = run();
        best = best.min(start.elapsed());
    }
    (best, count)
}

fn show(what: &str, best: Duration, metrics: usize, bytes: usize) {
    let seconds = best.as_secs_f64();
    println!(
        "{what:52} {:6.2} M metrics/s {:8.0} MB/s",
        metrics as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );
}
