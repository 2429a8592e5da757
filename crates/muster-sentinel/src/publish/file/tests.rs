use muster_plugin::compliance::{Running, Stage};
use muster_plugin::{Build, FormatUse, Kind, PluginRow};
use muster_tasks::Group;

use super::*;
use crate::board::Slot;
use crate::status::{CheckKind, Instance, Outcome, Reason, State, Target};

const ROW: PluginRow = PluginRow {
    name: "file",
    summary: "writes all statuses to a file",
    options: FilePublisherOptions::describe,
    format: FormatUse::None,
    build: Build::Service(|cx| Ok(Box::new(FilePublisher::build(cx)?))),
};

fn build(options: &str) -> Built<FilePublisher> {
    let table = toml::from_str(options).unwrap();
    FilePublisher::build(&BuildContext::new(&ROW, &table)?)
}

fn open(board: &Board, port: u16) -> Arc<Slot> {
    let instance = Instance {
        kind: CheckKind::Redis,
        cluster: "shop".to_owned(),
        target: Target::Tcp {
            host: "10.0.0.1".to_owned(),
            port,
        },
    };
    board.open(instance, Arc::default()).unwrap()
}

fn observe(board: &Board, slot: &Slot, reason: Reason) {
    let answer = Outcome::new(reason, "").into();
    slot.observe(board.clock().now(), answer, Duration::ZERO);
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the file says so; every state of it that is seen on the way is whole.
async fn until(running: &Running, path: &Path, is: impl Fn(&FileDocument) -> bool) {
    let seen = |_: &Running| match fs::read(path) {
        Ok(bytes) => is(&serde_json::from_slice(&bytes).expect("a whole document")),
        Err(_) => false,
    };
    assert!(
        running.wait_until(PATIENCE, seen).await,
        "{:?}",
        fs::read_to_string(path)
    );
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_says_what_the_board_says(_group: Group) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentinel.json");
    let stage = Stage::new(Kind::Input);
    let cx = stage.start_context();
    let board = cx.resources().shared::<Board>();
    let first = open(&board, 1);
    let options = format!(
        "path = '{}'\nrefresh = '1h'\nwriter = 'host-a'",
        path.display()
    );
    let mut publisher = build(&options).unwrap();
    publisher.start(&cx).await.unwrap();
    let running = stage.run(Box::new(publisher)).unwrap();
    until(&running, &path, |file| file.instances.len() == 1).await;
    observe(&board, &first, Reason::Ok);
    until(&running, &path, |file| file.instances[0].state == State::Up).await;
    let second = open(&board, 2);
    observe(&board, &second, Reason::Busy);
    let busy = |file: &FileDocument| {
        file.instances
            .get(1)
            .is_some_and(|d| d.reason == Reason::Busy)
    };
    until(&running, &path, busy).await;
    drop(first);
    until(&running, &path, |file| file.instances.len() == 1).await;
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(names, ["sentinel.json"]);
    running.stop().await.unwrap().1.unwrap();
    drop(second);
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_is_told_once_and_made_up_for(_group: Group) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/sentinel.json");
    let stage = Stage::new(Kind::Input);
    let cx = stage.start_context();
    let mut publisher = build(&format!("path = '{}'", path.display())).unwrap();
    publisher.start(&cx).await.unwrap();
    let running = stage.run(Box::new(publisher)).unwrap();
    let reported = |running: &Running| {
        running
            .take_reports()
            .iter()
            .any(|report| report.to_string().contains("write /"))
    };
    assert!(running.wait_until(PATIENCE, reported).await);
    fs::create_dir(folder.path().join("later")).unwrap();
    until(&running, &path, |file| file.instances.is_empty()).await;
    running.stop().await.unwrap().1.unwrap();
    assert!(stage.end().await.is_clean());
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let errors = build(options).expect_err("options that are wrong");
        assert!(
            errors[0].to_string().contains(want),
            "{options}: {errors:?}"
        );
    };
    check("path = '/'", "the name of a file is missing");
    check("refresh = '10ms'", "at least 1s");
}
