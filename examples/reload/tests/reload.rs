//! What is stopped, what runs on, and what is told.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use muster_tasks::Group;
use reload::{Crew, ReloadError, Spec, SpecError, check};
use tokio::time::Instant;

fn specs(count: usize) -> Vec<Spec> {
    (0..count).map(|n| Spec::new(format!("app-{n}"))).collect()
}

#[muster_tasks::test(start_paused = true)]
async fn all_are_stopped_in_the_time_of_the_slowest(root: Group) {
    let mut crew = Crew::new(&root);
    let mut old = specs(200);
    old[7].flush = Duration::from_secs(3);
    crew.reload(old).await.unwrap();
    assert_eq!((crew.len(), root.count()), (200, 400));
    // So that they have begun to read.
    tokio::time::sleep(Duration::from_millis(1)).await;

    let begin = Instant::now();
    let reloaded = crew.reload(specs(100)).await.unwrap();
    assert_eq!(
        (reloaded.stopped, reloaded.tasks, reloaded.started),
        (200, 400, 100)
    );
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert_eq!(reloaded.slowest.as_secs(), 3);
    assert!(reloaded.one_by_one > Duration::from_secs(12));
    assert_eq!((crew.len(), root.count()), (100, 200));
    assert!(
        crew.stop()
            .await
            .iter()
            .all(muster_tasks::StopReport::is_clean)
    );
    assert!(crew.is_empty());
}

#[muster_tasks::test(start_paused = true)]
async fn the_first_error_cancels_the_rest_and_what_ran_runs_on(root: Group) {
    let mut crew = Crew::new(&root);
    crew.reload(specs(10)).await.unwrap();
    let mut bad = specs(10);
    bad[2].paths.clear();
    bad[4].scan = Duration::from_secs(3600);
    bad[6].scan = Duration::from_secs(3600);
    let begin = Instant::now();
    let error = crew.reload(bad).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(1));
    let ReloadError::Spec { error, cancelled } = error else {
        unreachable!("{error}");
    };
    assert_eq!(error, SpecError::NoPaths("app-2".to_owned()));
    assert!((2..=9).contains(&cancelled), "{cancelled}");
    assert_eq!(
        (crew.len(), root.count()),
        (10, 20),
        "{}",
        root.render_tree()
    );
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn a_check_tells_everything(root: Group) {
    let mut bad = specs(5);
    bad[1].paths = vec!["log/x".to_owned()];
    bad[1].scan = Duration::from_secs(2);
    bad[2].paths.clear();
    bad[4].harvesters = 0;
    let errors = check(&root, bad).await.unwrap();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "prospector `app-1`: path \"log/x\" is not absolute",
            "prospector `app-2` has no paths",
            "prospector `app-4` has no harvesters, so nothing would be read",
        ]
    );
    assert_eq!(root.count(), 0);
}
