//! The rules about inputs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use muster_metric::Batch;
use serde_json::{Value, json};

use super::stage::{Plugin, Stage};
use super::traces::Traces;
use super::{Case, Findings};
use crate::{Input, Kind, PluginError, PluginRow, ServiceInput};

/// A stage with a started input on it.
macro_rules! started {
    ($row:expr, $case:expr, $kind:ident, $stage:expr, $found:expr) => {{
        let Ok(Plugin::$kind(mut plugin)) = Stage::build($row, &$case.options) else {
            return;
        };
        if let Err(error) = plugin.start(&$stage.start_context()).await {
            $found.add("START", format!("start fails: {error}"));
            return;
        }
        plugin
    }};
}
pub(super) use started;

/// Ends a stage and checks that nothing is left.
pub(super) async fn end(stage: Stage, before: &Traces, when: &str, found: &mut Findings) {
    let report = stage.end().await;
    found.expect("STOPS", report.is_clean() && report.aborted == 0, || {
        format!("{when} its tasks do not end when asked: {report}")
    });
    before.check_nothing_new(when, found).await;
}

/// Polls a future once; what it says if it is done.
pub(super) async fn poll_once<F: Future>(fut: F) -> Option<F::Output> {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let waker = Waker::from(Arc::new(Nobody));
    match pin!(fut).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// States that nobody saved.
pub(super) fn garbage() -> [Value; 5] {
    let deep = json!({ "files": [1], "sequence": "x", "offsets": { "a": null }, "values": 3 });
    [Value::Null, json!([]), json!("what"), json!({}), deep]
}

pub(super) async fn check_polled(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    prepared_and_dropped(row, case, found).await;
    gathers(row, case, found).await;
    gather_can_be_dropped(row, case, found).await;
    takes_any_state(row, case, found).await;
}

async fn prepared_and_dropped(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let stage = Stage::new(Kind::Input);
    let input = started!(row, case, Input, stage, found);
    drop(input);
    end(
        stage,
        &before,
        "after a started input was dropped unused",
        found,
    )
    .await;
}

async fn gathers(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let mut stage = Stage::new(Kind::Input);
    stage.timeout = case.patience;
    let mut input = started!(row, case, Input, stage, found);
    for _ in 0..2 {
        gather(&stage, &mut *input, case, found).await;
    }
    drop(input);
    end(stage, &before, "after gathers", found).await;
}

async fn gather(stage: &Stage, input: &mut dyn Input, case: &Case, found: &mut Findings) {
    let gathered = stage.gather(input).await;
    let (batch, reports, result) = match gathered {
        Ok(gathered) => gathered,
        Err(error) => return found.add("GATHER", format!("no gather: {error}")),
    };
    if case.offline {
        let failed = result.is_err() || !reports.is_empty();
        return found.expect("FAILS", failed, || {
            "says nothing of what is not there".to_owned()
        });
    }
    if let Err(error) = result {
        found.add("GATHER", format!("a gather fails: {error}"));
    }
    if let Some(report) = reports.first() {
        found.add("GATHER", format!("a gather reports: {report}"));
    }
    found.expect("GATHER", batch.len() >= case.metrics, || {
        format!(
            "a gather brings {} metrics, not {} or more",
            batch.len(),
            case.metrics
        )
    });
    well_formed(&batch, found);
}

fn well_formed(batch: &Batch, found: &mut Findings) {
    for metric in batch.iter() {
        let name = metric.name();
        found.expect("METRICS", !name.is_empty(), || {
            "a metric has no name".to_owned()
        });
        found.expect("METRICS", metric.fields().len() > 0, || {
            format!("`{name}` has no field")
        });
        let keys = metric
            .tags()
            .map(|(k, _)| k)
            .chain(metric.fields().map(|(k, _)| k));
        for key in keys {
            found.expect("METRICS", !key.is_empty(), || {
                format!("`{name}` has an empty key")
            });
        }
    }
}

async fn gather_can_be_dropped(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let mut stage = Stage::new(Kind::Input);
    stage.timeout = case.patience;
    let mut input = started!(row, case, Input, stage, found);
    let Ok(scope) = stage.scope().await else {
        return;
    };
    let cx = stage.gather_context(&scope);
    let mut batch = Batch::new();
    let _ = poll_once(input.gather(&cx, &mut batch)).await;
    scope.end().await;
    // And it goes on afterwards.
    gather(&stage, &mut *input, case, found).await;
    drop(input);
    end(stage, &before, "after a gather was dropped half-way", found).await;
}

async fn takes_any_state(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let stage = Stage::new(Kind::Input);
    let mut input = started!(row, case, Input, stage, found);
    for state in garbage().into_iter().chain(input.state()) {
        input.restore(state);
    }
    gather(&stage, &mut *input, case, found).await;
    drop(input);
    let _ = stage.end().await;
}

pub(super) async fn check_service(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    service_prepared_and_dropped(row, case, found).await;
    runs_and_stops(row, case, found).await;
    takes_over(row, case, found).await;
}

async fn service_prepared_and_dropped(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let stage = Stage::new(Kind::Input);
    let input = started!(row, case, Service, stage, found);
    drop(input);
    end(
        stage,
        &before,
        "after a started input was dropped unused",
        found,
    )
    .await;
}

async fn runs_and_stops(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let mut stage = Stage::new(Kind::Input);
    stage.interval = Duration::from_millis(100);
    let mut input = started!(row, case, Service, stage, found);
    garbage().into_iter().for_each(|state| input.restore(state));
    run_and_stop(&stage, input, case, found).await;
    end(stage, &before, "after a run", found).await;
}

async fn run_and_stop(
    stage: &Stage,
    input: Box<dyn ServiceInput>,
    case: &Case,
    found: &mut Findings,
) {
    let Ok(running) = stage.run(input) else {
        return;
    };
    let until = tokio::time::Instant::now() + case.patience;
    let enough = |seen: usize| seen >= case.metrics;
    while !enough(running.count()) && !running.has_ended() && tokio::time::Instant::now() < until {
        if let Some(stimulus) = &case.stimulus {
            stimulus().await;
        }
        running
            .wait_until(Duration::from_millis(250), |r| enough(r.count()))
            .await;
    }
    let batches = running.take();
    let seen: usize = batches.iter().map(Batch::len).sum();
    let reports: Vec<String> = running
        .take_reports()
        .iter()
        .map(PluginError::to_string)
        .collect();
    found.expect("GATHER", case.offline || enough(seen), || {
        let want = case.metrics;
        format!("a run brings {seen} metrics, not {want} or more; it reports: {reports:?}")
    });
    batches.iter().for_each(|batch| well_formed(batch, found));
    match running.stop().await {
        None => found.add("STOPS", "a run does not end within a second of being asked"),
        Some((_, Err(error))) if !case.offline => {
            found.add(
                "STOPS",
                format!("a run that was asked to end fails: {error}"),
            );
        }
        Some(_) => {}
    }
}

/// The next generation starts while the present one runs, and goes on when that has ended.
async fn takes_over(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let stage = Stage::new(Kind::Input);
    let first = started!(row, case, Service, stage, found);
    let Ok(first) = stage.run(first) else { return };
    let Ok(Plugin::Service(mut second)) = Stage::build(row, &case.options) else {
        return;
    };
    if let Err(error) = second.start(&stage.start_context()).await {
        found.add(
            "TAKES-OVER",
            format!("the next generation does not start: {error}"),
        );
    }
    if let Some((first, _)) = first.stop().await
        && let Some(state) = first.state()
    {
        second.restore(state);
    }
    run_and_stop(&stage, second, case, found).await;
    end(stage, &before, "after a change of generations", found).await;
}
