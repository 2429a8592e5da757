use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_metric::Batch;
use muster_plugin::Kind;
use muster_plugin::compliance::{Running, Stage};
use tempfile::TempDir;

use super::{ROW, without_colours};
use crate::testing::{PATIENCE, run, service, take};

/// A folder with a file to follow.
struct Scene {
    folder: TempDir,
    stage: Stage,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            stage: Stage::new(Kind::Input),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Follows the pattern, from the beginning if nothing else is said; no path tag.
    async fn follow(&self, pattern: &str, more: &str) -> Running {
        let files = self.path(pattern);
        let from = if more.contains("initial_read_offset") {
            ""
        } else {
            "from_beginning = true"
        };
        let options = format!(
            "files = ['{}']\npath_tag = ''\n{from}\n{more}",
            files.display()
        );
        run(&self.stage, service(&ROW, &options)).await
    }

    async fn end(self, running: Running) {
        assert!(matches!(running.stop().await, Some((_, Ok(())))));
        let report = self.stage.end().await;
        assert!(report.is_clean() && report.aborted == 0, "{report}");
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("m v={n}i\n")).collect()
}

fn want(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("m v={n}i")).collect()
}

#[muster_tasks::test]
async fn reads_what_is_added_whole_lines_only() {
    for method in ["inotify", "poll"] {
        let scene = Scene::new();
        let file = scene.path("log");
        append(&file, &lines(0..2));
        let running = scene
            .follow("log", &format!("watch_method = '{method}'"))
            .await;
        assert_eq!(take(&running, 2).await, want(0..2));
        append(&file, "m v=");
        append(&file, "2i\nm v=3i\nm");
        assert_eq!(take(&running, 2).await, want(2..4));
        append(&file, " v=4i\n");
        assert_eq!(take(&running, 1).await, want(4..5));
        scene.end(running).await;
    }
}

#[muster_tasks::test]
async fn begins_at_the_end_unless_told_otherwise() {
    let scene = Scene::new();
    append(&scene.path("log"), &lines(0..3));
    let running = scene.follow("*", "initial_read_offset = 'end'").await;
    // The state that is saved tells that the file was found.
    assert!(running.wait_until(PATIENCE, |r| r.state().is_some()).await);
    append(&scene.path("log"), &lines(3..4));
    assert_eq!(take(&running, 1).await, want(3..4));
    // One that appears later is read whole.
    append(&scene.path("new"), &lines(4..6));
    assert_eq!(take(&running, 2).await, want(4..6));
    scene.end(running).await;
}

#[muster_tasks::test]
async fn a_renamed_file_is_read_to_its_end_and_beyond() {
    let scene = Scene::new();
    let (log, old) = (scene.path("log"), scene.path("log.1"));
    append(&log, &lines(0..1));
    let running = scene.follow("log", "").await;
    assert_eq!(take(&running, 1).await, want(0..1));
    // The writer keeps its file open over the rename.
    let mut writer = OpenOptions::new().append(true).open(&log).unwrap();
    writer.write_all(lines(1..2).as_bytes()).unwrap();
    fs::rename(&log, &old).unwrap();
    writer.write_all(lines(2..3).as_bytes()).unwrap();
    append(&log, &lines(3..4));
    let mut got = take(&running, 3).await;
    got.sort();
    assert_eq!(got, want(1..4));
    writer.write_all(lines(4..5).as_bytes()).unwrap();
    append(&log, &lines(5..6));
    let mut got = take(&running, 2).await;
    got.sort();
    assert_eq!(got, want(4..6));
    scene.end(running).await;
}

#[muster_tasks::test]
async fn many_rotations_lose_nothing_and_double_nothing() {
    let scene = Scene::new();
    let log = scene.path("log");
    append(&log, "");
    let running = scene.follow("log", "max_undelivered_lines = 10000").await;
    // What is renamed before anybody begins to look is nobody's loss.
    assert!(running.wait_until(PATIENCE, |r| r.state().is_some()).await);
    for round in 0..20 {
        let (first, last) = (round * 50, (round + 1) * 50);
        append(&log, &lines(first..first + 30));
        let mut writer = OpenOptions::new().append(true).open(&log).unwrap();
        fs::rename(&log, scene.path(&format!("old-{round}"))).unwrap();
        writer
            .write_all(lines(first + 30..last).as_bytes())
            .unwrap();
        append(&log, "");
        // Some rounds go by before anybody looks.
        if round % 3 == 0 {
            running.wait_until(PATIENCE, |r| r.count() >= last).await;
        }
    }
    let mut got = take(&running, 1000).await;
    got.sort_by_key(|line| line[4..line.len() - 1].parse::<usize>().ok());
    assert!(got == want(0..1000), "{} lines", got.len());
    scene.end(running).await;
}

#[muster_tasks::test]
async fn a_truncated_file_is_read_anew() {
    let scene = Scene::new();
    let log = scene.path("log");
    append(&log, &lines(0..5));
    let running = scene.follow("log", "").await;
    assert_eq!(take(&running, 5).await, want(0..5));
    // As copytruncate does it.
    fs::copy(&log, scene.path("copy")).unwrap();
    File::options()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(0)
        .unwrap();
    append(&log, &lines(5..7));
    assert_eq!(take(&running, 2).await, want(5..7));
    // Written anew at once, and longer than before: only the first bytes tell.
    fs::write(&log, lines(100..120)).unwrap();
    assert_eq!(take(&running, 20).await, want(100..120));
    scene.end(running).await;
}

fn offset(running: &Running) -> Option<u64> {
    running.state()?["files"][0]["offset"].as_u64()
}

#[muster_tasks::test]
async fn saves_only_what_was_delivered() {
    let scene = Scene::new();
    let log = scene.path("log");
    append(&log, &lines(0..2));
    let more = "initial_read_offset = 'saved-or-beginning'";
    let running = scene.follow("log", more).await;
    assert!(running.wait_until(PATIENCE, |r| r.count() == 2).await);
    let first = running.take();
    append(&log, &lines(2..3));
    assert!(running.wait_until(PATIENCE, |r| r.count() == 1).await);
    let second = running.take();
    // The second is delivered before the first: nothing may be saved yet.
    drop(second);
    let moved = running
        .wait_until(Duration::from_millis(100), |r| offset(r) > Some(0))
        .await;
    assert!(!moved, "{:?}", running.state());
    drop(first);
    let all = fs::metadata(&log).unwrap().len();
    assert!(
        running
            .wait_until(PATIENCE, |r| offset(r) == Some(all))
            .await
    );
    append(&log, &lines(3..5));
    assert!(running.wait_until(PATIENCE, |r| r.count() == 2).await);
    let lost: Vec<Batch> = running.take();
    let state = running.state().unwrap();
    // A kill: what was under way is never delivered, the state is what was saved last.
    std::mem::forget(lost);
    assert!(scene.stage.end().await.is_clean());
    let scene = Scene {
        folder: scene.folder,
        stage: Stage::new(Kind::Input),
    };
    let mut next = service(
        &ROW,
        &format!("files = ['{}']\npath_tag = ''\n{more}", log.display()),
    );
    next.start(&scene.stage.start_context()).await.unwrap();
    next.restore(state);
    let running = scene.stage.run(next).unwrap();
    assert_eq!(take(&running, 2).await, want(3..5));
    scene.end(running).await;
}

#[muster_tasks::test]
async fn reads_the_rest_of_what_was_renamed_meanwhile() {
    let scene = Scene::new();
    let log = scene.path("log");
    append(&log, &lines(0..2));
    let more = "initial_read_offset = 'saved-or-end'";
    let options = format!("files = ['{}']\npath_tag = ''\n{more}", log.display());
    let running = scene
        .follow("log", "initial_read_offset = 'beginning'")
        .await;
    assert_eq!(take(&running, 2).await, want(0..2));
    let all = fs::metadata(&log).unwrap().len();
    assert!(
        running
            .wait_until(PATIENCE, |r| offset(r) == Some(all))
            .await
    );
    let (old, _) = running.stop().await.unwrap();
    let state = old.state().unwrap();
    drop(old);
    append(&log, &lines(2..3));
    fs::rename(&log, scene.path("log.1")).unwrap();
    append(&log, &lines(3..4));
    let mut next = service(&ROW, &options);
    next.start(&scene.stage.start_context()).await.unwrap();
    next.restore(state);
    let running = scene.stage.run(next).unwrap();
    // The new file was there at the start; only the rest of the old one is owed.
    assert_eq!(take(&running, 1).await, want(2..3));
    append(&log, &lines(4..5));
    assert_eq!(take(&running, 1).await, want(4..5));
    scene.end(running).await;
}

#[muster_tasks::test]
async fn the_next_generation_goes_on_without_gap_or_double() {
    let scene = Scene::new();
    let log = scene.path("log");
    append(&log, &lines(0..10));
    let first = scene.follow("log", "").await;
    assert!(first.wait_until(PATIENCE, |r| r.count() == 10).await);
    let options = format!(
        "files = ['{}']\nmax_undelivered_lines = 50\nfrom_beginning = true\npath_tag = ''",
        log.display()
    );
    let mut second = service(&ROW, &options);
    second.start(&scene.stage.start_context()).await.unwrap();
    // What is under way is not delivered while the generations change.
    let under_way = first.take();
    let (old, _) = first.stop().await.unwrap();
    second.restore(old.state().unwrap());
    drop(old);
    append(&log, &lines(10..12));
    let running = scene.stage.run(second).unwrap();
    assert_eq!(take(&running, 2).await, want(10..12));
    drop(under_way);
    let all = fs::metadata(&log).unwrap().len();
    assert!(
        running
            .wait_until(PATIENCE, |r| offset(r) == Some(all))
            .await
    );
    scene.end(running).await;
}

#[muster_tasks::test]
async fn does_not_run_ahead_of_the_outputs() {
    let scene = Scene::new();
    append(&scene.path("log"), &lines(0..100));
    let running = scene.follow("log", "max_undelivered_lines = 10").await;
    assert!(running.wait_until(PATIENCE, |r| r.count() >= 10).await);
    let more = running
        .wait_until(Duration::from_millis(200), |r| r.count() > 10)
        .await;
    assert!(!more, "{} lines are under way", running.count());
    assert_eq!(take(&running, 10).await, want(0..10));
    assert_eq!(take(&running, 10).await, want(10..20));
    scene.end(running).await;
}

#[muster_tasks::test]
async fn bad_lines_are_reported_and_the_others_count() {
    let scene = Scene::new();
    append(&scene.path("log"), "m v=0i\nwhat?\n\nm v=1i\n");
    let running = scene.follow("log", "").await;
    assert_eq!(take(&running, 2).await, want(0..2));
    assert_eq!(running.take_reports().len(), 1);
    scene.end(running).await;
}

#[muster_tasks::test]
async fn joins_lines_and_waits_no_longer_than_told() {
    let scene = Scene::new();
    let more = "data_format = 'value'\ndata_type = 'string'\n\
                [multiline]\npattern = '^ '\ntimeout = '100ms'";
    append(&scene.path("log"), "one\n 1\ntwo\n 2\n");
    let running = scene.follow("log", more).await;
    assert_eq!(
        take(&running, 2).await,
        ["tail value=\"one 1\"", "tail value=\"two 2\""]
    );
    scene.end(running).await;
}

#[muster_tasks::test]
async fn reads_a_pipe() {
    let scene = Scene::new();
    let pipe = scene.path("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let running = scene.follow("pipe", "pipe = true").await;
    for number in 0..2 {
        // A writer comes and goes.
        let path = pipe.clone();
        let write = move |_| append(&path, &lines(number..number + 1));
        let writer = scene.stage.root().spawn_blocking("writer", write).unwrap();
        assert_eq!(take(&running, 1).await, want(number..number + 1));
        assert!(writer.join().await.is_done());
    }
    scene.end(running).await;
}

#[muster_tasks::test]
async fn a_pipe_by_accident_is_refused_and_hangs_nothing() {
    let scene = Scene::new();
    let made = std::process::Command::new("mkfifo")
        .arg(scene.path("a"))
        .status()
        .unwrap();
    assert!(made.success());
    append(&scene.path("b"), &lines(0..1));
    let running = scene.follow("*", "").await;
    assert_eq!(take(&running, 1).await, want(0..1));
    crate::testing::report(&running, "set pipe = true").await;
    scene.end(running).await;
}

#[muster_tasks::test]
async fn tags_the_path_and_takes_out_colours() {
    let scene = Scene::new();
    append(&scene.path("log"), "\x1b[1;31mm\x1b[0m v=1i\n");
    let options = format!(
        "files = ['{}']\nfrom_beginning = true\nfilters = ['ansi_color']",
        scene.path("log").display()
    );
    let running = run(&scene.stage, service(&ROW, &options)).await;
    let path = scene.path("log").display().to_string();
    assert_eq!(take(&running, 1).await, [format!("m path={path} v=1i")]);
    scene.end(running).await;
}

#[test]
fn takes_out_colours() {
    let check = |text: &str, want: &str| {
        assert_eq!(
            without_colours(text.as_bytes()),
            want.as_bytes(),
            "{text:?}"
        );
    };
    check("plain", "plain");
    check("\x1b[31mred\x1b[0m end", "red end");
    check("cut \x1b[3", "cut ");
    check("\x1b", "\x1b");
}
