//! Snapshots: what runs, as data and as text.

use std::time::Duration;

use muster_tasks::{Group, SnapshotOptions, TaskState};

#[muster_tasks::test]
async fn tasks_are_listed_with_place_and_state(root: Group) {
    let group = root.group("g");
    let line = line!() + 1;
    group.go("plain", std::future::pending::<()>()).unwrap();
    let spawned = &root.snapshot(SnapshotOptions::default()).root.groups[0].tasks[0];
    assert_eq!(spawned.state, TaskState::Spawned);
    assert_eq!((spawned.polls, spawned.last_poll_age), (0, None));
    tokio::task::yield_now().await;
    let snapshot = root.snapshot(SnapshotOptions::default());
    let task = &snapshot.root.groups[0].tasks[0];
    assert_eq!((task.state, task.polls), (TaskState::Waiting, 1));
    assert_eq!((task.location.line, snapshot.live), (line, 1));
    assert_eq!(&*task.group, "tasks_are_listed_with_place_and_state/g");
    assert!(task.location.file.ends_with("tests/snapshot.rs"));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_cancelled_task_says_why(root: Group) {
    root.go_cx("deaf", |_cx| std::future::pending::<()>())
        .unwrap();
    tokio::task::yield_now().await;
    root.cancel("no longer needed");
    let snapshot = root.snapshot(SnapshotOptions::default());
    let task = &snapshot.root.tasks[0];
    assert_eq!(task.state, TaskState::Cancelled);
    assert_eq!(task.cause.as_ref().unwrap().to_string(), "no longer needed");
    let text = root.render_tree();
    assert!(text.contains("cancelled: no longer needed"), "{text}");
    let options = muster_tasks::StopOptions::grace(Duration::ZERO);
    assert!(root.stop_with(options).await.is_clean());
}

#[muster_tasks::test]
async fn counts_by_place(root: Group) {
    for i in 0..5000 {
        let group = if i % 5 == 0 {
            root.group("unused")
        } else {
            root.clone()
        };
        root.go("parked", std::future::pending::<()>()).unwrap();
        drop(group);
    }
    root.go("single", std::future::pending::<()>()).unwrap();
    let counts = root.groups();
    assert_eq!(counts.len(), 2);
    assert_eq!((counts[0].live, counts[1].live), (5000, 1));
    assert_eq!(counts[1].name, "single");
    assert_eq!(root.count(), 5001);

    let options = SnapshotOptions {
        max_tasks: 10,
        ..SnapshotOptions::default()
    };
    let snapshot = root.snapshot(options);
    assert_eq!(
        (snapshot.live, snapshot.left_out, snapshot.root.tasks.len()),
        (5001, 4991, 10)
    );
    assert!(snapshot.render_tree().ends_with("(4991 tasks left out)\n"));
    let old = SnapshotOptions {
        min_age: Duration::from_secs(60),
        ..SnapshotOptions::default()
    };
    assert!(root.snapshot(old).root.tasks.is_empty());
    let polling = SnapshotOptions {
        state: Some(TaskState::Polling),
        ..SnapshotOptions::default()
    };
    assert!(root.snapshot(polling).root.tasks.is_empty());
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn the_tree_reads_well(root: Group) {
    let group = root.group("inputs");
    group.go("cpu", std::future::pending::<()>()).unwrap();
    let text = root.render_tree();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "the_tree_reads_well (1 live)");
    assert_eq!(lines[1], "  inputs (1 live)");
    assert!(lines[2].starts_with("    cpu #"), "{text}");
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn snapshots_and_reports_serialize(root: Group) {
    root.go("t", std::future::pending::<()>()).unwrap();
    let json = serde_json::to_value(root.snapshot(SnapshotOptions::default())).unwrap();
    let task = &json["root"]["tasks"][0];
    assert_eq!(
        (&task["name"], &task["state"]),
        (&"t".into(), &"spawned".into())
    );
    assert!(
        task["location"]
            .as_str()
            .unwrap()
            .contains("tests/snapshot.rs:")
    );
    let report = root.stop().await;
    assert_eq!(serde_json::to_value(report).unwrap()["asked"], 1);
}
