//! What the tests of this crate share.

use std::time::Duration;

use muster_metric::{Batch, Value};
use muster_plugin::compliance::{Plugin, Running, Stage};
use muster_plugin::{Input, Kind, PluginRow, ServiceInput};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn input(row: &PluginRow, options: &str) -> Box<dyn Input> {
    match Stage::build(row, &toml::from_str(options).unwrap()) {
        Ok(Plugin::Input(input)) => input,
        Ok(_) => panic!("{} is no polled input", row.name),
        Err(errors) => panic!("{errors:?}"),
    }
}

pub(crate) fn service(row: &PluginRow, options: &str) -> Box<dyn ServiceInput> {
    match Stage::build(row, &toml::from_str(options).unwrap()) {
        Ok(Plugin::Service(service)) => service,
        Ok(_) => panic!("{} is no service input", row.name),
        Err(errors) => panic!("{errors:?}"),
    }
}

/// The metrics, as `name key=tag key=field`, in their order.
pub(crate) fn shown(batch: &Batch) -> Vec<String> {
    let show = |value: Value<'_>| match value {
        Value::Float(v) => v.to_string(),
        Value::Int(v) => format!("{v}i"),
        Value::Uint(v) => format!("{v}u"),
        Value::Bool(v) => v.to_string(),
        Value::Text(v) => format!("{v:?}"),
    };
    let line = |metric: muster_metric::Metric<'_>| {
        let mut line = metric.name().to_owned();
        metric
            .tags()
            .for_each(|(k, v)| line.push_str(&format!(" {k}={v}")));
        metric
            .fields()
            .for_each(|(k, v)| line.push_str(&format!(" {k}={}", show(v))));
        line
    };
    batch.iter().map(line).collect()
}

/// Gathers once: the metrics, and all that went wrong, the gather's own failure last.
pub(crate) async fn gather(row: &PluginRow, options: &str) -> (Vec<String>, Vec<String>) {
    let stage = Stage::new(Kind::Input);
    let mut input = input(row, options);
    input.start(&stage.start_context()).await.unwrap();
    let (batch, reports, result) = stage.gather(&mut *input).await.unwrap();
    let errors = reports.into_iter().chain(result.err());
    let errors = errors.map(|error| error.to_string()).collect();
    assert!(stage.end().await.is_clean());
    (shown(&batch), errors)
}

/// Starts and runs a service input.
pub(crate) async fn run(stage: &Stage, mut service: Box<dyn ServiceInput>) -> Running {
    service.start(&stage.start_context()).await.unwrap();
    stage.run(service).unwrap()
}

/// Waits for so many metrics and takes them.
pub(crate) async fn take(running: &Running, count: usize) -> Vec<String> {
    let came = running
        .wait_until(PATIENCE, |running| running.count() >= count)
        .await;
    let taken: Vec<String> = running.take().iter().flat_map(shown).collect();
    assert!(came, "{taken:?} and {:?}", running.take_reports());
    taken
}

/// Waits until a report that contains `text` has come.
pub(crate) async fn report(running: &Running, text: &str) {
    let seen = std::cell::RefCell::new(Vec::new());
    let came = running
        .wait_until(PATIENCE, |running| {
            let mut seen = seen.borrow_mut();
            seen.extend(running.take_reports().iter().map(ToString::to_string));
            seen.iter().any(|report: &String| report.contains(text))
        })
        .await;
    assert!(came, "no {text:?} in {:?}", seen.borrow());
}
