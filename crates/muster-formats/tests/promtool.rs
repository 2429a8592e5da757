//! Prometheus' own checker accepts what the serializer writes. Needs `promtool`, from Debian's
//! package `prometheus`; without it the test says so and passes.

use std::io::Write;
use std::process::{Command, Stdio};

use muster_metric::{Batch, MetricType, Timestamp};

#[test]
fn promtool_accepts_what_is_written() {
    let mut batch = Batch::new();
    let time = Timestamp::from_seconds(1_700_000_000);
    for cpu in ["cpu0", "cpu1"] {
        let metric = batch
            .metric("node")
            .kind(MetricType::Counter)
            .tag("cpu", cpu);
        metric
            .tag("path", "C:\\a \"b\"\n")
            .field("seconds_total", 1.5e9)
            .at(time);
    }
    batch
        .metric("mem")
        .kind(MetricType::Gauge)
        .field("free_bytes", u64::MAX)
        .at(time);
    batch.metric("odd name").field("value é", f64::NAN).at(time);
    let histogram = batch.metric("request_seconds").kind(MetricType::Histogram);
    histogram
        .field("0.5", 1.0)
        .field("2", 3.0)
        .field("sum", 2.5)
        .field("count", 4.0)
        .at(time);
    let summary = batch
        .metric("prometheus")
        .kind(MetricType::Summary)
        .tag("quantile", "0.9");
    summary.field("wait_seconds", 0.25).at(time);

    let row = muster_formats::serializer("prometheus").unwrap();
    let mut text = Vec::new();
    let serializer = (row.build)(&toml::Table::new()).ok().unwrap();
    let written = serializer.serialize(&mut batch.iter(), &mut text);
    assert_eq!((written.metrics, written.left_out), (batch.len(), 0));

    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect(
        "promtool is not installed; install it with: apt-get install -y --no-install-recommends prometheus",
    );
    promtool.stdin.take().unwrap().write_all(&text).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&text)
    );
}
