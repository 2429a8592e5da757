//! Lives of a scaler that is killed again and again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use muster_options::Duration as OptionDuration;
use muster_scaler_core::config::{GitlabConfig, Mode, PoolConfig, ProviderConfig, RateConfig};
use muster_scaler_core::provider::{ListedServer, Phase, Provider, label};
use muster_scaler_core::{Config, ProviderId, decide};
use muster_tasks::{Group, StopOptions};
use parking_lot::Mutex;

use super::fuse::{Fuse, Fused};
use super::gitlab::ModelGitlab;
use crate::clock::Clock;
use crate::controller::{Controller, Setup};
use crate::desk::Keep;
use crate::lease::Lease;
use crate::listings::ProviderSetup;
use crate::runners::{OwnedRunner, Runners};
use crate::store::{Opened, Store, StoreError};

/// The owner in a trial.
const OWNER: &str = "trial";

/// So many steps at most until runner objects that nobody knows are swept: five minutes.
const SWEEPS: usize = 30;

/// How much time passes between two ticks.
const STEP: Duration = Duration::from_secs(10);

/// A file that is locked for longer is locked for good.
const LOCKED: Duration = Duration::from_secs(60);

/// In that time what was sent before the end of a life is taken or lost.
const SENT: Duration = Duration::from_millis(2);

/// The slots of a server.
const SLOTS: usize = 2;

/// The most servers.
const MOST: u32 = 6;

/// A provider whose truth can be seen and that misbehaves on request.
#[async_trait]
pub trait Ground: Send + Sync {
    /// A provider, as after a restart.
    fn provider(self: Arc<Self>) -> Arc<dyn Provider>;

    /// All servers that really are there, foreign ones too.
    async fn servers(&self) -> Vec<ListedServer>;

    /// Makes a server behind the scaler's back; its ID.
    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String;

    /// Something goes wrong with one of the next calls, perhaps.
    fn disturb(&self, rng: &mut fastrand::Rng);

    /// Nothing goes wrong any more.
    fn calm(&self);
}

/// What is played.
#[derive(Clone, Debug)]
pub struct TrialOptions {
    /// Everything by chance follows from this.
    pub seed: u64,
    /// How often the scaler is killed.
    pub crashes: u32,
    /// A call may take so long.
    pub timeout: Duration,
    /// Where the state is; a directory of its own.
    pub state: PathBuf,
    /// The mode.
    pub mode: Mode,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How often the scaler was killed.
    pub crashes: u32,
    /// How many servers were asked for.
    pub asked: u32,
    /// Jobs that were done.
    pub done: u32,
    /// What must never be; empty if all is well.
    pub violations: Vec<String>,
}

/// A trial on a ground.
pub struct Trial {
    ground: Arc<dyn Ground>,
    gitlab: Arc<ModelGitlab>,
    now: Arc<AtomicI64>,
    options: TrialOptions,
    rng: fastrand::Rng,
    asked_for: Arc<Mutex<BTreeMap<String, u32>>>,
    foreign: Vec<(String, BTreeMap<String, String>)>,
    outcome: Outcome,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial")
            .field("options", &self.options)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// One process.
struct Life {
    group: Group,
    controller: Controller,
    fuse: Arc<Fuse>,
}

impl Life {
    /// Everything in the process is gone at once. The disk and the world stay as they are.
    async fn end(self) {
        let options = StopOptions {
            grace: Duration::ZERO,
            // Its thread must have let the ledger go.
            abort_after: Duration::from_secs(60),
            ..StopOptions::default()
        };
        drop(self.controller);
        let _ = self.group.stop_with(options).await;
        // Between two looks at a provider are seconds, here only by the ground's clock.
        tokio::time::sleep(SENT).await;
    }
}

impl Trial {
    /// A trial. `now` is the time of the ground, in milliseconds since 1970.
    pub fn new(ground: Arc<dyn Ground>, now: Arc<AtomicI64>, options: TrialOptions) -> Self {
        let gitlab = ModelGitlab::new(Arc::clone(&now), options.seed ^ 1, SLOTS);
        Self {
            ground,
            gitlab,
            now,
            rng: fastrand::Rng::with_seed(options.seed ^ 2),
            options,
            asked_for: Arc::default(),
            foreign: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// The GitLab of the trial.
    pub fn gitlab(&self) -> &Arc<ModelGitlab> {
        &self.gitlab
    }

    /// The configuration with which the scaler runs.
    pub fn config(&self) -> Config {
        let secs = OptionDuration::from_secs;
        let mut provider = ProviderConfig::default();
        provider.common.kind = "model".to_owned();
        provider.common.boot_timeout = secs(180);
        provider.common.timeout = self.options.timeout.into();
        let pool = PoolConfig {
            name: "p".to_owned(),
            run_untagged: true,
            slots_per_server: u32::try_from(SLOTS).unwrap_or(1),
            max_servers: MOST,
            idle_time: secs(30),
            hard_ttl: secs(4 * 3600),
            drain_deadline: secs(3600),
            rate: RateConfig {
                create_per_minute: 60,
                delete_per_minute: 60,
            },
            provider: vec![provider],
            ..PoolConfig::default()
        };
        Config {
            mode: self.options.mode,
            owner: OWNER.to_owned(),
            gitlab: Some(GitlabConfig {
                timeout: self.options.timeout.into(),
                ..GitlabConfig::default()
            }),
            pool: vec![pool],
            ..Config::default()
        }
    }

    /// Plays: load comes and goes while the scaler is killed again and again; then the load goes
    /// and the scaler is left in peace.
    pub async fn play(mut self, group: &Group) -> Outcome {
        self.plant().await;
        let mut life = self.begin(group, true).await;
        let mut steps = 0u32;
        while self.outcome.crashes < self.options.crashes && steps < 200 * self.options.crashes {
            steps += 1;
            if self.rng.u32(0..3) == 0 {
                self.gitlab.add_jobs(self.rng.u32(1..5));
            }
            if self.rng.u32(0..40) == 0 {
                self.gitlab.clear();
            }
            self.ground.disturb(&mut self.rng);
            if !self.step(&life).await {
                self.outcome.crashes += 1;
                life.end().await;
                // Nothing goes wrong during one reconcile in some lives: then it must be complete.
                if self.outcome.crashes.is_multiple_of(4) {
                    self.reconcile(group).await;
                }
                life = self.begin(group, true).await;
            }
        }
        life.end().await;
        self.wind_down(group).await;
        self.outcome.asked = self.asked_for.lock().values().sum();
        for (name, asked) in self.asked_for.lock().iter() {
            if *asked > 1 {
                let text = format!("{name} was asked for {asked} times");
                self.outcome.violations.push(text);
            }
        }
        let (killed, done) = self.gitlab.ended();
        self.outcome.done = done;
        if killed > 0 {
            self.violation(format!("{killed} jobs were killed"));
        }
        self.outcome
    }

    fn violation(&mut self, text: String) {
        let crashes = self.outcome.crashes;
        let text = format!("after {crashes} crashes: {text}");
        self.outcome.violations.push(text);
    }

    /// Servers of others, some of which look like ours.
    async fn plant(&mut self) {
        let labels = |owner: Option<&str>, name: &str| {
            let mut labels = BTreeMap::from([(label::NAME.to_owned(), name.to_owned())]);
            if let Some(owner) = owner {
                labels.insert(label::OWNER.to_owned(), owner.to_owned());
            }
            labels
        };
        let planted = [
            ("trial-p-1", labels(None, "p-1")),
            ("p-1", labels(Some("trial-2"), "p-1")),
            ("trial", labels(Some("Trial"), "p-2")),
        ];
        for (name, labels) in planted {
            let id = self.ground.plant(name, &labels).await;
            self.foreign.push((id, labels));
        }
    }

    /// A new process on the same disk; with `mortal` it dies at some effect.
    async fn begin(&mut self, root: &Group, mortal: bool) -> Life {
        let at = if mortal {
            self.rng.u64(0..60)
        } else {
            u64::MAX
        };
        let fuse = Fuse::at(at, self.rng.bool(), Arc::clone(&self.asked_for));
        let group = root.group("life");
        let provider: Arc<dyn Provider> = Arc::clone(&self.ground).provider();
        let setup = ProviderSetup {
            provider: Arc::new(Fused::new(provider, &fuse)),
            timeout: self.options.timeout,
        };
        let runners: Arc<dyn Runners> = Arc::<ModelGitlab>::clone(&self.gitlab);
        let id = ProviderId {
            pool: "p".to_owned(),
            at: 0,
        };
        let setup = Setup {
            config: Arc::new(self.config()),
            state: self.options.state.clone(),
            providers: BTreeMap::from([(id, setup)]),
            runners: Some(Arc::new(Fused::new(runners, &fuse))),
            observer: Arc::<ModelGitlab>::clone(&self.gitlab),
            decide,
        };
        let (lease, opened) = self.open().await;
        let (keep, kept, lost): (Box<dyn Keep>, _, _) = match opened {
            Ok(opened) => (
                Box::new(Fused::new(opened.store, &fuse)),
                opened.kept,
                opened.lost,
            ),
            Err(error) => {
                self.violation(format!("failed to {error}"));
                (
                    Box::new(crate::desk::Nowhere),
                    crate::store::Kept::default(),
                    None,
                )
            }
        };
        if let Err(why) = &lease {
            self.violation(why.clone());
        }
        let clock = Arc::new(Clock::given(Arc::clone(&self.now)));
        #[expect(clippy::expect_used, reason = "a trial without a scaler is none")]
        let controller = Controller::with(&group, setup, lease, keep, kept, lost, clock)
            .expect("the group is open");
        let life = Life {
            group,
            controller,
            fuse,
        };
        let _ = life.controller.resume().await;
        life
    }

    /// The lease and the ledger. The files of the life before are locked until the last copy of them
    /// is closed, and a program that another test starts just now has one until it runs.
    async fn open(&self) -> (Result<Lease, String>, Result<Opened, StoreError>) {
        let begun = tokio::time::Instant::now();
        loop {
            let lease = Lease::take(&self.options.state).map_err(|error| error.to_string());
            let opened = Store::open(&self.options.state);
            if lease.is_ok() && opened.is_ok() || begun.elapsed() > LOCKED {
                return (lease, opened);
            }
            drop((lease, opened));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Time passes, then the scaler looks, decides and acts. `false` if it was killed.
    async fn step(&mut self, life: &Life) -> bool {
        self.now
            .fetch_add(i64::try_from(STEP.as_millis()).unwrap_or(0), Relaxed);
        let servers = self.ground.servers().await;
        self.gitlab.pass(&servers);
        let tick = async {
            let _ = life.controller.tick().await;
            life.controller.settled().await;
        };
        tokio::select! {
            biased;
            () = life.fuse.blown() => {}
            () = tick => {}
        }
        self.look(life).await;
        !life.fuse.is_blown()
    }

    /// What must hold at every moment.
    async fn look(&mut self, life: &Life) {
        let servers = self.ground.servers().await;
        for (id, labels) in self.foreign.clone() {
            let there = servers.iter().find(|server| server.id == id);
            let whole = there.is_some_and(|s| s.labels == labels && s.phase != Phase::Deleting);
            if !whole {
                self.violation(format!("the foreign server {id} was touched"));
            }
        }
        let ledger = life.controller.desk().ledger();
        let intents = ledger
            .servers
            .values()
            .filter(|server| !server.state.is_going());
        let twins = |name: &str| name.contains(muster_scaler_core::Server::TWIN);
        let counted = intents.filter(|server| !twins(&server.name.0)).count();
        if counted > MOST as usize {
            self.violation(format!(
                "{counted} servers are wanted or there, more than {MOST}"
            ));
        }
        let (killed, _) = self.gitlab.ended();
        if killed > 0 && self.outcome.violations.is_empty() {
            self.violation(format!("{killed} jobs were killed"));
        }
    }

    /// One reconcile in peace: until a complete listing was seen and acted upon. Afterwards nothing
    /// of ours is unknown.
    async fn reconcile(&mut self, group: &Group) {
        self.ground.calm();
        self.gitlab.set_calm(true);
        let life = self.begin(group, false).await;
        // What is late to be seen is seen then; a sweep comes every minute.
        for _ in 0..10 {
            self.step(&life).await;
        }
        // A runner object whose making was not answered goes with a sweep to come.
        for _ in 0..SWEEPS {
            if self.lost_runners(&life).is_empty() {
                break;
            }
            self.step(&life).await;
        }
        self.find_orphans(&life).await;
        self.gitlab.set_calm(false);
        life.end().await;
    }

    /// Runner objects that belong to no server of the ledger.
    fn lost_runners(&self, life: &Life) -> Vec<OwnedRunner> {
        let ledger = life.controller.desk().ledger();
        let is_known = |object: &OwnedRunner| {
            let mut servers = ledger.servers.values();
            servers.any(|server| server.runner == Some(object.id))
        };
        let mut objects = self.gitlab.objects();
        objects.retain(|object| !is_known(object));
        objects
    }

    async fn find_orphans(&mut self, life: &Life) {
        let ledger = life.controller.desk().ledger();
        let known = |found: &ListedServer| {
            let mut servers = ledger.servers.values();
            let name = found.label(label::NAME);
            servers.any(|server| match &server.provider_id {
                Some(id) => *id == found.id,
                None => name == Some(&server.name.0),
            })
        };
        for server in self.ground.servers().await {
            let ours = server.belongs_to(OWNER) && server.phase != Phase::Deleting;
            if ours && !known(&server) {
                self.violation(format!("nobody knows the server {server:?}"));
            }
        }
        for object in self.lost_runners(life) {
            self.violation(format!("nobody knows the runner {object:?}"));
        }
    }

    /// The load is gone and nothing goes wrong: everything of ours goes.
    async fn wind_down(&mut self, group: &Group) {
        self.ground.calm();
        self.gitlab.set_calm(true);
        self.gitlab.clear();
        let life = self.begin(group, false).await;
        for _ in 0..120 {
            self.step(&life).await;
            if life.controller.desk().ledger().servers.is_empty() {
                break;
            }
        }
        // One more listing and sweep.
        for _ in 0..10 {
            self.step(&life).await;
        }
        let servers = self.ground.servers().await;
        let left = servers.iter().filter(|server| server.belongs_to(OWNER));
        for server in left.collect::<Vec<_>>() {
            self.violation(format!("left behind: {server:?}"));
        }
        for object in self.gitlab.objects() {
            self.violation(format!("left behind: {object:?}"));
        }
        for server in life.controller.desk().ledger().servers.values() {
            self.violation(format!("still in the ledger: {server:?}"));
        }
        let status = life.controller.status().borrow().clone();
        for (id, listing) in status.decision.iter().flat_map(|_| &status.providers) {
            if listing.error.is_some() {
                self.violation(format!("{id} does not list: {listing:?}"));
            }
        }
        life.end().await;
    }
}
