//! The debug pages, asked for as a server would.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::future::pending;

use muster_tasks::debug::{Response, handle};
use muster_tasks::{AwaitLabel, Group, Keyed, SnapshotOptions, TaskState};
use serde_json::Value;

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

/// A tree with two groups: three tasks that wait with a label, one without.
async fn tree(root: &Group) -> [Group; 2] {
    let (jobs, smith) = (root.group("jobs"), root.group("jobsmith"));
    for _ in 0..3 {
        jobs.go("fetch", pending::<()>().at("reply")).unwrap();
    }
    smith.go("idle", pending::<()>()).unwrap();
    let waiting = SnapshotOptions {
        state: Some(TaskState::Waiting),
        ..SnapshotOptions::default()
    };
    let wait = |group: &Group| group.snapshot(waiting.clone()).root.tasks.len();
    while wait(&jobs) + wait(&smith) < 4 {
        tokio::task::yield_now().await;
    }
    [jobs, smith]
}

async fn get(root: &Group, target: &str) -> Response {
    let response = handle(root, target).await;
    assert_eq!(response.status, 200, "{target}: {}", text(&response));
    response
}

#[muster_tasks::test]
async fn tasks_are_shown_and_chosen(root: Group) {
    let _groups = tree(&root).await;
    assert_eq!(text(&get(&root, "/debug/tasks/count").await), "4\n");
    let all = get(&root, "/debug/tasks").await;
    assert_eq!(text(&all).matches("fetch #").count(), 3);
    let json = get(
        &root,
        "/debug/tasks?format=json&group=tasks_are_shown_and_chosen/jobs",
    )
    .await;
    let json: Value = serde_json::from_slice(&json.body).unwrap();
    let groups = json["root"]["groups"].as_array().unwrap();
    // A path is not the beginning of another one that goes on with letters.
    assert_eq!(groups.len(), 1, "{json}");
    assert_eq!(groups[0]["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(groups[0]["tasks"][0]["label"], "reply");
    assert!(groups[0]["tasks"][0]["age_seconds"].is_number());
    let none = get(&root, "/debug/tasks?state=polling").await;
    assert!(!text(&none).contains('#'), "{}", text(&none));
    for age in ["90", "90s", "5m", "1h"] {
        let old = get(&root, &format!("/debug/tasks?min_age={age}")).await;
        assert!(!text(&old).contains('#'), "{age}");
    }
    let few = get(&root, "/debug/tasks?limit=1").await;
    assert!(text(&few).contains("(3 tasks left out)"));
    let groups = get(&root, "/debug/tasks/groups").await;
    assert!(text(&groups).starts_with("       3  tasks_are_shown_and_chosen/jobs/fetch \"reply\""));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn what_is_asked_wrongly_is_said(root: Group) {
    for (target, status, says) in [
        ("/debug/tasks?state=asleep", 400, "spawned, waiting"),
        ("/debug/tasks?min_age=long", 400, "min_age=long"),
        ("/debug/tasks?limit=-1", 400, "limit=-1"),
        ("/debug/tasks?format=xml", 400, "text or json"),
        ("/debug/pprof/goroutine?debug=x", 400, "debug=x"),
        ("/debug/pprof/goroutine?seconds=3", 400, "difference"),
        ("/debug/pprof/allocs", 404, "no such page"),
        ("/", 404, "no such page"),
    ] {
        let response = handle(&root, target).await;
        assert_eq!(response.status, status, "{target}");
        assert!(text(&response).contains(says), "{}", text(&response));
    }
}

#[muster_tasks::test]
async fn profiles_that_are_off_say_why(root: Group) {
    for target in ["/debug/pprof/heap", "/debug/pprof/profile?seconds=1"] {
        let response = handle(&root, target).await;
        assert_eq!(response.status, 501);
        assert!(text(&response).contains("--features profiling"));
    }
    assert!(text(&get(&root, "/debug/pprof/").await).contains("off: "));
}

#[muster_tasks::test]
async fn tasks_are_goroutines_too(root: Group) {
    let _groups = tree(&root).await;
    let counts = get(&root, "/debug/pprof/goroutine?debug=1").await;
    let counts = text(&counts);
    assert!(counts.starts_with("goroutine profile: total 4\n3 @ 0x1\n# labels: {\"await\":\"reply\"}\n#\t0x1\ttasks_are_goroutines_too/jobs.fetch+0x0\t"), "{counts}");
    let stacks = get(&root, "/debug/pprof/goroutine?debug=2").await;
    let stacks = text(&stacks);
    assert_eq!(
        stacks
            .matches(" [select] {await: \"reply\"}:\ntasks_are_goroutines_too/jobs.fetch()\n\t")
            .count(),
        3
    );
    assert_eq!(stacks.matches("\n\ngoroutine ").count(), 3);
    assert_eq!(
        stacks
            .matches("created by tasks_are_goroutines_too/jobs.spawn\n")
            .count(),
        3
    );
    let binary = get(&root, "/debug/pprof/goroutine").await;
    assert_eq!(
        binary.content_disposition,
        Some("attachment; filename=\"goroutine\"")
    );
    // The first field is a value type (field 1 with bytes), and the names are in it.
    assert_eq!(binary.body[0], 0x0a);
    let holds = |text: &str| {
        binary
            .body
            .windows(text.len())
            .any(|w| w == text.as_bytes())
    };
    assert!(holds("tasks_are_goroutines_too/jobs.fetch") && holds("await") && holds("reply"));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn tasks_that_are_told_apart_by_their_names_are_one_function(root: Group) {
    let keyed = Keyed::new(&root);
    for key in 0..5 {
        let waits = |_| pending::<()>().at("reply");
        keyed.start(format!("peer (\"{key}\")"), waits).unwrap();
    }
    root.go("other", pending::<()>()).unwrap();
    while root
        .groups()
        .iter()
        .any(|count| count.label.is_empty() && count.name != "other")
    {
        tokio::task::yield_now().await;
    }
    let counts = get(&root, "/debug/pprof/goroutine?debug=1").await;
    let function = "tasks_that_are_told_apart_by_their_names_are_one_function.*";
    assert!(
        text(&counts).contains(&format!(
            "5 @ 0x1\n# labels: {{\"await\":\"reply\"}}\n#\t0x1\t{function}+0x0"
        )),
        "{}",
        text(&counts)
    );
    let stacks = get(&root, "/debug/pprof/goroutine?debug=2").await;
    let stacks = text(&stacks);
    assert_eq!(stacks.matches(&format!("\n{function}()\n")).count(), 5);
    let labels = "[select] {await: \"reply\", task: \"peer (\\\"3\\\")\"}:\n";
    assert!(stacks.contains(labels), "{stacks}");
    // Where tasks are shown as tasks they have their names.
    let groups = get(&root, "/debug/tasks/groups").await;
    assert!(text(&groups).contains("/peer (\"4\") \"reply\""));
    assert!(root.stop().await.is_clean());
}
