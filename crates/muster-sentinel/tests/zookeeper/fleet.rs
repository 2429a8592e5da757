//! A fleet that is checked and published, and when each check began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use muster_net::TlsClientOptions;
use muster_options::Secret;
use muster_plugin::Kind;
use muster_plugin::compliance::{Plugin, Running, Stage};
use muster_sentinel::resolve::Resolver;
use muster_sentinel::testing::{Behaviour, FakeRedis};
use muster_sentinel::{
    Answer, Board, CheckKind, Checker, Depth, Dialer, Health, Instance, Outcome, PLUGINS, Probe,
    RedisOptions, RedisProbe, Slot, Status, Target, Thresholds, Timing, Verdict,
};
use muster_tasks::Group;
use muster_testkit::{Stall, Stalls};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::reader::Reader;

/// How long to wait for an effect.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Servers that are checked by themselves, and the addresses under which each is.
const FAKES: usize = 6;
const ADDRESSES: u8 = 10;

/// Checks of a fleet, with a publisher.
pub(crate) struct Fleet {
    stage: Stage,
    pub(crate) running: Running,
    checks: Group,
    pub(crate) board: Arc<Board>,
    pub(crate) fakes: Vec<FakeRedis>,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) health: Arc<Health>,
    timing: Timing,
    probes: Arc<Vec<Noted>>,
    stalls: Stalls,
}

/// Of one instance's probe.
#[derive(Default)]
struct Noted {
    /// When each check began.
    begun: Mutex<Vec<i64>>,
    /// The next one panics.
    panics: AtomicBool,
}

/// A probe that notes when it is asked, and panics on request.
struct Timed {
    probe: RedisProbe,
    number: usize,
    probes: Arc<Vec<Noted>>,
}

#[async_trait]
impl Probe for Timed {
    async fn check(&mut self, deadline: Instant) -> Answer {
        let noted = &self.probes[self.number];
        noted.begun.lock().push(Stalls::now());
        if noted.panics.swap(false, Relaxed) {
            panic!("a fault on request: a check");
        }
        self.probe.check(deadline).await
    }

    fn overdue(&self) -> Outcome {
        self.probe.overdue()
    }
}

impl Fleet {
    /// Checks 60 instances and publishes to these servers below this root.
    pub(crate) async fn start(
        servers: &[String],
        root: &str,
        interval: Duration,
        more: &str,
    ) -> Self {
        let stage = Stage::new(Kind::Input);
        let cx = stage.start_context();
        let board = cx.resources().shared::<Board>();
        let checks = Group::root("checks");
        let mut fakes = Vec::new();
        for _ in 0..FAKES {
            fakes.push(FakeRedis::on(&checks, "0.0.0.0:0").await);
        }
        let count = FAKES * usize::from(ADDRESSES);
        let mut fleet = Self {
            running: publisher_on(&stage, servers, root, more).await,
            stage,
            checks,
            board,
            fakes,
            slots: Vec::new(),
            health: Arc::default(),
            timing: Timing {
                interval,
                timeout: interval / 2,
            },
            probes: Arc::new((0..count).map(|_| Noted::default()).collect()),
            stalls: Stalls::watch(),
        };
        fleet.check_all();
        fleet
    }

    fn check_all(&mut self) {
        let dialer =
            Dialer::new(Resolver::new(&self.checks), &TlsClientOptions::default()).unwrap();
        let options = Arc::new(RedisOptions {
            username: String::new(),
            password: Secret::default(),
            depth: Depth::Info,
            reconnect_every: 3,
            dialer,
        });
        let thresholds = Arc::new(Thresholds {
            interval: self.timing.interval,
            down_after: self.timing.interval * 3,
            ..Thresholds::default()
        });
        let targets = self.fakes.iter().flat_map(|fake| {
            (0..ADDRESSES).map(|address| Target::Tcp {
                host: format!("127.0.1.{address}"),
                port: fake.port(),
            })
        });
        for (number, target) in targets.collect::<Vec<_>>().into_iter().enumerate() {
            let instance = Instance {
                kind: CheckKind::Redis,
                cluster: "fleet".to_owned(),
                target: target.clone(),
            };
            let slot = self.board.open(instance, Arc::clone(&thresholds)).unwrap();
            let (options, probes) = (Arc::clone(&options), Arc::clone(&self.probes));
            let make = move || -> Box<dyn Probe> {
                let probe = RedisProbe::new(target.clone(), Arc::clone(&options));
                let probes = Arc::clone(&probes);
                Box::new(Timed {
                    probe,
                    number,
                    probes,
                })
            };
            let checker = Checker {
                board: (*self.board).clone(),
                slot: Arc::clone(&slot),
                timing: self.timing,
                health: Arc::clone(&self.health),
                make: Arc::new(make),
            };
            self.checks.go_cx("check", |cx| checker.run(cx)).unwrap();
            self.slots.push(slot);
        }
    }

    /// The instances of one of the servers.
    pub(crate) fn of(&self, fake: usize) -> &[Arc<Slot>] {
        let each = usize::from(ADDRESSES);
        &self.slots[fake * each..(fake + 1) * each]
    }

    /// Has a server behave like this, and waits until all its instances are as told.
    pub(crate) async fn set(
        &self,
        fake: usize,
        behaviour: Behaviour,
        is: impl Fn(&Status) -> bool,
    ) {
        self.fakes[fake].set(behaviour);
        let all = async {
            while !self.of(fake).iter().all(|slot| is(&slot.status())) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            panic!(
                "{behaviour:?} is not noticed: {:#?}",
                self.of(fake)[0].status()
            );
        }
    }

    /// Has the check of an instance panic as soon as one that was ordered before has happened.
    pub(crate) async fn break_check(&self, number: usize) {
        while self.probes[number].panics.swap(true, Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until ZooKeeper says what the board says.
    pub(crate) async fn until_right(&self, reader: &Reader, what: &str) {
        if tokio::time::timeout(PATIENCE, reader.until_right(&self.slots))
            .await
            .is_err()
        {
            let reports = self.running.take_reports();
            panic!("{what}: {:?} {reports:?}", reader.wrong(&self.slots).await);
        }
    }

    /// For how long the machine stood still since then.
    pub(crate) fn stood_still(&self, since: i64) -> Duration {
        let stalls = self.stalls.so_far();
        let since = |stall: &&Stall| stall.touches(since, i64::MAX);
        stalls.iter().filter(since).map(Stall::length).sum()
    }

    /// Ends it. Between two checks of an instance no more time than this may have passed, but for times in which the
    /// machine stood still.
    pub(crate) async fn end(self, most: Duration) {
        let stopped = self.running.stop().await;
        let report = self.checks.stop().await;
        let stalls = self.stalls.end();
        let most = i64::try_from(most.as_nanos()).unwrap();
        let mut longest = 0;
        for (slot, noted) in self.slots.iter().zip(self.probes.iter()) {
            for pair in noted.begun.lock().windows(2) {
                longest = longest.max(pair[1] - pair[0]);
                let stood_still = stalls.iter().any(|stall| stall.touches(pair[0], pair[1]));
                assert!(
                    pair[1] - pair[0] <= most || stood_still,
                    "{} was not checked for {:?}; the machine stood still: {stalls:?}",
                    slot.id(),
                    Duration::from_nanos((pair[1] - pair[0]).unsigned_abs()),
                );
            }
        }
        let late = self.health.take_lateness();
        println!(
            "late: p50 {:?}, p99 {:?}, max {:?}; between two checks at most {:?}",
            late.quantile(0.5),
            late.quantile(0.99),
            late.max(),
            Duration::from_nanos(u64::try_from(longest).unwrap_or_default()),
        );
        stopped.expect("the publisher ends in time").1.unwrap();
        assert!(report.is_clean(), "{report}");
        drop(self.slots);
        assert!(self.stage.end().await.is_clean());
    }
}

/// A publisher on this stage.
pub(crate) async fn publisher_on(
    stage: &Stage,
    servers: &[String],
    root: &str,
    more: &str,
) -> Running {
    let options = format!("servers = {servers:?}\nroot = '/{root}'\n{more}");
    let row = PLUGINS.iter().find(|row| row.name == "zookeeper").unwrap();
    let built = Stage::build(row, &toml::from_str(&options).unwrap()).unwrap();
    let Plugin::Service(mut service) = built else {
        panic!("not a service");
    };
    service.start(&stage.start_context()).await.unwrap();
    stage.run(service).unwrap()
}

pub(crate) fn is_down(status: &Status) -> bool {
    status.verdict == Verdict::Down
}

pub(crate) fn is_degraded(status: &Status) -> bool {
    status.verdict == Verdict::Degraded
}

pub(crate) fn is_up(status: &Status) -> bool {
    status.verdict == Verdict::Up && status.fails == 0
}
