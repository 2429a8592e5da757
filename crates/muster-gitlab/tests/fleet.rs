//! Runners of the fleet against the double: they take jobs, finish them, and end as told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::time::Duration;

use muster_gitlab::JobStatus;
use muster_gitlab::double::{Counts, Double, Fate, JobSpec, Options, RunnerSpec, Webhook};
use muster_gitlab::fleet::{self, Ending, Runner};
use muster_gitlab::hook::{self, Hook};
use muster_net::testing::{FakeHttp, answer};
use muster_options::Secret;
use muster_tasks::{Group, TaskHandle};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(30);

fn jobs(count: usize, seconds: f64, stage: &str) -> Vec<JobSpec> {
    let job = |at| JobSpec {
        name: format!("{stage} {at}"),
        stage: stage.to_owned(),
        seconds,
        ..JobSpec::default()
    };
    (0..count).map(job).collect()
}

fn runner(double: &Double, slots: u32) -> Runner {
    let (id, token) = double.add_runner(&RunnerSpec {
        run_untagged: true,
        ..RunnerSpec::default()
    });
    Runner {
        url: double.url().to_owned(),
        token: Secret::new(token),
        system_id: format!("s_{id:012}"),
        slots,
        metrics: None,
        beat: Duration::from_millis(20),
        hold: PATIENCE,
        pressure: None,
    }
}

type Running = (
    watch::Sender<Ending>,
    TaskHandle<std::io::Result<fleet::Done>>,
);

fn go(group: &Group, runner: Runner) -> Running {
    let (order, ending) = watch::channel(Ending::No);
    let own = group.clone();
    let run = async move { fleet::run(&own, runner, ending).await };
    (order, group.spawn("runner", run).unwrap())
}

async fn until(double: &Double, what: &str, is: impl Fn(Counts) -> bool) {
    let waited = async {
        while !is(double.counts()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    assert!(waited.is_ok(), "{what}: {:?}", double.counts());
}

fn quick() -> Options {
    Options::default().faster(50.0)
}

#[muster_tasks::test]
async fn stages_are_worked_off_with_no_more_jobs_at_a_time_than_slots(group: Group) {
    let double = Double::start(&group, quick()).await.unwrap();
    let project = double.add_project("shop");
    let (order, running) = go(&group, runner(&double, 3));
    double.add_pipeline(
        project,
        &[jobs(7, 0.02, "build"), jobs(2, 0.02, "test")].concat(),
    );
    until(&double, "all are done", |counts| counts.succeeded == 9).await;
    let all = double.jobs();
    for job in &all {
        let at = job.started.unwrap();
        let beside = all
            .iter()
            .filter(|other| other.started.unwrap() <= at && at < other.finished.unwrap());
        assert!(beside.count() <= 3, "{all:?}");
    }
    let built = all.iter().filter(|job| job.stage == "build");
    let built = built.map(|job| job.finished.unwrap()).max().unwrap();
    let tested = all.iter().filter(|job| job.stage == "test");
    assert!(tested.map(|job| job.started.unwrap()).min().unwrap() >= built);
    order.send_replace(Ending::WhenDone);
    let done = running.join().await.done().unwrap().unwrap();
    assert_eq!((done.succeeded, done.given_up), (9, 0));
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_runner_that_shall_end_finishes_what_it_has(group: Group) {
    let double = Double::start(&group, quick()).await.unwrap();
    let project = double.add_project("shop");
    let (order, running) = go(&group, runner(&double, 1));
    double.add_pipeline(project, &jobs(1, 0.5, "build"));
    until(&double, "it is taken", |counts| counts.pending == 0).await;
    order.send_replace(Ending::WhenDone);
    let done = running.join().await.done().unwrap().unwrap();
    assert_eq!(done.succeeded, 1);
    assert_eq!((double.counts().succeeded, double.counts().killed), (1, 0));
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_runner_that_must_end_at_once_fails_its_jobs(group: Group) {
    let double = Double::start(&group, quick()).await.unwrap();
    let project = double.add_project("shop");
    let (order, running) = go(&group, runner(&double, 2));
    double.add_pipeline(project, &jobs(3, 3600.0, "build"));
    until(&double, "two run", |counts| counts.running == 2).await;
    order.send_replace(Ending::Now);
    let done = running.join().await.done().unwrap().unwrap();
    assert_eq!(done.given_up, 2);
    let counts = double.counts();
    assert_eq!((counts.killed, counts.pending), (2, 1));
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn the_jobs_of_a_runner_that_is_killed_are_given_up_after_a_silence(group: Group) {
    let options = Options {
        silence: Duration::from_millis(300),
        ..quick()
    };
    let double = Double::start(&group, options).await.unwrap();
    let project = double.add_project("shop");
    let machine = group.group("machine");
    let (_order, running) = go(&machine, runner(&double, 2));
    double.add_pipeline(project, &jobs(2, 3600.0, "build"));
    until(&double, "both run", |counts| counts.running == 2).await;
    running.abort();
    assert!(machine.stop().await.is_clean());
    until(&double, "both are given up", |counts| counts.killed == 2).await;
    let fates: Vec<Fate> = double.jobs().iter().map(|job| job.fate).collect();
    assert_eq!(fates, [Fate::Killed, Fate::Killed]);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn its_metrics_have_the_names_of_the_real_one(group: Group) {
    let double = Double::start(&group, quick()).await.unwrap();
    let project = double.add_project("shop");
    let port = muster_testkit::free_ports::<1>()[0];
    let spec = Runner {
        metrics: Some(([127, 0, 0, 1], port).into()),
        pressure: Some((0.5, 0.0)),
        ..runner(&double, 2)
    };
    let (order, running) = go(&group, spec);
    double.add_pipeline(project, &jobs(1, 3600.0, "build"));
    until(&double, "it runs", |counts| counts.running == 1).await;
    let url = format!("http://127.0.0.1:{port}/metrics");
    let client = muster_net::ClientBuilder::new(PATIENCE)
        .build(&Default::default())
        .unwrap();
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    for part in [
        "gitlab_runner_concurrent{} 2\n",
        "state=\"idle\",stage=\"\",executor_stage=\"\"} 0\n",
        "state=\"running\",stage=\"step_script\",executor_stage=\"\"} 1\n",
        "gitlab_runner_job_queue_duration_seconds_bucket{",
        "gitlab_runner_request_concurrency_hard_limit{",
        "node_pressure_cpu_waiting_seconds_total ",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    order.send_replace(Ending::Now);
    running.join().await.done().unwrap().unwrap();
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn webhooks_tell_every_step_of_a_job(group: Group) {
    let double = Double::start(&group, quick()).await.unwrap();
    let project = double.add_project("shop");
    let receiver = FakeHttp::start(&group, |_| answer(200, "")).await;
    double.set_webhook(Some(Webhook {
        url: receiver.url().to_owned(),
        token: Secret::new("word"),
        created: true,
    }));
    double.add_pipeline(project, &jobs(1, 0.0, "build"));
    let (order, running) = go(&group, runner(&double, 1));
    let steps = || {
        let mut steps = Vec::new();
        for seen in receiver.seen() {
            assert_eq!(seen.header("x-gitlab-token"), "word");
            let event = seen.header("x-gitlab-event");
            match hook::parse(event, seen.body.as_bytes()).unwrap() {
                Hook::Job(job) => {
                    assert_eq!(job.tags, None);
                    steps.push(job.status);
                }
                Hook::Pipeline(pipeline) => assert_eq!(pipeline.stages, ["build"]),
                Hook::Other => panic!("{event}"),
            }
        }
        steps
    };
    let all = [
        JobStatus::Created,
        JobStatus::Pending,
        JobStatus::Running,
        JobStatus::Success,
    ];
    let told = async {
        while steps() != all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    assert!(told.is_ok(), "{:?}", steps());
    order.send_replace(Ending::WhenDone);
    running.join().await.done().unwrap().unwrap();
    assert!(group.stop().await.is_clean());
}
