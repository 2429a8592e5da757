//! Real children: what they give, and that they end.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use muster_process::{Command, Limits, Lines, RunError, Signal};
use muster_tasks::Group;

fn shell(script: &str) -> Command {
    Command::new(["sh", "-c", script]).unwrap()
}

/// Waits until a process is gone or, at most, reaped by nobody: never a zombie of ours.
async fn gone(pid: i32) {
    let path = format!("/proc/{pid}");
    let until = Instant::now() + Duration::from_secs(5);
    while Path::new(&path).exists() {
        assert!(Instant::now() < until, "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads a number that a child wrote to a file.
async fn number_in(path: &Path) -> i32 {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(number) = text.strip_suffix('\n') {
            return number.parse().unwrap();
        }
        assert!(Instant::now() < until, "nothing in {}", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[muster_tasks::test]
async fn gives_output_complaints_and_exit(root: Group) {
    let command = shell("cat; echo oops >&2; echo $WHO; pwd; exit 3");
    let command = command.environment(["WHO=me=you"]).unwrap().directory("/");
    let output = command
        .run(&root, b"in\n", Limits::default())
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout.clone()).unwrap(),
        "in\nme=you\n/\n"
    );
    assert_eq!(output.complaint(), "oops");
    assert_eq!(
        (output.exit.code(), output.exit.is_success()),
        (Some(3), false)
    );
}

#[muster_tasks::test]
async fn a_command_need_not_read(root: Group) {
    let much = vec![b'x'; 1 << 20];
    let output = shell("true")
        .run(&root, &much, Limits::default())
        .await
        .unwrap();
    assert!(output.exit.is_success());
}

#[muster_tasks::test]
async fn kills_the_whole_group_at_the_timeout(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    // The grandchild ignores SIGTERM; the shell waits for it.
    let script = format!(
        "sh -c 'trap \"\" TERM; sleep 1000' & echo $! >{}; wait",
        file.display()
    );
    let limits = Limits {
        timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let run = shell(&script)
        .grace(Duration::from_millis(50))
        .run(&root, &[], limits)
        .await;
    assert!(matches!(run, Err(RunError::TimedOut { .. })), "{run:?}");
    gone(number_in(&file).await).await;
}

#[muster_tasks::test]
async fn kills_when_dropped(root: Group) {
    let mut child = shell("sleep 1000").spawn(&root).unwrap();
    let pid = child.id();
    assert!(
        tokio::time::timeout(Duration::from_millis(20), child.wait())
            .await
            .is_err()
    );
    drop(child);
    gone(pid).await;
    root.wait().await;
}

#[muster_tasks::test]
async fn kills_when_the_group_is_stopped(root: Group) {
    let group = root.group("doomed");
    let command = shell("trap '' TERM; echo ready; while true; do sleep 0.05; done");
    let mut child = command
        .grace(Duration::from_millis(50))
        .spawn(&group)
        .unwrap();
    let mut lines = Lines::new(child.stdout.take().unwrap(), 100);
    assert_eq!(lines.next().await.unwrap().unwrap().text, b"ready");
    let report = group.stop().await;
    assert!(report.is_clean() && report.aborted == 0, "{report}");
    assert_eq!(child.wait().await.signal(), Some(9));
    gone(child.id()).await;
}

#[muster_tasks::test]
async fn kills_what_the_command_left_behind(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! >{}; echo done", file.display());
    let started = Instant::now();
    let output = shell(&script)
        .run(&root, &[], Limits::default())
        .await
        .unwrap();
    assert_eq!(output.stdout, b"done\n");
    assert!(started.elapsed() < Duration::from_secs(4));
    gone(number_in(&file).await).await;
}

#[muster_tasks::test]
async fn does_not_wait_for_one_who_left_the_group(root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!(
        "setsid sh -c 'echo $$ >{}; exec sleep 1000' & echo done",
        file.display()
    );
    let output = shell(&script)
        .run(&root, &[], Limits::default())
        .await
        .unwrap();
    assert_eq!(output.stdout, b"done\n");
    // It is no child of ours; the test cleans up by its number.
    if file.exists() {
        let pid = rustix::process::Pid::from_raw(number_in(&file).await).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
}

#[muster_tasks::test]
async fn bounds_output(root: Group) {
    let limits = Limits {
        stdout: 1000,
        stderr: 10,
        ..Limits::default()
    };
    let run = shell("yes").run(&root, &[], limits).await;
    assert!(
        matches!(run, Err(RunError::TooMuch { limit: 1000, .. })),
        "{run:?}"
    );
    let run = shell("yes | head -c 1000")
        .run(&root, &[], limits)
        .await
        .unwrap();
    assert_eq!(run.stdout.len(), 1000);
    let run = shell("yes | head -c 100000 >&2")
        .run(&root, &[], limits)
        .await
        .unwrap();
    assert_eq!(run.stderr.len(), 10);
}

#[muster_tasks::test]
async fn says_why_it_does_not_start(root: Group) {
    let error = Command::parse("/no/such/program 'a b'")
        .unwrap()
        .spawn(&root)
        .unwrap_err();
    assert_eq!(error.to_string(), "start /no/such/program 'a b'");
    assert!(Command::parse(" ").is_err());
    assert!(Command::parse("a").unwrap().environment(["b"]).is_err());
}

#[muster_tasks::test]
async fn passes_signals(root: Group) {
    let command = shell("trap 'echo got' USR1; echo ready; while true; do sleep 0.02; done");
    let mut child = command.spawn(&root).unwrap();
    let mut lines = Lines::new(child.stdout.take().unwrap(), 100);
    assert_eq!(lines.next().await.unwrap().unwrap().text, b"ready");
    child.signal(Signal::USR1).unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, b"got");
    let pid = child.id();
    assert!(!child.stop().await.is_success());
    gone(pid).await;
}

#[muster_tasks::test]
async fn many_at_once_leave_no_zombie(root: Group) {
    let runs: Vec<_> = (0..30)
        .map(|number| {
            let group = root.clone();
            let run = async move {
                shell(&format!("exit {number}"))
                    .run(&group, &[], Limits::default())
                    .await
            };
            root.spawn(format!("run {number}"), run).unwrap()
        })
        .collect();
    for (number, run) in runs.into_iter().enumerate() {
        let output = run.join().await.done().unwrap().unwrap();
        assert_eq!(output.exit.code(), i32::try_from(number).ok());
    }
    let me = std::process::id();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut after = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, parent) = (after.next(), after.next());
        assert!(
            !(state == Some("Z") && parent == Some(&me.to_string())),
            "a zombie: {stat}"
        );
    }
}
