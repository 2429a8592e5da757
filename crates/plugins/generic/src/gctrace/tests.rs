use std::io::Write;
use std::time::Duration;

use muster_plugin::Kind;
use muster_plugin::compliance::Stage;

use super::ROW;
use crate::testing::{run, service, take};

/// A line as Go 1.19 prints it.
fn line(gc: u32) -> String {
    format!(
        "gc {gc} @0.{gc}s 1%: 0.01+1.5+0.02 ms clock, 0.1+0.2/0.3/0.4+0.1 ms cpu, 4->5->1 MB, \
         5 MB goal, 0 MB stacks, 0 MB globals, 4 P\n"
    )
}

/// The numbers of the collections.
fn numbers(metrics: &[String]) -> Vec<&str> {
    let number = |line: &'_ String| -> Option<(usize, usize)> {
        let start = line.find(" gc=")? + 4;
        Some((start, start + line[start..].find(' ')?))
    };
    let found = metrics.iter().map(|line| (line, number(line).unwrap()));
    found
        .map(|(line, (start, end))| &line[start..end])
        .collect()
}

#[muster_tasks::test]
async fn a_file_is_followed_among_other_output() {
    let stage = Stage::new(Kind::Input);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("err");
    std::fs::write(&path, format!("serving\n{}", line(1))).unwrap();
    let options = format!("files = ['{}']\nfrom_beginning = true", path.display());
    let running = run(&stage, service(&ROW, &options)).await;
    assert_eq!(numbers(&take(&running, 1).await), ["1i"]);
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    write!(file, "scvg: 8 MB released\n{}panic?\n", line(2)).unwrap();
    assert_eq!(numbers(&take(&running, 1).await), ["2i"]);
    assert!(running.take_reports().is_empty());
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn a_pipe_is_read() {
    let stage = Stage::new(Kind::Input);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let options = format!("files = ['{}']\npipe = true", path.display());
    let running = run(&stage, service(&ROW, &options)).await;
    let writer = stage
        .root()
        .spawn_blocking("write", move |_| std::fs::write(path, line(7)).unwrap());
    assert_eq!(numbers(&take(&running, 1).await), ["7i"]);
    assert!(writer.unwrap().join().await.is_done());
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn a_program_is_kept_running_and_told_to_trace() {
    let mut stage = Stage::new(Kind::Input);
    stage.interval = Duration::from_millis(50);
    let trace = line(3).trim_end().to_owned();
    let script = format!(
        "test \"$GODEBUG\" = gctrace=1 && test $X = y && echo '{trace}' >&2; exec sleep 1000"
    );
    let options = format!(
        "command = ['sh', '-c', '''{script}''']\nenvironment = ['X=y']\nmeasurement = 'gctrace_shop'"
    );
    let running = run(&stage, service(&ROW, &options)).await;
    let got = take(&running, 1).await;
    assert!(got[0].starts_with("gctrace_shop "), "{got:?}");
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn wrong_options_are_explained() {
    let problem = |options: &str| {
        let built = Stage::build(&ROW, &toml::from_str(options).unwrap());
        let errors = built.err().expect("options that are wrong");
        errors.iter().map(ToString::to_string).collect::<String>()
    };
    assert!(problem("").contains("either files or a command"));
    assert!(problem("files = ['a']\ncommand = ['b']").contains("either files or a command"));
    assert!(problem("command = ['b']\nenvironment = ['x']").contains("environment"));
    let stage = Stage::new(Kind::Input);
    let mut missing = service(&ROW, "command = ['/no/such/program']");
    let error = missing.start(&stage.start_context()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/program"));
    drop(missing);
    assert!(stage.end().await.is_clean());
}
