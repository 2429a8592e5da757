use super::*;
use crate::testing::{any_batch, check_serializer, serialize, show, survives_serializing};
use muster_metric::{Batch, MetricType};
use proptest::prelude::*;

fn compact(options: &str) -> String {
    format!("prometheus_compact_encoding = true\n{options}")
}

#[test]
fn groups_families() {
    let mut batch = Batch::new();
    let at = Timestamp::from_nanos(1_574_317_740_123_456_789);
    for (cpu, user) in [("cpu1", 2.5), ("cpu0", 1e6)] {
        let metric = batch
            .metric("cpu")
            .tag("cpu", cpu)
            .tag("b.c", "x\"\\\n")
            .kind(MetricType::Counter);
        metric
            .field("time_user", user)
            .field("up", true)
            .field("state", "ok")
            .at(at);
    }
    batch.metric("prometheus").field("plain", 3_i64).untimed();
    check_serializer(
        "prometheus",
        "",
        &batch,
        "\
# HELP cpu_time_user Metric collected by Muster.
# TYPE cpu_time_user counter
cpu_time_user{b_c=\"x\\\"\\\\\\n\",cpu=\"cpu1\"} 2.5
cpu_time_user{b_c=\"x\\\"\\\\\\n\",cpu=\"cpu0\"} 1e+06
# HELP cpu_up Metric collected by Muster.
# TYPE cpu_up counter
cpu_up{b_c=\"x\\\"\\\\\\n\",cpu=\"cpu1\"} 1
cpu_up{b_c=\"x\\\"\\\\\\n\",cpu=\"cpu0\"} 1
# HELP plain Metric collected by Muster.
# TYPE plain untyped
plain 3
",
    );
    let options = "prometheus_sort_metrics = true\nprometheus_export_timestamp = true\n\
        prometheus_string_as_label = true\n\
        [prometheus_metric_types]\ngauge = ['cpu_*']\ncounter = ['pl?in']";
    let labels = |cpu| format!("b_c=\"x\\\"\\\\\\n\",cpu=\"{cpu}\",state=\"ok\"");
    check_serializer(
        "prometheus",
        &compact(options),
        &batch,
        &format!(
            "\
# TYPE cpu_time_user gauge
cpu_time_user{{{0}}} 1e+06 1574317740123
cpu_time_user{{{1}}} 2.5 1574317740123
# TYPE cpu_up gauge
cpu_up{{{0}}} 1 1574317740123
cpu_up{{{1}}} 1 1574317740123
# TYPE plain counter
plain 3
",
            labels("cpu0"),
            labels("cpu1")
        ),
    );
}

#[test]
fn keeps_the_latest_of_a_series_and_one_type_a_family() {
    let mut batch = Batch::new();
    for (value, seconds) in [(1.0, 10), (2.0, 20), (3.0, 15)] {
        batch
            .metric("m")
            .field("v", value)
            .at(Timestamp::from_seconds(seconds));
    }
    batch
        .metric("m")
        .tag("a.b", "1")
        .tag("a-b", "2")
        .field("v", 4.0)
        .kind(MetricType::Gauge)
        .untimed();
    batch
        .metric("m")
        .kind(MetricType::Histogram)
        .field("v_sum", 4.0)
        .untimed();
    batch
        .metric("0bad name")
        .field("é", 5.0)
        .field("5m", 6.0)
        .untimed();
    batch.metric("text").field("only", "text").untimed();
    let want = "# TYPE m_v untyped\nm_v 2\nm_v{a_b=\"2\"} 4\n# TYPE _bad_name__ untyped\n_bad_name__ 5\n\
        # TYPE _bad_name_5m untyped\n_bad_name_5m 6\n";
    check_serializer("prometheus", &compact(""), &batch, want);
}

#[test]
fn histograms_and_summaries_of_both_versions() {
    let histogram = "# TYPE h histogram\nh_bucket{t=\"a\",le=\"0.5\"} 1\nh_bucket{t=\"a\",le=\"1\"} 3\n\
        h_bucket{t=\"a\",le=\"+Inf\"} 4\nh_sum{t=\"a\"} 2.5\nh_count{t=\"a\"} 4\n";
    let summary =
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 3\ns_sum 9\ns_count 4\n";

    let mut v2 = Batch::new();
    let prometheus =
        |batch: &mut Batch, kind, tag: Option<(&str, &str)>, field: &str, value: f64| {
            let mut metric = batch.metric("prometheus").kind(kind);
            if kind == MetricType::Histogram {
                metric.add_tag("t", "a");
            }
            if let Some((key, value)) = tag {
                metric.add_tag(key, value);
            }
            metric.field(field, value).untimed();
        };
    let kind = MetricType::Histogram;
    prometheus(&mut v2, kind, None, "h_sum", 2.5);
    prometheus(&mut v2, kind, Some(("le", "1.0")), "h_bucket", 3.0);
    prometheus(&mut v2, kind, Some(("le", "0.5")), "h_bucket", 1.0);
    prometheus(&mut v2, kind, None, "h_count", 4.0);
    let kind = MetricType::Summary;
    prometheus(&mut v2, kind, Some(("quantile", "0.9")), "s", 3.0);
    prometheus(&mut v2, kind, Some(("quantile", "0.5")), "s", 1.0);
    prometheus(&mut v2, kind, None, "s_sum", 9.0);
    prometheus(&mut v2, kind, None, "s_count", 4.0);
    check_serializer(
        "prometheus",
        &compact(""),
        &v2,
        &format!("{histogram}{summary}"),
    );

    let mut v1 = Batch::new();
    let metric = v1.metric("h").tag("t", "a").kind(MetricType::Histogram);
    metric
        .field("1", 3.0)
        .field("0.5", 1.0)
        .field("sum", 2.5)
        .field("count", 4.0)
        .untimed();
    let metric = v1.metric("s").kind(MetricType::Summary);
    metric
        .field("0.5", 1.0)
        .field("0.9", 3.0)
        .field("sum", 9.0)
        .field("count", 4.0)
        .untimed();
    check_serializer(
        "prometheus",
        &compact(""),
        &v1,
        &format!("{histogram}{summary}"),
    );
}

#[test]
fn version_1_names() {
    let mut batch = Batch::new();
    batch
        .metric("a")
        .kind(MetricType::Gauge)
        .field("gauge", 1.0)
        .field("counter", 2.0)
        .untimed();
    batch
        .metric("b")
        .field("value", 3.0)
        .field("other", 4.0)
        .untimed();
    let naming = Naming::Measurement;
    let options = ExpositionOptions {
        naming,
        compact: true,
        ..ExpositionOptions::default()
    };
    let mut exposition = Exposition::new(options);
    for metric in batch.iter() {
        assert!(exposition.add(metric, Timestamp::from_seconds(1)));
    }
    let mut out = Vec::new();
    exposition.write(&mut out);
    let want = "# TYPE a gauge\na 1\n# TYPE a_counter gauge\na_counter 2\n\
        # TYPE b untyped\nb 3\n# TYPE b_other untyped\nb_other 4\n";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn old_series_expire() {
    let mut batch = Batch::new();
    for tag in ["1", "2", "3"] {
        batch.metric("m").tag("t", tag).field("v", 1.0).untimed();
    }
    let mut exposition = Exposition::new(ExpositionOptions::default());
    for (at, metric) in batch.iter().enumerate() {
        exposition.add(metric, Timestamp::from_seconds(at as i64));
    }
    assert_eq!(exposition.expire(Timestamp::from_seconds(1)), 1);
    assert_eq!(exposition.len(), 2);
    for metric in batch.iter() {
        exposition.add(metric, Timestamp::from_seconds(9));
    }
    assert_eq!(exposition.len(), 3);
    assert_eq!(exposition.expire(Timestamp::from_seconds(10)), 3);
    assert!(exposition.is_empty());
}

/// Samples of a few types with legal names, as Prometheus itself would show them.
fn exposed() -> impl Strategy<Value = Batch> {
    let kinds = prop_oneof![
        Just(MetricType::Untyped),
        Just(MetricType::Counter),
        Just(MetricType::Gauge),
    ];
    let labels = prop::collection::btree_map("l_[a-c]", "[^\r]{1,5}", 0..3);
    let time = prop::option::of(-1_000_000_000_000_i64..4_000_000_000_000);
    let sample = (0..20_usize, kinds, labels, any::<f64>(), time);
    prop::collection::vec(sample, 0..12).prop_map(|samples| {
        let mut batch = Batch::new();
        let mut names = std::collections::BTreeMap::new();
        for (name, kind, labels, value, millis) in &samples {
            let kind = *names.entry(*name).or_insert(*kind);
            let mut metric = batch.metric("prometheus").kind(kind);
            for (key, value) in labels {
                metric.add_tag(key, value);
            }
            let value = if value.is_nan() { 0.0 } else { *value };
            let time = millis.map(|millis| Timestamp::from_nanos(millis * 1_000_000));
            metric.field(format!("m_{name}x"), value).finish(time);
        }
        batch
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(batch in exposed()) {
        let options = "prometheus_export_timestamp = true";
        let text = serialize("prometheus", options, &batch);
        let parser = crate::parser("prometheus").unwrap();
        let parser = (parser.build)(&toml::Table::new()).ok().unwrap();
        let mut read = Batch::new();
        let report = parser.parse(text.as_bytes(), &mut read).unwrap();
        prop_assert_eq!(report.problems, vec![], "{}", text);
        // Only the latest value of a series is shown, so not all that was there is read.
        let known: Vec<String> = batch.iter().map(show).collect();
        for metric in read.iter().map(show) {
            prop_assert!(known.contains(&metric), "{}\n{:?}\n{}", metric, known, text);
        }
        // And once more it is the same text.
        prop_assert_eq!(serialize("prometheus", options, &read), text);
    }

    #[test]
    fn survives_anything(batch in any_batch()) {
        survives_serializing(&ROW, &batch);
        let text = serialize("prometheus", "prometheus_string_as_label = true", &batch);
        let lines = crate::testing::parse("prometheus", "", text.as_bytes());
        prop_assert!(lines.iter().all(|line| !line.starts_with('!')), "{:?}\n{}", lines, text);
    }
}
