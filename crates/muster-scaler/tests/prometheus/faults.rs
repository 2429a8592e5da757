//! Whatever becomes of the metrics, no server goes for it, and an alarm says so by the second tick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use muster_net::testing::{FakeHttp, answer};
use muster_options::Duration as OptionDuration;
use muster_scaler::observe::Observer;
use muster_scaler::testing::{Ground, ModelCloud, ModelGitlab};
use muster_scaler::{Controller, Moment, Observe, ProviderSetup, Runners, Seen, Setup};
use muster_scaler_core::config::{GitlabConfig, Mode, ProviderConfig, RateConfig};
use muster_scaler_core::provider::Provider;
use muster_scaler_core::{Ledger, ProviderId, ServerState, decide};
use muster_tasks::Group;
use muster_testkit::Prometheus;
use parking_lot::Mutex;

use super::fleet::{PATIENCE, Page, config, runner};

/// Values that are older are no values.
const MAX_AGE: Duration = Duration::from_secs(4);

/// The metrics are Prometheus', the runner objects those of a GitLab that always answers: it is the
/// metrics alone that something is wrong with.
#[derive(Debug)]
struct Sight {
    metrics: Observer,
    gitlab: Arc<ModelGitlab>,
}

#[async_trait]
impl Observe for Sight {
    async fn observe(&self, now: Moment, ledger: &Ledger) -> Seen {
        let gitlab = self.gitlab.observe(now, ledger).await;
        let metrics = self.metrics.observe(now, ledger).await;
        Seen {
            runners: gitlab.runners,
            ..metrics
        }
    }
}

/// Two permanent runners, the queue, and a scaler over a provider in memory.
struct Scene {
    prometheus: Prometheus,
    /// What service discovery tells Prometheus.
    targets: Arc<Mutex<String>>,
    first: Page,
    second: Page,
    queue: Page,
    mortal: Group,
    controller: Controller,
    cloud: Arc<ModelCloud>,
    gitlab: Arc<ModelGitlab>,
    /// The time of the cloud and of GitLab, which is not that of the scaler.
    time: Arc<AtomicI64>,
    _state: tempfile::TempDir,
}

/// So many jobs wait.
fn queue(jobs: u32) -> String {
    format!("ci_pending_builds {jobs}\n")
}

impl Scene {
    async fn set(group: &Group) -> Self {
        let mortal = group.group("mortal");
        // With its own times; what was told so is not forgotten when it is told no more.
        let stamped = runner().replace('\n', " TIME\n");
        let first = Page::start(group, stamped).await;
        let second = Page::start(&mortal, runner()).await;
        let queue = Page::start(group, queue(6)).await;
        let all = format!(
            "[{{\"targets\":[\"127.0.0.1:{}\",\"127.0.0.1:{}\"],\"labels\":{{\"fleet\":\"ci\"}}}}]",
            first.port, second.port
        );
        let targets = Arc::new(Mutex::new(all));
        let told = Arc::clone(&targets);
        let discovery = FakeHttp::start(group, move |_| {
            let mut answer = answer(200, &told.lock());
            let json = "application/json".parse().unwrap();
            answer.headers_mut().insert("content-type", json);
            answer
        })
        .await;
        let prometheus = Prometheus::discovering(discovery.url(), "runner", &[queue.port]);
        let time = Arc::new(AtomicI64::new(1_790_000_000_000));
        let cloud = ModelCloud::new(Arc::clone(&time), 1);
        let gitlab = ModelGitlab::new(Arc::clone(&time), 1, 2);
        cloud.calm();
        gitlab.set_calm(true);
        let mut config = config(&prometheus, "fleet=\"ci\"");
        config.mode = Mode::On;
        config.prometheus.max_age = OptionDuration::from(MAX_AGE);
        config.prometheus.timeout = OptionDuration::from_secs(1);
        config.list_every = OptionDuration::from_secs(1);
        config.gitlab = Some(GitlabConfig::default());
        let pool = &mut config.pool[0];
        pool.pending_query = "ci_pending_builds".to_owned();
        pool.run_untagged = true;
        pool.slots_per_server = 2;
        pool.idle_time = OptionDuration::ZERO;
        pool.rate = RateConfig {
            create_per_minute: 100_000,
            delete_per_minute: 100_000,
        };
        pool.provider = vec![ProviderConfig::default()];
        let id = ProviderId {
            pool: "small".to_owned(),
            at: 0,
        };
        let provider = ProviderSetup {
            provider: Arc::<ModelCloud>::clone(&cloud) as Arc<dyn Provider>,
            timeout: PATIENCE,
        };
        let state = tempfile::tempdir().unwrap();
        let metrics = Observer::new(&config).unwrap();
        let sight = Sight {
            metrics,
            gitlab: Arc::clone(&gitlab),
        };
        let setup = Setup {
            config: Arc::new(config),
            state: state.path().to_owned(),
            providers: BTreeMap::from([(id, provider)]),
            runners: Some(Arc::<ModelGitlab>::clone(&gitlab) as Arc<dyn Runners>),
            observer: Arc::new(sight),
            decide,
        };
        let controller = Controller::start(group, setup).await.unwrap();
        Self {
            prometheus,
            targets,
            first,
            second,
            queue,
            mortal,
            controller,
            cloud,
            gitlab,
            time,
            _state: state,
        }
    }

    /// One tick, before which the servers have had a minute.
    async fn tick(&self) {
        self.time.fetch_add(60_000, Relaxed);
        self.gitlab.pass(&self.cloud.servers().await);
        self.controller.tick().await.unwrap();
        self.controller.settled().await;
    }

    /// The servers of the ledger that work and are to go on doing so.
    fn working(&self) -> BTreeSet<String> {
        let ledger = self.controller.desk().ledger();
        let servers = ledger.servers.values();
        let joined = servers.filter(|server| server.state == ServerState::Joined);
        joined.map(|server| server.name.0.clone()).collect()
    }

    fn is_alarmed(&self) -> bool {
        let status = self.controller.status().borrow().clone();
        let mut alarms = status.alarms.iter();
        alarms.any(|alarm| alarm.code == "observation_unhealthy")
    }

    /// Ticks until it is so.
    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let begun = tokio::time::Instant::now();
        loop {
            self.tick().await;
            if is(self) {
                return;
            }
            let status = self.controller.status().borrow().clone();
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: {:?} {:?}",
                status.ledger.servers,
                status.alarms
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until Prometheus has no value, or this one, for the expression.
    async fn until_told(&self, expression: &str, value: Option<&str>) {
        let begun = tokio::time::Instant::now();
        loop {
            let rows = self.prometheus.query(expression);
            let told = rows.first().and_then(|row| row["value"][1].as_str());
            if told == value {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{expression} is {rows:?}, not {value:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Jobs wait and all is well: there are servers, and nothing is alarmed about.
    async fn grow(&self) {
        self.queue.set(queue(6));
        let whole = |scene: &Self| scene.working().len() >= 2 && !scene.is_alarmed();
        self.until("servers come", whole).await;
    }

    /// No job waits, but nobody can know that: all servers stay, and by the second tick it is
    /// alarmed.
    async fn hold(&self, fault: &str) {
        let before = self.working();
        self.tick().await;
        self.tick().await;
        let status = self.controller.status().borrow().clone();
        assert!(self.is_alarmed(), "{fault}: {:?}", status.alarms);
        self.queue.set(queue(0));
        // The queue is scraped once a second.
        for _ in 0..10 {
            self.tick().await;
            let now = self.working();
            assert!(before.is_subset(&now), "{fault}: {before:?}, then {now:?}");
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        assert!(self.is_alarmed(), "{fault}");
    }

    /// All is well again: what nobody needs goes, so what held it was the fault.
    async fn shrink(&self, fault: &str) {
        let what = format!("servers go after {fault}");
        self.until(&what, |scene| scene.working().is_empty()).await;
    }
}

#[muster_tasks::test]
async fn no_fault_of_the_metrics_takes_a_server(group: Group) {
    let mut scene = Scene::set(&group).await;

    scene.grow().await;
    let running = "gitlab_runner_jobs{state=\"running\"}";
    scene.second.set(runner().replace(" 3\n", " NaN\n"));
    scene
        .until_told(&format!("count({running} != {running})"), Some("1"))
        .await;
    scene.hold("NaN").await;
    scene.second.set(runner());
    scene.shrink("NaN").await;

    scene.grow().await;
    scene.second.set(String::new());
    scene
        .until_told("count(gitlab_runner_concurrent)", Some("1"))
        .await;
    scene.hold("empty results").await;
    scene.second.set(runner());
    scene.shrink("empty results").await;

    // A page that shows what was, with the time of then.
    scene.grow().await;
    scene.first.freeze(true);
    let age = "count(time() - timestamp(gitlab_runner_concurrent) > 4)";
    scene.until_told(age, Some("1")).await;
    scene.hold("old values").await;
    scene.first.freeze(false);
    scene.shrink("old values").await;

    scene.grow().await;
    let all = std::mem::replace(&mut *scene.targets.lock(), "[]".to_owned());
    scene.until_told("count(up{fleet=\"ci\"})", None).await;
    scene.hold("no target").await;
    *scene.targets.lock() = all;
    scene.shrink("no target").await;

    // It answers nothing for a while, as on a machine that stands still.
    scene.grow().await;
    scene.prometheus.process().signal("STOP");
    scene.hold("a hanging Prometheus").await;
    scene.prometheus.process().signal("CONT");
    scene.shrink("a hanging Prometheus").await;

    // The other half of the targets tells as much for each slot as before: no ratio shows it.
    scene.grow().await;
    assert!(scene.mortal.stop().await.is_clean());
    scene
        .until_told("count(up{fleet=\"ci\"} == 0)", Some("1"))
        .await;
    scene.hold("half of the targets dead").await;

    scene.prometheus.process().kill();
    scene.hold("no Prometheus").await;
    drop(scene);
    assert!(group.stop().await.is_clean());
}
