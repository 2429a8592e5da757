//! The observation against a Prometheus that answers as told and a GitLab of our own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_gitlab::double::{Double, Fault, JobSpec, Options as DoubleOptions, RunnerSpec};
use muster_gitlab::{JobRequest, RunnerClient};
use muster_net::http_server::query_value;
use muster_net::testing::{FakeHttp, PATIENCE, Silent, answer};
use muster_options::Secret;
use muster_scaler_core::config::{Config, GitlabConfig, PoolConfig};
use muster_scaler_core::{Host, JobState, Ledger, Reading, Server, ServerName, Time};
use muster_tasks::Group;
use parking_lot::Mutex;

use super::{Observer, check};
use crate::{MakeAnswer, Moment, Observe, RunnerSpec as Wanted, Runners, Seen};

const NOW: Time = Time::from_secs(1_800_000_000);

/// What the Prometheus of a test has: by metric, the labels and values of its series.
type Series = Arc<Mutex<BTreeMap<&'static str, Vec<(String, f64)>>>>;

fn series(rows: &[(&'static str, &str, f64)]) -> Series {
    let mut all: BTreeMap<&'static str, Vec<(String, f64)>> = BTreeMap::new();
    for (metric, labels, value) in rows {
        let rows = all.entry(metric).or_default();
        rows.push(((*labels).to_owned(), *value));
    }
    Arc::new(Mutex::new(all))
}

/// Answers a query with the series of the metric that stands first in it; `timestamp(...)` with
/// the present time.
async fn prometheus(group: &Group, series: &Series) -> FakeHttp {
    let series = Arc::clone(series);
    FakeHttp::start(group, move |seen| {
        let query = query_value(&seen.query, "query").unwrap_or_default();
        let is_time = query.starts_with("timestamp(");
        let all = series.lock();
        // The longest name counts: one name may begin another.
        let found = all
            .iter()
            .filter(|(metric, _)| query.contains(&format!("{metric}{{")) || query == **metric);
        let rows = found.max_by_key(|(metric, _)| metric.len());
        let rows: Vec<String> = rows
            .map(|(_, rows)| rows.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|(labels, value)| {
                let pairs: Vec<String> = labels
                    .split_whitespace()
                    .map(|pair| {
                        let (name, text) = pair.split_once('=').unwrap();
                        format!("\"{name}\":\"{text}\"")
                    })
                    .collect();
                let value = if is_time { 1_799_999_990.0 } else { *value };
                format!(
                    "{{\"metric\":{{{}}},\"value\":[1,\"{value}\"]}}",
                    pairs.join(",")
                )
            })
            .collect();
        let body = format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}]}}}}",
            rows.join(",")
        );
        answer(200, &body)
    })
    .await
}

fn config(prometheus: &str) -> Config {
    let mut config = Config {
        owner: "prod-1".to_owned(),
        pool: vec![PoolConfig {
            name: "small".to_owned(),
            match_tags: vec!["docker".to_owned()],
            permanent: "job=\"runner\"".to_owned(),
            ..PoolConfig::default()
        }],
        ..Config::default()
    };
    config.prometheus.url = prometheus.to_owned();
    config.prometheus.timeout = muster_options::Duration::from_secs(20);
    config
}

fn with_gitlab(mut config: Config, double: &Double, projects: &[&str]) -> Config {
    config.gitlab = Some(GitlabConfig {
        url: double.url().to_owned(),
        token: Secret::new(double.scaler_token()),
        timeout: muster_options::Duration::from_secs(20),
        poll: muster_options::Duration::from_secs(0),
        projects: projects.iter().map(|&project| project.to_owned()).collect(),
        ..GitlabConfig::default()
    });
    config
}

async fn look(observer: &Observer) -> Seen {
    look_at(observer, NOW).await
}

async fn look_at(observer: &Observer, now: Time) -> Seen {
    observer.observe(now.into(), &Ledger::default()).await
}

fn host<'a>(seen: &'a Seen, instance: &str) -> &'a Host {
    let hosts = seen.pools["small"].hosts.value().expect("hosts");
    let found = hosts.iter().find(|host| host.instance == instance);
    found.expect("the host")
}

fn whole_fleet() -> Series {
    series(&[
        ("up", "instance=a:9252 job=runner", 1.0),
        ("up", "instance=b:9252 job=runner", 0.0),
        ("up", "instance=c:9252 muster_server=small-1", 1.0),
        ("gitlab_runner_concurrent", "instance=a:9252", 4.0),
        ("gitlab_runner_concurrent", "instance=c:9252", 2.0),
        ("gitlab_runner_limit", "instance=a:9252 runner=x", 3.0),
        ("gitlab_runner_limit", "instance=c:9252 runner=y", 0.0),
        (
            "gitlab_runner_jobs",
            "instance=a:9252 runner=x system_id=s_a state=idle",
            0.0,
        ),
        (
            "gitlab_runner_jobs",
            "instance=a:9252 runner=x system_id=s_a state=running",
            2.0,
        ),
        (
            "gitlab_runner_jobs",
            "instance=a:9252 runner=x system_id=s_a state=finished",
            9.0,
        ),
        (
            "gitlab_runner_jobs",
            "instance=c:9252 runner=y system_id=s_c state=idle",
            0.0,
        ),
        (
            "gitlab_runner_request_concurrency_used_limit",
            "instance=a:9252",
            2.0,
        ),
        (
            "gitlab_runner_request_concurrency_hard_limit",
            "instance=a:9252",
            2.0,
        ),
    ])
}

#[muster_tasks::test]
async fn every_target_is_a_host_and_a_dead_one_has_no_values(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let observer = Observer::new(&config(fake.url())).unwrap();
    assert!(observer.is_reduced());
    let seen = look(&observer).await;
    let alive = host(&seen, "a:9252");
    // Values have the time of their scrape and not that of the question.
    assert_eq!(
        alive.up,
        Reading::known(true, Time::from_secs(1_799_999_990))
    );
    assert_eq!(alive.slots.value(), Some(&3));
    assert_eq!(alive.running.value(), Some(&2));
    assert_eq!(alive.request_bound.value(), Some(&true));
    assert!(alive.cpu_pressure.value().is_none());
    let dead = host(&seen, "b:9252");
    assert_eq!(dead.up.value(), Some(&false));
    assert!(dead.slots.value().is_none() && dead.running.value().is_none());
    let ours = host(&seen, "c:9252");
    assert_eq!(ours.server, Some(ServerName("small-1".to_owned())));
    assert_eq!(
        (ours.slots.value(), ours.running.value()),
        (Some(&2), Some(&0))
    );
    assert!(ours.request_bound.value().is_none());
    assert!(seen.runners.value().is_none());
    for asked in fake.seen() {
        assert_eq!(
            query_value(&asked.query, "time").as_deref(),
            Some("1800000000.000")
        );
    }
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn nothing_is_not_zero(group: Group) {
    let all = whole_fleet();
    let fake = prometheus(&group, &all).await;
    let observer = Observer::new(&config(fake.url())).unwrap();
    let why = |seen: &Seen| match &seen.pools["small"].hosts {
        Reading::Unknown { why } => why.clone(),
        known => panic!("{known:?}"),
    };
    // A runner without any series of jobs tells nothing; NaN and Inf neither.
    all.lock().remove("gitlab_runner_jobs");
    assert!(
        host(&look(&observer).await, "a:9252")
            .running
            .value()
            .is_none()
    );
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let row = ("instance=a:9252".to_owned(), bad);
        all.lock().insert("gitlab_runner_concurrent", vec![row]);
        let seen = look(&observer).await;
        assert!(host(&seen, "a:9252").slots.value().is_none(), "{bad}");
    }
    // Only ours are left: the permanent fleet has not vanished, it is not told of.
    let ours = ("instance=c:9252 muster_server=small-1".to_owned(), 1.0);
    all.lock().insert("up", vec![ours]);
    assert!(why(&look(&observer).await).contains("`permanent`"));
    all.lock().clear();
    assert!(why(&look(&observer).await).contains("`permanent`"));
    let seen = look(&observer).await;
    assert!(seen.pools["small"].jobs.value().is_none());
    assert!(seen.pools["small"].wait_p95.value().is_none());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_prometheus_that_hangs_or_is_not_there_costs_its_time_and_no_more(group: Group) {
    let mut silent = Silent::start(&group).await;
    let mut slow = config(&format!("http://{}", silent.address()));
    slow.prometheus.timeout = muster_options::Duration::from_millis(50);
    let seen = look(&Observer::new(&slow).unwrap()).await;
    assert!(seen.pools["small"].hosts.value().is_none());
    assert!(silent.all_closed().await, "a connection is left open");
    let seen = look(&Observer::new(&config("http://127.0.0.1:1")).unwrap()).await;
    assert!(seen.pools["small"].hosts.value().is_none());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn without_a_token_jobs_are_counted_by_the_query(group: Group) {
    let all = whole_fleet();
    all.lock()
        .insert("ci_pending_builds", vec![(String::new(), 5.0)]);
    let fake = prometheus(&group, &all).await;
    let mut reduced = config(fake.url());
    reduced.pool[0].pending_query = "ci_pending_builds".to_owned();
    let observer = Observer::new(&reduced).unwrap();
    let seen = look(&observer).await;
    let jobs = seen.pools["small"].jobs.value().unwrap();
    assert_eq!((jobs.pending, jobs.running), (5, 2));
    assert!(seen.pools["small"].pipelines.value().is_none());
    all.lock().remove("ci_pending_builds");
    assert!(look(&observer).await.pools["small"].jobs.value().is_none());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn pressure_is_matched_by_host(group: Group) {
    let all = whole_fleet();
    let cpu = "node_pressure_cpu_waiting_seconds_total";
    let memory = "node_pressure_memory_stalled_seconds_total";
    all.lock()
        .insert(cpu, vec![("instance=a:9100".to_owned(), 0.6)]);
    all.lock()
        .insert(memory, vec![("instance=a:9100".to_owned(), 1.7)]);
    let fake = prometheus(&group, &all).await;
    let mut watched = config(fake.url());
    watched.pool[0].node = "job=\"node\"".to_owned();
    let seen = look(&Observer::new(&watched).unwrap()).await;
    let pressed = host(&seen, "a:9252");
    assert_eq!(pressed.cpu_pressure.value(), Some(&0.6));
    assert_eq!(
        pressed.memory_stall.value(),
        Some(&1.0),
        "a share is at most one"
    );
    assert!(host(&seen, "c:9252").cpu_pressure.value().is_none());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn gitlab_tells_jobs_pipelines_and_our_runners(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let double = Double::start(&group, DoubleOptions::default())
        .await
        .unwrap();
    let project = double.add_project("shop/web");
    let observer = Observer::new(&with_gitlab(config(fake.url()), &double, &["shop/web"])).unwrap();
    let runners = Arc::clone(observer.runners().unwrap());
    let wanted = Wanted {
        name: ServerName("small-1".to_owned()),
        owner: "prod-1".to_owned(),
        pool: "small".to_owned(),
        tags: vec!["docker".to_owned()],
        run_untagged: false,
    };
    let MakeAnswer::Made { id, token } = runners.make_runner(&wanted).await else {
        panic!("not made");
    };
    double.add_runner(&RunnerSpec {
        description: "muster prod-2 small-1".to_owned(),
        ..RunnerSpec::default()
    });
    let job = |name: &str, stage: &str| JobSpec {
        name: name.to_owned(),
        stage: stage.to_owned(),
        tags: vec!["docker".to_owned()],
        ..JobSpec::default()
    };
    let jobs = [job("a", "build"), job("b", "build"), job("c", "test")];
    double.add_pipeline(project, &jobs);
    let seen = look_at(&observer, NOW + Duration::from_secs(10)).await;
    let view = &seen.runners.value().unwrap()[&ServerName("small-1".to_owned())];
    assert_eq!((view.runner, view.joined.value()), (id, Some(&false)));
    assert_eq!(seen.pools["small"].jobs.value().unwrap().pending, 2);

    let runner = RunnerClient::new(double.url(), token, "s_c", PATIENCE).unwrap();
    let asked = runner.request_job(None, PATIENCE).await.unwrap();
    assert!(matches!(asked, JobRequest::Job(_)));
    runners.pause(id).await.unwrap();
    let seen = look_at(&observer, NOW + Duration::from_secs(20)).await;
    let views = seen.runners.value().unwrap();
    assert_eq!(views.len(), 1, "others' runners are not ours");
    let view = &views[&ServerName("small-1".to_owned())];
    assert_eq!(view.joined.value(), Some(&true));
    assert_eq!(view.paused.value(), Some(&true));
    assert_eq!(view.running.value(), Some(&1));
    let pool = &seen.pools["small"];
    let counted = pool.jobs.value().unwrap();
    assert_eq!((counted.pending, counted.running), (1, 1));
    let states: Vec<(u32, bool)> = pool.pipelines.value().unwrap()[0]
        .jobs
        .iter()
        .map(|job| (job.stage, matches!(job.state, JobState::Created)))
        .collect();
    assert_eq!(states, [(0, false), (0, false), (1, true)]);

    // A GitLab that fails is unknown; what was counted before stays, with its age.
    double.inject("", "", Fault::Status(502), u32::MAX);
    let seen = look_at(&observer, NOW + Duration::from_secs(30)).await;
    assert!(seen.runners.value().is_none());
    let age = seen.pools["small"].jobs.age(NOW + Duration::from_secs(100));
    assert!(age.unwrap() > Duration::from_secs(50));
    double.heal();
    runners.delete(id).await.unwrap();
    assert_eq!(runners.view(id).await.unwrap(), None);
    assert!(
        runners
            .list_owned("prod-1")
            .await
            .unwrap()
            .runners
            .is_empty()
    );
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_lost_answer_is_unknown_and_its_runner_is_found(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let double = Double::start(&group, DoubleOptions::default())
        .await
        .unwrap();
    let observer = Observer::new(&with_gitlab(config(fake.url()), &double, &[])).unwrap();
    let runners = observer.runners().unwrap();
    double.inject("POST", "user/runners", Fault::LoseAnswer, 1);
    let wanted = Wanted {
        name: ServerName("small-2".to_owned()),
        owner: "prod-1".to_owned(),
        pool: "small".to_owned(),
        tags: vec!["docker".to_owned()],
        run_untagged: false,
    };
    let made = runners.make_runner(&wanted).await;
    assert!(matches!(made, MakeAnswer::Unknown(_)), "{made:?}");
    let listed = runners.list_owned("prod-1").await.unwrap();
    assert!(listed.complete);
    assert_eq!(listed.runners[0].name, wanted.name);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn of_two_objects_with_one_name_the_one_with_the_servers_token_counts(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let double = Double::start(&group, DoubleOptions::default())
        .await
        .unwrap();
    let observer = Observer::new(&with_gitlab(config(fake.url()), &double, &[])).unwrap();
    let add = || {
        double.add_runner(&RunnerSpec {
            description: "muster prod-1 small-1".to_owned(),
            ..RunnerSpec::default()
        })
    };
    let (first, second) = (add(), add());
    let name = ServerName("small-1".to_owned());
    let seen_with = async |runner| {
        let provider = "small/0".parse().unwrap();
        let mut server = Server::plan(name.clone(), "small", provider, NOW);
        server.runner = runner;
        let mut ledger = Ledger::default();
        ledger.servers.insert(name.clone(), server);
        let seen = observer.observe(NOW.into(), &ledger).await;
        seen.runners.value().unwrap()[&name].clone()
    };
    for known in [first.0, second.0] {
        assert_eq!(seen_with(Some(known)).await.runner, known);
        // Nor does it count less while GitLab cannot tell of its processes.
        let path = format!("runners/{known}/managers");
        double.inject("GET", &path, Fault::Status(502), u32::MAX);
        let view = seen_with(Some(known)).await;
        assert_eq!((view.runner, view.joined.value()), (known, None));
        double.heal();
    }
    let token = Secret::new(first.1);
    let runner = RunnerClient::new(double.url(), token, "s_c", PATIENCE).unwrap();
    let asked = runner.request_job(None, PATIENCE).await.unwrap();
    assert!(matches!(asked, JobRequest::Nothing(_)), "{asked:?}");
    assert_eq!(seen_with(None).await.runner, first.0);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_runner_is_gone_only_when_gitlab_says_so_of_it(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let double = Double::start(&group, DoubleOptions::default())
        .await
        .unwrap();
    let observer = Observer::new(&with_gitlab(config(fake.url()), &double, &[])).unwrap();
    // Somebody has described it anew: the list does not show whose it is.
    let (id, _) = double.add_runner(&RunnerSpec {
        description: "the big one".to_owned(),
        ..RunnerSpec::default()
    });
    let name = ServerName("small-1".to_owned());
    let provider = "small/0".parse().unwrap();
    let mut server = Server::plan(name.clone(), "small", provider, NOW);
    server.runner = Some(id);
    let mut ledger = Ledger::default();
    ledger.servers.insert(name.clone(), server);
    let view = async || {
        let seen = observer.observe(NOW.into(), &ledger).await;
        seen.runners.value().unwrap().get(&name).cloned()
    };
    let unknown = view().await.expect("it is there");
    assert_eq!((unknown.runner, unknown.running.value()), (id, None));
    assert_eq!(
        (unknown.joined.value(), unknown.paused.value()),
        (None, None)
    );
    let runners = observer.runners().unwrap();
    assert_eq!(runners.view(id).await, Ok(None), "it is not ours");
    assert_eq!(runners.exists(id).await, Ok(true));
    let path = format!("runners/{id}");
    double.inject("GET", &path, Fault::Status(403), u32::MAX);
    assert_eq!(view().await.map(|view| view.runner), Some(id));
    double.heal();
    runners.delete(id).await.unwrap();
    assert!(view().await.is_none());
    assert_eq!(runners.exists(id).await, Ok(false));
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_check_says_what_will_not_work_and_changes_nothing(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let double = Double::start(&group, DoubleOptions::default())
        .await
        .unwrap();
    double.add_project("shop/web");
    let mut wrong = with_gitlab(config(fake.url()), &double, &["shop/web", "shop/gone"]);
    wrong.pool[0].pending_query = "sum(ci_pending_builds{a=\"b\"}".to_owned();
    let gitlab = wrong.gitlab.as_mut().unwrap();
    gitlab.token = Secret::new(double.add_token(&["manage_runner"], true));
    let report = check(&wrong, NOW).await;
    let all = format!("{report:?}");
    for part in [
        "\\\"(\\\" is not closed",
        "lacks read_api, create_runner",
        "shop/gone",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!report.is_ok() && !all.contains("glpat-"), "{all}");
    let right = with_gitlab(config(fake.url()), &double, &["shop/web"]);
    let report = check(&right, NOW).await;
    let bad: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| !finding.ok)
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(double.asked().iter().all(|asked| asked.method == "GET"));
    assert!(double.runners().is_empty());
    assert!(group.stop().await.is_clean());
}

#[test]
fn wrong_promql_is_refused_at_once() {
    let check = |change: &dyn Fn(&mut PoolConfig), want: &str| {
        let mut wrong = config("http://127.0.0.1:9090");
        change(&mut wrong.pool[0]);
        let error = Observer::new(&wrong).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    };
    check(
        &|pool| pool.permanent = "job=runner".to_owned(),
        "`permanent` of the pool small",
    );
    check(
        &|pool| pool.node = "job".to_owned(),
        "`node` of the pool small",
    );
    check(
        &|pool| pool.pending_query = "sum(".to_owned(),
        "`pending_query` of the pool small",
    );
    let mut wrong = config("prometheus:9090");
    assert!(Observer::new(&wrong).is_err());
    wrong.prometheus.url = "http://127.0.0.1:9090".to_owned();
    assert!(Observer::new(&wrong).is_ok());
}

#[muster_tasks::test]
async fn a_project_without_ci_has_no_jobs(group: Group) {
    let double = Double::start(&group, DoubleOptions::default())
        .await
        .unwrap();
    let fake = prometheus(&group, &whole_fleet()).await;
    let with_ci = double.add_project("acme/with");
    let without = double.add_project("acme/without");
    double.disable_ci(without);
    let mut config = with_gitlab(config(fake.url()), &double, &[]);
    if let Some(gitlab) = &mut config.gitlab {
        gitlab.groups = vec!["acme".to_owned()];
    }
    let observer = Observer::new(&config).unwrap();
    let seen = look(&observer).await;
    assert_eq!(seen.pools["small"].jobs.value().unwrap().pending, 0);

    // One that has lost its CI since is named, and not asked again.
    double.disable_ci(with_ci);
    let more = double.add_project("acme/more");
    let seen = look_at(&observer, NOW + Duration::from_secs(10)).await;
    assert!(seen.pools["small"].jobs.value().is_none(), "{more}");
    let why = format!("{:?}", seen.pools["small"].jobs);
    assert!(why.contains(&format!("project {with_ci}:")), "{why}");
    let seen = look_at(&observer, NOW + Duration::from_secs(400)).await;
    assert_eq!(seen.pools["small"].jobs.value().unwrap().pending, 0);
    drop(observer);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn prometheus_is_asked_by_the_wall_clock_and_samples_have_their_age_by_ours(group: Group) {
    let fake = prometheus(&group, &whole_fleet()).await;
    let observer = Observer::new(&config(fake.url())).unwrap();
    let hour = Duration::from_secs(3600);
    let moment = Moment {
        time: NOW - hour,
        wall: NOW,
    };
    let seen = observer.observe(moment, &Ledger::default()).await;
    // Taken ten seconds before.
    let up = &host(&seen, "a:9252").up;
    assert_eq!(up.age(moment.time), Some(Duration::from_secs(10)));
    drop(observer);
    assert!(group.stop().await.is_clean());
}
