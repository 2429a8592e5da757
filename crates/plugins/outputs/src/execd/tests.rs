use std::path::Path;
use std::time::{Duration, Instant};

use muster_plugin::compliance::Stage;
use muster_plugin::{Kind, WriteError};

use super::ROW;
use crate::exec::tests::{metrics, output};

/// Waits until the file holds `want`.
async fn holds(path: &Path, want: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let got = std::fs::read_to_string(path).unwrap_or_default();
        if got == want {
            return;
        }
        assert!(Instant::now() < until, "{got:?} and not {want:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lines(range: std::ops::Range<i64>) -> String {
    range.map(|n| format!("m v={n}i 1000000000\n")).collect()
}

#[muster_tasks::test]
async fn writes_to_one_child_and_lets_it_finish() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let options = format!(
        "command = ['sh', '-c', 'cat >>{0}; echo end >>{0}']",
        file.display()
    );
    let stage = Stage::new(Kind::Output);
    let mut output = output(&ROW, &options);
    output.start(&stage.start_context()).await.unwrap();
    stage.write(&mut *output, &metrics(0..2)).await.unwrap();
    stage.write(&mut *output, &metrics(2..3)).await.unwrap();
    holds(&file, &lines(0..3)).await;
    stage.close(&mut *output).await.unwrap();
    holds(&file, &format!("{}end\n", lines(0..3))).await;
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn starts_it_again_after_the_delay() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let stage = Stage::new(Kind::Output);
    let script = format!("head -n 1 >>{}", file.display());
    let options = format!("command = ['sh', '-c', '{script}']\nrestart_delay = '100ms'");
    let mut output = output(&ROW, &options);
    output.start(&stage.start_context()).await.unwrap();
    stage.write(&mut *output, &metrics(0..1)).await.unwrap();
    holds(&file, &lines(0..1)).await;
    // The child ends after one line; what comes then is tried again until the next one runs.
    let until = Instant::now() + Duration::from_secs(10);
    let mut refused = false;
    while std::fs::read_to_string(&file).unwrap() != lines(0..2) {
        assert!(Instant::now() < until);
        match stage.write(&mut *output, &metrics(1..2)).await {
            Ok(()) => {}
            Err(WriteError::Retry(_)) => refused = true,
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refused);
    drop(output);
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn a_command_that_does_not_read_is_ended_when_the_write_is_given_up() {
    let mut stage = Stage::new(Kind::Output);
    stage.timeout = Duration::from_millis(200);
    let mut output = output(&ROW, "command = ['sleep', '1000']");
    output.start(&stage.start_context()).await.unwrap();
    let result = stage.write(&mut *output, &metrics(0..100_000)).await;
    assert!(matches!(result, Err(WriteError::Retry(_))), "{result:?}");
    let again = stage
        .write(&mut *output, &metrics(0..1))
        .await
        .unwrap_err()
        .to_string();
    assert!(again.contains("next start in"), "{again}");
    drop(output);
    assert!(stage.end().await.is_clean());
}
