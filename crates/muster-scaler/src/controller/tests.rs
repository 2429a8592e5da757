use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use async_trait::async_trait;
use muster_options::Duration as OptionDuration;
use muster_scaler_core::config::{GitlabConfig, PoolConfig, ProviderConfig};
use muster_scaler_core::provider::label;
use muster_scaler_core::{Drain, Event, Ledger, PausedHost, ServerName, decide};

use super::*;
use crate::clock::Moment;
use crate::runners::{MakeAnswer, RunnerSpec};
use crate::testing::{Ground, ModelCloud, ModelGitlab};

#[derive(Debug)]
struct Blind;

#[async_trait]
impl Observe for Blind {
    async fn observe(&self, _: Moment, _: &Ledger) -> Seen {
        Seen::nothing("nobody looks")
    }
}

#[muster_tasks::test]
async fn a_jump_of_the_wall_clock_is_alarmed_about_and_decides_nothing(group: Group) {
    static WALL: AtomicI64 = AtomicI64::new(1_790_000_000_000);
    let state = tempfile::tempdir().unwrap();
    let setup = Setup {
        config: Arc::new(Config::default()),
        state: state.path().to_owned(),
        providers: BTreeMap::new(),
        runners: None,
        observer: Arc::new(Blind),
        decide,
    };
    let clock = Clock::with_wall(Time::default(), || Time::from_millis(WALL.load(Relaxed)));
    let lease = Lease::take(state.path()).map_err(|error| error.to_string());
    let (kept, keep) = (Kept::default(), Box::new(Nowhere));
    let controller =
        Controller::with(&group, setup, lease, keep, kept, None, Arc::new(clock)).unwrap();
    let first = controller.tick().await.unwrap();
    // A day back, as when somebody sets the machine's clock.
    WALL.fetch_sub(24 * 3600 * 1000, Relaxed);
    let second = controller.tick().await.unwrap();
    let status = Arc::clone(&controller.status().borrow());
    let jumped = |alarm: &Alarm| alarm.code == "clock_jump" && alarm.text.contains("-86400");
    assert!(status.alarms.iter().any(jumped), "{:?}", status.alarms);
    assert_eq!(status.counts.clock_jumps, 1);
    let passed = second.at.millis() - first.at.millis();
    assert!((0..3_600_000).contains(&passed), "{passed}");
    drop(controller);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_relieved_host_whose_runner_is_gone_is_forgotten(group: Group) {
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let runners = ModelGitlab::new(Arc::clone(&now), 1, 1);
    runners.set_calm(true);
    let state = tempfile::tempdir().unwrap();
    let setup = Setup {
        config: Arc::new(Config {
            mode: Mode::On,
            ..Config::default()
        }),
        state: state.path().to_owned(),
        providers: BTreeMap::new(),
        runners: Some(runners),
        observer: Arc::new(Blind),
        decide,
    };
    let lease = Lease::take(state.path()).map_err(|error| error.to_string());
    let (mut kept, keep) = (Kept::default(), Box::new(Nowhere));
    let paused = PausedHost {
        runner: 7,
        instance: "a:9252".to_owned(),
        pool: "p".to_owned(),
        since: Time::default(),
        until: Time::default(),
    };
    let paused = Event::HostPaused(paused);
    Arc::make_mut(&mut kept.ledger).apply(&paused).unwrap();
    let clock = Arc::new(Clock::given(now));
    let controller = Controller::with(&group, setup, lease, keep, kept, None, clock).unwrap();
    let forgotten = async {
        while !controller.desk().ledger().paused_hosts.is_empty() {
            controller.tick().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let forgotten = muster_tasks::timeout(Duration::from_secs(60), forgotten);
    forgotten.await.expect("the host is forgotten");
    drop(controller);
    assert!(group.stop().await.is_clean());
}

const START: i64 = 1_790_000_000_000;

/// A pool "p" whose provider and GitLab are models that work.
struct Calm {
    now: Arc<AtomicI64>,
    gitlab: Arc<ModelGitlab>,
    cloud: Arc<ModelCloud>,
    state: tempfile::TempDir,
}

impl Calm {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let gitlab = ModelGitlab::new(Arc::clone(&now), 1, 1);
        gitlab.set_calm(true);
        let cloud = ModelCloud::new(Arc::clone(&now), 1);
        cloud.calm();
        Self {
            now,
            gitlab,
            cloud,
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Relaxed);
    }

    async fn runner(&self, name: &str, owner: &str) -> u64 {
        let spec = RunnerSpec {
            name: ServerName(name.to_owned()),
            owner: owner.to_owned(),
            pool: "p".to_owned(),
            tags: Vec::new(),
            run_untagged: true,
        };
        match self.gitlab.make_runner(&spec).await {
            MakeAnswer::Made { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    /// A server that runs, as the ledger has it.
    async fn server(&self, name: &str, runner: u64) -> Server {
        let labels = [
            (label::OWNER, "tests"),
            (label::POOL, "p"),
            (label::NAME, name),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let id = self.cloud.plant(name, &labels.into()).await;
        let name = ServerName(name.to_owned());
        let now = Time::from_millis(START);
        let mut server = Server::plan(name, "p", Self::provider(), now);
        server.decision = 1;
        server.provider_id = Some(id);
        server.runner = Some(runner);
        server.joined = Some(now);
        server.state = ServerState::Joined;
        server.expires = now + Duration::from_secs(24 * 3600);
        server
    }

    fn provider() -> ProviderId {
        ProviderId {
            pool: "p".to_owned(),
            at: 0,
        }
    }

    /// A scaler that finds these servers in its ledger.
    async fn start(&self, group: &Group, servers: &[Server]) -> Controller {
        let mut provider = ProviderConfig::default();
        provider.common.boot_timeout = OptionDuration::from_secs(180);
        let pool = PoolConfig {
            name: "p".to_owned(),
            run_untagged: true,
            provider: vec![provider],
            ..PoolConfig::default()
        };
        let config = Config {
            mode: Mode::On,
            owner: "tests".to_owned(),
            gitlab: Some(GitlabConfig::default()),
            pool: vec![pool],
            ..Config::default()
        };
        let provider = ProviderSetup {
            provider: Arc::<ModelCloud>::clone(&self.cloud),
            timeout: Duration::from_secs(10),
        };
        let setup = Setup {
            config: Arc::new(config),
            state: self.state.path().to_owned(),
            providers: BTreeMap::from([(Self::provider(), provider)]),
            runners: Some(Arc::<ModelGitlab>::clone(&self.gitlab)),
            observer: Arc::<ModelGitlab>::clone(&self.gitlab),
            decide,
        };
        let mut kept = Kept::default();
        for server in servers {
            let adopted = Event::Adopted(Box::new(server.clone()));
            Arc::make_mut(&mut kept.ledger).apply(&adopted).unwrap();
        }
        let lease = Lease::take(self.state.path()).map_err(|error| error.to_string());
        let clock = Arc::new(Clock::given(Arc::clone(&self.now)));
        let keep = Box::new(Nowhere);
        let controller = Controller::with(group, setup, lease, keep, kept, None, clock).unwrap();
        controller.resume().await.unwrap();
        controller
    }
}

async fn tick(controller: &Controller) -> Decision {
    let decision = controller.tick().await.unwrap();
    controller.settled().await;
    decision
}

#[muster_tasks::test]
async fn a_look_before_a_restart_is_none_of_the_two_that_a_drain_needs(group: Group) {
    let calm = Calm::new();
    let runner = calm.runner("p-1", "tests").await;
    calm.gitlab.pause(runner).await.unwrap();
    let mut server = calm.server("p-1", runner).await;
    let now = Time::from_millis(START);
    let hour = Duration::from_secs(3600);
    let mut drain = Drain::new(now + hour, "idle", false, Duration::from_secs(50));
    drain.paused = Some(now);
    drain.first_empty = Some(now + Duration::from_secs(5));
    server.state = ServerState::Draining;
    server.drain = Some(drain);
    // The clock after the restart is ahead of the one before.
    calm.pass(300);
    let controller = calm.start(&group, &[server]).await;
    let is_deleted = |decision: &Decision| {
        let delete = |action: &Action| matches!(action, Action::Delete(_));
        decision.actions.iter().any(delete)
    };
    let mut deleted_after = None;
    for second in (0..300).step_by(10) {
        if is_deleted(&tick(&controller).await) {
            deleted_after = Some(second);
            break;
        }
        calm.pass(10);
    }
    assert_eq!(
        deleted_after,
        Some(70),
        "more than a minute between two looks"
    );
    drop(controller);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_runner_of_others_that_has_got_the_id_of_ours_is_not_touched(group: Group) {
    let calm = Calm::new();
    let theirs = calm.runner("theirs", "others").await;
    let mut going = calm.server("p-1", theirs).await;
    going.state = ServerState::Removing;
    going.joined = None;
    let mut drained = calm.server("p-2", theirs).await;
    let deadline = Time::from_millis(START) + Duration::from_secs(3600);
    let drain = Drain::new(deadline, "idle", false, Duration::from_secs(50));
    drained.state = ServerState::Draining;
    drained.drain = Some(drain);
    let controller = calm.start(&group, &[going, drained]).await;
    for _ in 0..6 {
        tick(&controller).await;
        calm.pass(10);
    }
    let left = controller.desk().ledger();
    let left: Vec<&str> = left.servers.keys().map(|name| name.0.as_str()).collect();
    assert_eq!(left, ["p-2"], "the first is deleted");
    let objects = calm.gitlab.objects();
    assert_eq!((objects[0].id, objects[0].paused), (theirs, false));
    drop(controller);
    assert!(group.stop().await.is_clean());
}
