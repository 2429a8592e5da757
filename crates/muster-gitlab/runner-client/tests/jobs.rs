//! Collabora's runner client takes jobs of the double as it takes GitLab's: what the double says of runners is not
//! only what our own think of it.

use std::time::Duration;

use gitlab_runner::{GitlabLayer, JobHandler, JobResult, Phase, RunnerBuilder, outputln};
use muster_gitlab::double::{Double, Fate, JobSpec, Options, RunnerSpec};
use muster_tasks::Group;
use tracing_subscriber::prelude::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Does a job; one that shall fail fails.
struct Work {
    fails: bool,
}

#[async_trait::async_trait]
impl JobHandler for Work {
    async fn step(&mut self, script: &[String], phase: Phase) -> JobResult {
        outputln!("{phase:?}: {script:?}");
        if self.fails { Err(()) } else { Ok(()) }
    }
}

fn job(stage: &str, name: &str) -> JobSpec {
    JobSpec {
        name: name.to_owned(),
        stage: stage.to_owned(),
        tags: vec!["docker".to_owned()],
        ..JobSpec::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_does_the_jobs_of_a_pipeline() {
    let root = Group::root("test");
    let options = Options {
        hold: Duration::from_millis(200),
        ..Options::default()
    };
    let gitlab = Double::start(&root, options).await.unwrap();
    let project = gitlab.add_project("shop/web");
    let (_, token) = gitlab.add_runner(&RunnerSpec {
        description: "foreign".to_owned(),
        tags: vec!["docker".to_owned()],
        ..RunnerSpec::default()
    });
    // The last is for a runner with other tags.
    let mut other = job("test", "other");
    other.tags = vec!["windows".to_owned()];
    let jobs = [
        job("build", "build"),
        job("test", "unit"),
        job("test", "broken"),
        other,
    ];
    gitlab.add_pipeline(project, &jobs);
    let (layer, logged) = GitlabLayer::new();
    tracing_subscriber::registry().with(layer).init();
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::parse(gitlab.url()).unwrap();
    let runner = RunnerBuilder::new(url, token, folder.path().to_owned(), logged);
    let mut runner = runner.system_id("s_foreign000001").build().await;
    let work = async {
        let mut taken = 0;
        while taken < 3 {
            let take = async |job: gitlab_runner::job::Job| {
                let fails = job
                    .variable("CI_JOB_NAME")
                    .is_some_and(|name| name.value() == "broken");
                Ok::<_, ()>(Work { fails })
            };
            taken += i32::from(runner.request_job(take).await.unwrap());
        }
        runner.drain().await;
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap();
    let fates: Vec<(String, Fate)> = {
        let views = gitlab.jobs().into_iter();
        views.map(|view| (view.name, view.fate)).collect()
    };
    let fate = |name: &str| fates.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(fate("build"), Fate::Succeeded, "{fates:?}");
    assert_eq!(fate("unit"), Fate::Succeeded, "{fates:?}");
    assert_eq!(fate("broken"), Fate::Failed, "{fates:?}");
    assert_eq!(gitlab.counts().open(), 1, "{fates:?}");
    assert!(root.stop().await.is_clean());
}
