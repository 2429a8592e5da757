//! The clients against the double: every call, GitLab's limits, and its faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::time::Duration;

use muster_gitlab::double::{Double, Fate, Fault, JobSpec, Options, RunnerSpec};
use muster_gitlab::{
    Error, Gitlab, JobRequest, JobStatus, JobUpdate, NewRunner, RunnerClient, RunnerType,
};
use muster_options::Secret;
use muster_tasks::Group;

const PATIENCE: Duration = Duration::from_secs(20);

fn client(double: &Double, token: &str) -> Gitlab {
    client_within(double, token, PATIENCE)
}

fn client_within(double: &Double, token: &str, timeout: Duration) -> Gitlab {
    let options = muster_gitlab::Options {
        url: double.url().to_owned(),
        token: Secret::new(token),
        token_file: std::path::PathBuf::new(),
        timeout,
    };
    Gitlab::new(&options).unwrap()
}

async fn start(group: &Group, options: Options) -> (Double, Gitlab) {
    let double = Double::start(group, options).await.unwrap();
    let token = double.scaler_token();
    let gitlab = client(&double, &token);
    (double, gitlab)
}

fn runner_client(double: &Double, token: &Secret) -> RunnerClient {
    RunnerClient::new(double.url(), token.clone(), "s_0123456789ab", PATIENCE).unwrap()
}

fn job(name: &str, stage: &str) -> JobSpec {
    JobSpec {
        name: name.to_owned(),
        stage: stage.to_owned(),
        tags: vec!["docker".to_owned()],
        ..JobSpec::default()
    }
}

fn new_runner(name: &str) -> NewRunner {
    NewRunner {
        description: name.to_owned(),
        tags: vec!["docker".to_owned()],
        ..NewRunner::default()
    }
}

/// Asks until there is a job.
async fn job_for(runner: &RunnerClient) -> muster_gitlab::ReceivedJob {
    let mut word = None;
    loop {
        match runner.request_job(word.as_deref(), PATIENCE).await.unwrap() {
            JobRequest::Job(job) => return *job,
            JobRequest::Nothing(next) => word = next,
        }
    }
}

#[muster_tasks::test]
async fn a_runner_lives_and_its_stages_follow_each_other(group: Group) {
    let (double, gitlab) = start(&group, Options::default()).await;
    let project = double.add_project("shop/web");
    let made = gitlab.make_runner(&new_runner("one")).await.unwrap();
    assert!(made.token.expose().starts_with("glrt-"));
    assert!(gitlab.managers(made.id).await.unwrap().is_empty());
    let runner = runner_client(&double, &made.token);
    assert_eq!(runner.verify().await.unwrap(), made.id);
    let managers = gitlab.managers(made.id).await.unwrap();
    assert_eq!(managers[0].system_id, "s_0123456789ab");
    assert_eq!(managers[0].is_busy(), Some(false));

    let pipeline = double.add_pipeline(project, &[job("compile", "build"), job("unit", "test")]);
    let open = gitlab
        .jobs(project, &[JobStatus::Pending, JobStatus::Created])
        .await
        .unwrap();
    let states: Vec<(&str, JobStatus)> = open
        .iter()
        .map(|job| (job.name.as_str(), job.status))
        .collect();
    assert_eq!(
        states,
        [
            ("unit", JobStatus::Created),
            ("compile", JobStatus::Pending)
        ]
    );
    assert_eq!(open[0].tag_list, ["docker"]);
    assert_eq!(open[0].pipeline.unwrap().id, pipeline);
    assert!(open[1].queued_duration.is_some() && open[0].queued_duration.is_none());

    let received = job_for(&runner).await;
    assert_eq!(received.job_info["name"], "compile");
    assert!(received.queued().is_some());
    assert_eq!(
        gitlab.managers(made.id).await.unwrap()[0].is_busy(),
        Some(true)
    );
    let running = gitlab
        .running_jobs(made.id, Some("s_0123456789ab"))
        .await
        .unwrap();
    assert_eq!(running.len(), 1);
    assert!(
        gitlab
            .running_jobs(made.id, Some("another"))
            .await
            .unwrap()
            .is_empty()
    );
    let answer = runner.trace(&received, 0, "hello\n").await.unwrap();
    assert!(!answer.canceled && answer.interval.is_some());
    let refused = runner.trace(&received, 3, "gap").await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused { status: 416, .. }),
        "{refused}"
    );
    assert!(
        runner
            .update_job(&received, JobUpdate::Success)
            .await
            .unwrap()
    );
    assert!(
        !runner
            .update_job(&received, JobUpdate::Success)
            .await
            .unwrap()
    );

    let received = job_for(&runner).await;
    assert_eq!(received.job_info["name"], "unit");
    double.cancel_pipeline(pipeline);
    assert!(runner.trace(&received, 0, "late").await.unwrap().canceled);
    let fates: Vec<Fate> = double.jobs().iter().map(|job| job.fate).collect();
    assert_eq!(fates, [Fate::Succeeded, Fate::Canceled]);

    gitlab.delete_runner(made.id).await.unwrap();
    gitlab.delete_runner(made.id).await.unwrap();
    assert!(gitlab.runner(made.id).await.unwrap_err().is_not_found());
    let gone = runner.request_job(None, PATIENCE).await.unwrap_err();
    assert!(matches!(gone, Error::Forbidden { .. }), "{gone}");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn jobs_go_to_the_runners_that_may_have_them(group: Group) {
    let (double, _) = start(&group, Options::default()).await;
    let project = double.add_project("a/one");
    let other = double.add_project("b/two");
    let make = |spec: RunnerSpec| {
        let (_, token) = double.add_runner(&spec);
        runner_client(&double, &Secret::new(token))
    };
    let untagged = make(RunnerSpec {
        run_untagged: true,
        ..RunnerSpec::default()
    });
    let protected = make(RunnerSpec {
        tags: vec!["docker".to_owned()],
        protected: true,
        ..RunnerSpec::default()
    });
    let elsewhere = make(RunnerSpec {
        tags: vec!["docker".to_owned()],
        runner_type: RunnerType::ProjectType,
        scope: Some(other),
        ..RunnerSpec::default()
    });
    let paused = make(RunnerSpec {
        tags: vec!["docker".to_owned()],
        paused: true,
        ..RunnerSpec::default()
    });
    let fits = make(RunnerSpec {
        tags: vec!["docker".to_owned(), "big".to_owned()],
        ..RunnerSpec::default()
    });
    double.add_pipeline(project, &[job("tagged", "test")]);
    for (name, runner) in [
        ("untagged", &untagged),
        ("protected", &protected),
        ("elsewhere", &elsewhere),
        ("paused", &paused),
    ] {
        let answer = runner.request_job(None, PATIENCE).await.unwrap();
        assert!(
            matches!(answer, JobRequest::Nothing(Some(_))),
            "{name}: {answer:?}"
        );
    }
    assert_eq!(job_for(&fits).await.job_info["name"], "tagged");
    let plain = JobSpec {
        tags: Vec::new(),
        ..job("plain", "test")
    };
    double.add_pipeline(project, &[plain]);
    assert!(matches!(
        fits.request_job(None, PATIENCE).await.unwrap(),
        JobRequest::Nothing(_)
    ));
    assert_eq!(job_for(&untagged).await.job_info["name"], "plain");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_request_that_was_held_before_a_pause_may_still_be_given_a_job(group: Group) {
    let (double, gitlab) = start(&group, Options::default()).await;
    let project = double.add_project("shop");
    let made = gitlab.make_runner(&new_runner("one")).await.unwrap();
    let runner = runner_client(&double, &made.token);
    let JobRequest::Nothing(word) = runner.request_job(None, PATIENCE).await.unwrap() else {
        panic!("a job from nowhere");
    };
    let held = runner.request_job(word.as_deref(), PATIENCE);
    let pause_and_add = async {
        while double.held() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gitlab.set_paused(made.id, true).await.unwrap();
        double.add_pipeline(project, &[job("late", "test")]);
    };
    let (held, ()) = tokio::join!(held, pause_and_add);
    assert!(matches!(held.unwrap(), JobRequest::Job(_)));
    double.add_pipeline(project, &[job("later", "test")]);
    let next = runner.request_job(None, PATIENCE).await.unwrap();
    assert!(matches!(next, JobRequest::Nothing(_)), "{next:?}");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn lists_are_read_page_by_page(group: Group) {
    let (double, gitlab) = start(&group, Options::default()).await;
    for at in 0..250 {
        double.add_runner(&RunnerSpec {
            description: format!("runner {at}"),
            ..RunnerSpec::default()
        });
    }
    let runners = gitlab.runners(true).await.unwrap();
    assert_eq!(runners.len(), 250);
    let mut ids: Vec<u64> = runners.iter().map(|runner| runner.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 250);
    let pages = double
        .asked()
        .iter()
        .filter(|asked| asked.path == "runners/all")
        .count();
    assert_eq!(pages, 3);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn jobs_that_come_and_go_between_pages_move_no_others(group: Group) {
    let (double, gitlab) = start(&group, Options::default()).await;
    let project = double.add_project("shop");
    let jobs: Vec<JobSpec> = (0..250)
        .map(|at| job(&format!("job {at}"), "test"))
        .collect();
    double.add_pipeline(project, &jobs);
    let listed = gitlab.jobs(project, &[JobStatus::Pending]).await.unwrap();
    let ids: std::collections::BTreeSet<u64> = listed.iter().map(|job| job.id).collect();
    assert_eq!((listed.len(), ids.len()), (250, 250));
    let path = format!("projects/{project}/jobs");
    let asked = double.asked();
    let pages: Vec<&str> = asked
        .iter()
        .filter(|asked| asked.path == path)
        .map(|asked| asked.query.as_str())
        .collect();
    assert_eq!(pages.len(), 3);
    assert!(
        pages[0].contains("pagination=keyset") && pages[2].contains("cursor="),
        "{pages:?}"
    );
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn scopes_are_those_of_gitlab(group: Group) {
    let (double, admin) = start(&group, Options::default()).await;
    let made = admin.make_runner(&new_runner("one")).await.unwrap();
    let manager = client(&double, &double.add_token(&["manage_runner"], true));
    // Scopes count for a call, whatever the user may do.
    manager.runner(made.id).await.unwrap();
    manager.set_paused(made.id, true).await.unwrap();
    let error = manager.runners(false).await.unwrap_err();
    assert!(matches!(error, Error::MissingScope { .. }), "{error}");
    assert!(error.to_string().contains("read_api"), "{error}");
    let error = manager.make_runner(&new_runner("two")).await.unwrap_err();
    assert!(error.to_string().contains("create_runner"), "{error}");
    let user = client(&double, &double.add_token(&["api"], false));
    let error = user.make_runner(&new_runner("two")).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    assert_eq!(user.token_info().await.unwrap().scopes, ["api"]);
    let nobody = client(&double, "glpat-wrong");
    let error = nobody.token_info().await.unwrap_err();
    assert!(matches!(error, Error::WrongToken(_)), "{error}");
    assert!(!error.may_have_happened() && !error.is_passing());
    assert!(!format!("{nobody:?} {error:?}").contains("glpat-wrong"));
    assert_eq!(admin.version().await.unwrap().version, "18.5.0");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn there_may_be_so_many_runners_and_no_more(group: Group) {
    let options = Options {
        runner_limit: 2,
        ..Options::default()
    };
    let (_double, gitlab) = start(&group, options).await;
    for _ in 0..2 {
        gitlab.make_runner(&new_runner("x")).await.unwrap();
    }
    let error = gitlab.make_runner(&new_runner("x")).await.unwrap_err();
    assert!(error.to_string().contains("Maximum number"), "{error}");
    assert!(!error.may_have_happened());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn faults_are_told_apart(group: Group) {
    let (double, gitlab) = start(&group, Options::default()).await;
    double.inject("POST", "user/runners", Fault::LoseAnswer, 1);
    let error = gitlab.make_runner(&new_runner("lost")).await.unwrap_err();
    assert!(error.may_have_happened() && error.is_passing(), "{error}");
    let runners = gitlab.runners(true).await.unwrap();
    assert_eq!(runners[0].description.as_deref(), Some("lost"));

    double.inject("POST", "user/runners", Fault::Drop, 1);
    let error = gitlab
        .make_runner(&new_runner("dropped"))
        .await
        .unwrap_err();
    // Nobody who lost the connection can know that nothing was done.
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(gitlab.runners(true).await.unwrap().len(), 1);

    double.inject("", "", Fault::Status(502), 1);
    let error = gitlab.runners(true).await.unwrap_err();
    assert!(
        matches!(error, Error::Server { status: 502, .. }),
        "{error}"
    );
    double.inject("", "", Fault::WebPage, 1);
    let error = gitlab.runners(true).await.unwrap_err();
    assert!(matches!(error, Error::NotGitlab { .. }), "{error}");

    double.inject("", "", Fault::Hang, u32::MAX);
    let quick = client_within(&double, &double.scaler_token(), Duration::from_millis(50));
    let error = quick.runners(true).await.unwrap_err();
    // On a machine that is slow enough the time is up before it is connected.
    assert!(
        error.is_passing() && error.retry_after().is_none(),
        "{error}"
    );
    double.heal();

    // Asked to be left alone, it leaves GitLab alone and says for how long.
    double.inject("", "", Fault::TooMany(Duration::from_secs(30)), 1);
    let before = double.asked().len();
    for _ in 0..3 {
        let error = gitlab.runners(true).await.unwrap_err();
        let after = error.retry_after().unwrap();
        assert!(
            after > Duration::from_secs(20) && after <= Duration::from_secs(30),
            "{after:?}"
        );
    }
    assert_eq!(double.asked().len(), before + 1);
    assert!(gitlab.pause().is_some());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_late_answer_does_not_end_a_pause_that_began_meanwhile(group: Group) {
    let (double, gitlab) = start(&group, Options::default()).await;
    let many = Fault::TooMany(Duration::from_secs(30));
    double.inject("GET", "runners/7/", many, 1);
    double.inject("GET", "", Fault::Delay(Duration::from_millis(500)), 1);
    // Both are sent before either is answered.
    let (slow, refused) = tokio::join!(gitlab.runners(true), gitlab.managers(7));
    assert!(refused.unwrap_err().retry_after().is_some());
    assert!(slow.unwrap().is_empty());
    let left = gitlab.pause().unwrap();
    assert!(left > Duration::from_secs(20), "{left:?}");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn nobody_there_is_said_as_such(group: Group) {
    let (double, _) = start(&group, Options::default()).await;
    let url = double.url().to_owned();
    let page = muster_net::testing::FakeHttp::start(&group, |_| {
        muster_net::testing::answer(404, "<html>nothing here</html>")
    })
    .await;
    let check = async |url: &str, want: &str| {
        let options = muster_gitlab::Options {
            url: url.to_owned(),
            token: Secret::new("x"),
            token_file: std::path::PathBuf::new(),
            timeout: PATIENCE,
        };
        let error = match Gitlab::new(&options) {
            Ok(gitlab) => gitlab.version().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(want), "{url}: {error}");
        assert!(!error.may_have_happened() || matches!(error, Error::NotGitlab { .. }));
    };
    check("gitlab.example.com", "begin with http://").await;
    check("ftp://gitlab.example.com", "begin with http://").await;
    check("http://127.0.0.1:1", "not reachable").await;
    check(page.url(), "not GitLab's API").await;
    check(&format!("{url}/api/v4/"), "refuses the token").await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn metrics_are_absent_at_zero(group: Group) {
    let (double, _) = start(&group, Options::default()).await;
    assert_eq!(double.metrics(), "");
    let project = double.add_project("shop");
    double.add_pipeline(project, &[job("one", "test")]);
    assert!(
        double
            .metrics()
            .contains("ci_pending_builds{shared_runners=\"yes\"} 1")
    );
    assert!(!double.metrics().contains("ci_running_builds"));
    assert!(group.stop().await.is_clean());
}
