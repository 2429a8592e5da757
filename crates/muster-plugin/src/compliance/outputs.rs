//! The rules about outputs.

use muster_metric::Metrics;

use super::inputs::{end, poll_once, started};
use super::stage::{Plugin, Stage, sample};
use super::traces::Traces;
use super::{Case, Findings};
use crate::{Kind, PluginRow, WriteError};

pub(super) async fn check(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    prepared_and_dropped(row, case, found).await;
    writes(row, case, found).await;
    write_can_be_dropped(row, case, found).await;
}

async fn prepared_and_dropped(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let stage = Stage::new(Kind::Output);
    let output = started!(row, case, Output, stage, found);
    drop(output);
    end(
        stage,
        &before,
        "after a started output was dropped unused",
        found,
    )
    .await;
}

async fn writes(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let mut stage = Stage::new(Kind::Output);
    stage.timeout = case.patience;
    let mut output = started!(row, case, Output, stage, found);
    for metrics in [
        Metrics::from(sample()),
        Metrics::new(),
        Metrics::from(sample()),
    ] {
        let result = stage.write(&mut *output, &metrics).await;
        check_write(result, &metrics, case, found);
    }
    if let Err(error) = stage.close(&mut *output).await {
        found.expect("CLOSES", case.offline, || format!("close fails: {error}"));
    }
    drop(output);
    end(stage, &before, "after writes", found).await;
}

fn check_write(
    result: Result<(), WriteError>,
    metrics: &Metrics,
    case: &Case,
    found: &mut Findings,
) {
    match result {
        Ok(()) => found.expect("FAILS", !case.offline || metrics.is_empty(), || {
            "says that it wrote to what is not there".to_owned()
        }),
        Err(WriteError::Retry(_)) if case.offline => {}
        Err(WriteError::Partial { rejected, .. }) => {
            let fine = rejected.is_sorted() && rejected.iter().all(|at| *at < metrics.len());
            found.expect("WRITES", fine, || {
                format!("rejects metrics that are not: {rejected:?}")
            });
        }
        Err(error) => found.add("WRITES", format!("a write fails: {error}")),
    }
}

async fn write_can_be_dropped(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    let before = Traces::now();
    let mut stage = Stage::new(Kind::Output);
    stage.timeout = case.patience;
    let mut output = started!(row, case, Output, stage, found);
    let metrics = Metrics::from(sample());
    let Ok(scope) = stage.scope().await else {
        return;
    };
    let cx = stage.output_context(&scope);
    let _ = poll_once(output.write(&cx, &metrics)).await;
    scope.end().await;
    // And it goes on afterwards.
    check_write(
        stage.write(&mut *output, &metrics).await,
        &metrics,
        case,
        found,
    );
    drop(output);
    end(stage, &before, "after a write was dropped half-way", found).await;
}
