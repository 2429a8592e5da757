use std::time::Duration;

use muster_plugin::Kind;
use muster_plugin::compliance::Stage;

use super::ROW;
use crate::testing::{PATIENCE, report, run, service, take};

fn options(script: &str, more: &str) -> String {
    format!("command = ['sh', '-c', '''{script}''']\n{more}")
}

async fn stage() -> Stage {
    let mut stage = Stage::new(Kind::Input);
    stage.interval = Duration::from_millis(50);
    stage
}

#[muster_tasks::test]
async fn reads_what_is_printed_in_pieces() {
    let stage = stage().await;
    let script = r#"printf 'a v=1\nb v'; sleep 0.1; printf '=2\nc v="x\ny"\n'; exec sleep 1000"#;
    let running = run(&stage, service(&ROW, &options(script, ""))).await;
    let got = take(&running, 3).await;
    assert_eq!(got, ["a v=1", "b v=2", "c v=\"x\\ny\""]);
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn asks_by_newline_and_by_signal() {
    let by_newline = options("while read x; do echo n v=1; done", "signal = 'STDIN'");
    let loops = "echo ready v=1; while true; do sleep 0.01; done";
    // A shell has no handler for what was ignored when it began, as SIGHUP is below `nohup`. On a busy
    // machine one may end by a signal before its handler is there.
    let by_signal = |signal: &str, name: &str| {
        format!(
            "command = ['env', '--default-signal', 'sh', '-c', '''trap 'echo s v=1' {name}; {loops}''']\n\
             signal = '{signal}'\nrestart_delay = '10ms'"
        )
    };
    let checks = [
        (by_newline, "n v=1"),
        (by_signal("SIGHUP", "HUP"), "s v=1"),
        (by_signal("SIGUSR1", "USR1"), "s v=1"),
        (by_signal("SIGUSR2", "USR2"), "s v=1"),
    ];
    for (options, want) in checks {
        let stage = stage().await;
        let running = run(&stage, service(&ROW, &options)).await;
        let got = take(&running, 3).await;
        assert!(
            got.iter().filter(|line| *line == want).count() >= 2,
            "{options}: {got:?}"
        );
        assert!(running.stop().await.is_some());
        assert!(stage.end().await.is_clean());
    }
}

#[muster_tasks::test]
async fn starts_it_again() {
    let stage = stage().await;
    let script = options("echo a v=1; exit 2", "restart_delay = '10ms'");
    let running = run(&stage, service(&ROW, &script)).await;
    take(&running, 3).await;
    report(&running, "exit code 2").await;
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn does_not_start_it_again_after_an_error_if_told_so() {
    let stage = stage().await;
    let script = options(
        "echo a v=1; exit 2",
        "restart_delay = '1ms'\nstop_on_error = true",
    );
    let running = run(&stage, service(&ROW, &script)).await;
    report(&running, "exit code 2").await;
    // There is nothing to wait for: nothing must come.
    let more = running
        .wait_until(Duration::from_millis(200), |r| r.count() > 1)
        .await;
    assert!(!more && !running.has_ended());
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn bad_and_endless_records_do_not_stop_it() {
    let stage = stage().await;
    let script = "echo bad; echo a v=1; head -c 5000 /dev/zero | tr '\\0' x; sleep 0.1; \
                  head -c 5000 /dev/zero | tr '\\0' x; echo; echo b v=1; exec sleep 1000";
    let running = run(
        &stage,
        service(&ROW, &options(script, "buffer_size = 1000")),
    )
    .await;
    report(&running, "longer than buffer_size").await;
    assert_eq!(take(&running, 2).await, ["a v=1", "b v=1"]);
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn ends_with_all_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let stage = stage().await;
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; sleep 1000' >{0}; sleep 1000 & echo a v=1; wait",
        pids.display()
    );
    let script = script.replacen("sleep 1000' >", "sleep 1000' & echo >", 1);
    let running = run(&stage, service(&ROW, &options(&script, ""))).await;
    assert!(
        running
            .wait_until(PATIENCE, |r| r.count() > 0 || !r.take_reports().is_empty())
            .await
    );
    assert!(running.stop().await.is_some());
    assert!(stage.end().await.is_clean());
    // Nobody of this process's children is left.
    let me = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/self/task/{me}/children"));
    let left = children.unwrap_or_default();
    for child in left.split_whitespace() {
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        assert!(
            !line.contains(&folder.path().display().to_string()),
            "{line}"
        );
    }
}

#[muster_tasks::test]
async fn a_program_that_is_not_there_refuses_the_change() {
    let stage = stage().await;
    let mut execd = service(&ROW, "command = ['no-such-program-here']");
    let error = execd
        .start(&stage.start_context())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("find the program no-such-program-here"),
        "{error}"
    );
    assert!(stage.end().await.is_clean());
}
