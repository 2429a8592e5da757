//! What the tests of the formats share.

use muster_metric::{Batch, Metric, Timestamp, Value};
use proptest::prelude::*;
use toml::Table;

use crate::{ParserRow, Report, SerializerRow};

/// A metric as one line of text, for comparison: close to line protocol, with the type at the end
/// if it has one.
pub(crate) fn show(metric: Metric<'_>) -> String {
    let mut out = metric.name().to_owned();
    for (key, value) in metric.tags() {
        out.push_str(&format!(",{key}={value}"));
    }
    for (at, (key, value)) in metric.fields().enumerate() {
        let value = match value {
            Value::Float(v) => format!("{v}"),
            Value::Int(v) => format!("{v}i"),
            Value::Uint(v) => format!("{v}u"),
            Value::Bool(v) => format!("{v}"),
            Value::Text(v) => format!("{v:?}"),
        };
        out.push_str(&format!("{}{key}={value}", if at == 0 { " " } else { "," }));
    }
    if let Some(time) = metric.time() {
        out.push_str(&format!(" {}", time.nanos()));
    }
    if metric.kind() != Default::default() {
        out.push_str(&format!(" {}", metric.kind().as_str()));
    }
    out
}

/// Parses `input` with the options in TOML. The result is one line a metric, then one line
/// `! line:column message` a problem, or the error as `!! message`.
pub(crate) fn parse(row: &str, options: &str, input: &[u8]) -> Vec<String> {
    let row = crate::parser(row).unwrap();
    let table: Table = toml::from_str(options).unwrap();
    let parser = match (row.build)(&table) {
        Ok(parser) => parser,
        Err(errors) => return errors.iter().map(|e| format!("!!! {e}")).collect(),
    };
    let mut batch = Batch::new();
    batch.metric("before").field("kept", true).untimed();
    let result = parser.parse(input, &mut batch);
    let mut metrics: Vec<String> = batch.iter().map(show).collect();
    assert_eq!(
        metrics.remove(0),
        "before kept=true",
        "what was there stays"
    );
    match result {
        Ok(Report {
            metrics: count,
            bad,
            problems,
        }) => {
            assert_eq!(count, metrics.len());
            assert_eq!(bad as usize, problems.len());
            metrics.extend(
                problems
                    .iter()
                    .map(|p| format!("! {}:{} {}", p.line, p.column, p.message)),
            );
        }
        Err(error) => {
            assert!(
                metrics.is_empty(),
                "a failed parse leaves nothing: {metrics:?}"
            );
            metrics.push(format!("!! {error}"));
        }
    }
    metrics
}

/// The one check of a parser: options, input, and what [`parse`] gives.
#[track_caller]
pub(crate) fn check_parser(row: &str, options: &str, input: &str, want: &[&str]) {
    assert_eq!(
        parse(row, options, input.as_bytes()),
        want,
        "{options}\n{input}"
    );
}

/// Serializes metrics with the options in TOML.
pub(crate) fn serialize(row: &str, options: &str, batch: &Batch) -> String {
    let row = crate::serializer(row).unwrap();
    let table: Table = toml::from_str(options).unwrap();
    match (row.build)(&table) {
        Ok(serializer) => {
            let mut out = Vec::new();
            let written = serializer.serialize(&mut batch.iter(), &mut out);
            assert_eq!(written.metrics + written.left_out, batch.len());
            String::from_utf8(out).unwrap()
        }
        Err(errors) => errors
            .iter()
            .map(|e| format!("!!! {e}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// The one check of a serializer: options, metrics, and the text.
#[track_caller]
pub(crate) fn check_serializer(row: &str, options: &str, batch: &Batch, want: &str) {
    assert_eq!(serialize(row, options, batch), want, "{options}");
}

/// A parser never panics and keeps its word, whatever comes.
pub(crate) fn survives(row: &ParserRow, options: &str, input: &[u8]) {
    let table: Table = toml::from_str(options).unwrap();
    let Ok(parser) = (row.build)(&table) else {
        panic!("{options} does not build")
    };
    let mut batch = Batch::new();
    batch.metric("before").field("kept", true).untimed();
    let complete = parser.complete_len(input);
    assert!(complete <= input.len());
    match parser.parse(input, &mut batch) {
        Ok(report) => {
            assert_eq!(report.metrics + 1, batch.len());
            assert!(report.problems.len() <= crate::MAX_PROBLEMS);
            assert!(report.bad >= report.problems.len() as u64);
        }
        Err(_) => assert_eq!(batch.len(), 1),
    }
    for row in crate::SERIALIZERS {
        survives_serializing(row, &batch);
    }
}

/// A serializer never panics and accounts for every metric.
pub(crate) fn survives_serializing(row: &SerializerRow, batch: &Batch) {
    let Ok(serializer) = (row.build)(&Table::new()) else {
        panic!("{} does not build", row.name)
    };
    let mut out = Vec::new();
    let written = serializer.serialize(&mut batch.iter(), &mut out);
    assert_eq!(
        written.metrics + written.left_out,
        batch.len(),
        "{}",
        row.name
    );
    assert!(std::str::from_utf8(&out).is_ok(), "{}", row.name);
}

/// Any field value.
pub(crate) fn value() -> impl Strategy<Value = OwnValue> {
    prop_oneof![
        any::<f64>().prop_map(OwnValue::Float),
        any::<i64>().prop_map(OwnValue::Int),
        any::<u64>().prop_map(OwnValue::Uint),
        any::<bool>().prop_map(OwnValue::Bool),
        any::<String>().prop_map(OwnValue::Text),
    ]
}

/// A value that owns its text.
#[derive(Clone, Debug)]
pub(crate) enum OwnValue {
    Float(f64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Text(String),
}

impl OwnValue {
    pub(crate) fn get(&self) -> Value<'_> {
        match self {
            Self::Float(v) => Value::Float(*v),
            Self::Int(v) => Value::Int(*v),
            Self::Uint(v) => Value::Uint(*v),
            Self::Bool(v) => Value::Bool(*v),
            Self::Text(v) => Value::Text(v),
        }
    }
}

/// A batch of a few arbitrary metrics.
pub(crate) fn any_batch() -> impl Strategy<Value = Batch> {
    let tags = prop::collection::vec((any::<String>(), any::<String>()), 0..4);
    let fields = prop::collection::vec((any::<String>(), value()), 0..4);
    let metric = (any::<String>(), tags, fields, any::<Option<i64>>());
    prop::collection::vec(metric, 0..6).prop_map(|metrics| {
        let mut batch = Batch::new();
        for (name, tags, fields, time) in &metrics {
            let mut metric = batch.metric(name);
            for (key, value) in tags {
                metric.add_tag(key, value);
            }
            for (key, value) in fields {
                metric.add_field(key, value.get());
            }
            metric.finish(time.map(Timestamp::from_nanos));
        }
        batch
    })
}
