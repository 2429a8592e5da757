use muster_metric::{Batch, Metrics, Timestamp};
use muster_plugin::compliance::{Plugin, Stage};
use muster_plugin::{Kind, Output, PluginRow, WriteError};

use super::ROW;

pub(crate) fn output(row: &PluginRow, options: &str) -> Box<dyn Output> {
    match Stage::build(row, &toml::from_str(options).unwrap()) {
        Ok(Plugin::Output(output)) => output,
        Ok(_) => panic!("{} is no output", row.name),
        Err(errors) => panic!("{errors:?}"),
    }
}

pub(crate) fn metrics(values: std::ops::Range<i64>) -> Metrics {
    let mut batch = Batch::new();
    for value in values {
        batch
            .metric("m")
            .field("v", value)
            .at(Timestamp::from_seconds(1));
    }
    batch.into()
}

async fn write(options: &str) -> Result<(), WriteError> {
    let stage = Stage::new(Kind::Output);
    let mut output = output(&ROW, options);
    output.start(&stage.start_context()).await.unwrap();
    let result = stage.write(&mut *output, &metrics(0..2)).await;
    assert!(stage.end().await.is_clean());
    result
}

#[muster_tasks::test]
async fn gives_the_metrics_to_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let script = format!(
        "command = ['sh', '-c', '(cat; echo end) >>{}']\n",
        file.display()
    );
    write(&script).await.unwrap();
    let got = std::fs::read_to_string(&file).unwrap();
    assert_eq!(got, "m v=0i 1000000000\nm v=1i 1000000000\nend\n");
    std::fs::remove_file(&file).unwrap();
    write(&format!("{script}use_batch_format = false"))
        .await
        .unwrap();
    let got = std::fs::read_to_string(&file).unwrap();
    assert_eq!(got, "m v=0i 1000000000\nend\nm v=1i 1000000000\nend\n");
    std::fs::remove_file(&file).unwrap();
    write(&format!("{script}data_format = 'json'"))
        .await
        .unwrap();
    let got = std::fs::read_to_string(&file).unwrap();
    assert!(got.starts_with("{\"metrics\":["), "{got}");
}

#[muster_tasks::test]
async fn a_command_that_fails_or_hangs_is_tried_again() {
    let check = |result: Result<(), WriteError>, text: &str| match result {
        Err(WriteError::Retry(error)) => assert!(error.to_string().contains(text), "{error}"),
        other => panic!("{other:?}"),
    };
    check(
        write("command = ['sh', '-c', 'echo oops >&2; exit 3']").await,
        "exit code 3: oops",
    );
    check(
        write("command = ['sleep', '1000']\ntimeout = '100ms'").await,
        "longer than 100ms",
    );
}

#[muster_tasks::test]
async fn a_program_that_is_not_there_refuses_the_change() {
    let stage = Stage::new(Kind::Output);
    let error = output(&ROW, "command = ['/no/such/x']")
        .start(&stage.start_context())
        .await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("find the program /no/such/x")
    );
    assert!(stage.end().await.is_clean());
}
