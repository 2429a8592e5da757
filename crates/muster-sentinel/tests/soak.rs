//! Checks and the publisher to ZooKeeper for a long time, while all around them fails: at the end they take what they
//! took at the beginning. Alone in its process, because it counts the process's threads, files and memory.
//!
//! Time is made shorter: instances are checked twenty times as often as by default, and what else happens in a day
//! happens in a minute.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use muster_metric::{Timestamp, Value};
use muster_plugin::Kind;
use muster_plugin::compliance::{Plugin, Running, Stage};
use muster_sentinel::testing::{Behaviour, FakeRedis};
use muster_sentinel::{Board, FleetWatch, PLUGINS, Reason, Verdict};
use muster_tasks::Group;
use muster_testkit::{Usage, ZooKeeper, usage_of_this_process};
use muster_zookeeper::{Options, Session};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long it lasts, in seconds; `MUSTER_SOAK` says another number. An hour is 3600.
fn length() -> Duration {
    let asked = std::env::var("MUSTER_SOAK").ok();
    Duration::from_secs(asked.and_then(|n| n.parse().ok()).unwrap_or(80))
}

/// Servers, and the addresses under which each is checked.
const FAKES: usize = 10;
const ADDRESSES: u8 = 20;
const INSTANCES: usize = FAKES * ADDRESSES as usize;

/// How long to wait for an effect.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long each kind of trouble lasts, and the quiet after it.
const TROUBLE: Duration = Duration::from_secs(3);

/// What grows to its bound meanwhile: the last 100 transitions of each instance, what the allocator keeps.
const BOUNDED: u64 = 10 << 20;

/// All that is taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// The sentinel's tasks.
    tasks: usize,
    process: Usage,
}

/// The checks, the publisher, and the world that they see.
struct World {
    stage: Stage,
    board: Arc<Board>,
    services: [Running; 2],
    /// What is not the sentinel's: servers, and a reader of what it writes.
    outside: Group,
    fakes: Vec<FakeRedis>,
    server: ZooKeeper,
    session: Session,
    watch: FleetWatch,
    lists: TempDir,
    random: Rng,
    checks: i64,
}

async fn run(stage: &Stage, plugin: &str, options: &str) -> Running {
    let row = PLUGINS.iter().find(|row| row.name == plugin).unwrap();
    let Plugin::Service(mut service) =
        Stage::build(row, &toml::from_str(options).unwrap()).unwrap()
    else {
        panic!("not a service");
    };
    service.start(&stage.start_context()).await.unwrap();
    stage.run(service).unwrap()
}

impl World {
    async fn start() -> Self {
        let (stage, outside) = (Stage::new(Kind::Input), Group::root("outside"));
        let (server, lists) = (ZooKeeper::start(), tempfile::tempdir().unwrap());
        let mut fakes = Vec::new();
        for _ in 0..FAKES {
            fakes.push(FakeRedis::on(&outside, "0.0.0.0:0").await);
        }
        let checks = format!(
            "cluster = 'soak'\ndiscover = '{}/*.list'\ndiscover_interval = '100ms'\n\
             interval = '50ms'\ntimeout = '50ms'\ndown_after = '150ms'",
            lists.path().display()
        );
        let publisher = format!(
            "servers = ['{}']\nroot = '/soak'\nsession_timeout = '4s'\nrefresh = '1s'",
            server.address()
        );
        let services = [
            run(&stage, "redis", &checks).await,
            run(&stage, "zookeeper", &publisher).await,
        ];
        let place = format!("{}/soak", server.address()).parse().unwrap();
        let session = Session::start(&outside, Options::new(place)).unwrap();
        let seed = Timestamp::now().nanos() as u64;
        println!("seed {seed}");
        Self {
            board: stage.start_context().resources().shared(),
            watch: FleetWatch::new(session.clone()).unwrap(),
            random: Rng::with_seed(seed),
            checks: 0,
            stage,
            services,
            outside,
            fakes,
            server,
            session,
            lists,
        }
    }

    /// Has these instances be checked.
    fn list(&self, is_in: impl Fn(usize) -> bool) {
        let all = self.fakes.iter().flat_map(|fake| {
            (0..ADDRESSES).map(|address| format!("127.0.1.{address}:{}\n", fake.port()))
        });
        let lines = all.enumerate().filter(|(number, _)| is_in(*number));
        let text: String = lines.map(|(_, line)| line).collect();
        let beside = self.lists.path().join("next");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.lists.path().join("all.list")).unwrap();
    }

    /// Servers fail and recover, instances come and go.
    async fn trouble(&mut self, length: Duration) {
        let until = Instant::now() + length;
        while Instant::now() < until {
            let fake = self.random.usize(..FAKES);
            let behaviour = self.random.choice([
                Behaviour::Healthy,
                Behaviour::OldConnectionsDead,
                Behaviour::Silent,
                Behaviour::Closes,
                Behaviour::Says(b"-BUSY script\r\n"),
                Behaviour::Says(b"-LOADING data\r\n"),
                Behaviour::Says(b"HTTP/1.1 400 Bad Request\r\n"),
                Behaviour::ByteByByte,
            ]);
            self.fakes[fake].set(behaviour.unwrap());
            if self.random.u8(..10) == 0 {
                let (first, gap) = (self.random.usize(..INSTANCES), self.random.usize(..20));
                self.list(|number| !(first..first + gap).contains(&number));
            }
            self.drain();
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Takes the metrics and reports so far, as outputs and logs do.
    fn drain(&mut self) {
        for service in &self.services {
            service.take_reports();
            for batch in service.take() {
                for metric in batch.iter() {
                    if let Some(Value::Int(checks)) = metric.field("checks_total") {
                        self.checks = checks;
                    }
                }
            }
        }
    }

    /// Heals everything, and waits until that is noticed: on the board and in ZooKeeper. Returns what is taken then.
    async fn rest(&mut self) -> Taken {
        for fake in &self.fakes {
            fake.set(Behaviour::Healthy);
        }
        self.list(|_| true);
        let since = Timestamp::now();
        let noticed = async {
            let mut up = BTreeSet::new();
            while up.len() < INSTANCES {
                for slot in self.board.slots() {
                    let status = slot.status();
                    let is_fresh = status.checked.is_some_and(|checked| checked > since);
                    if is_fresh && (status.verdict, status.reason) == (Verdict::Up, Reason::Ok) {
                        up.insert(Arc::clone(slot.id()));
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
            let since = Timestamp::now().nanos() / 1_000_000;
            let mut written = BTreeSet::new();
            while written.len() < INSTANCES {
                let fleet = self.watch.next().await.unwrap().unwrap();
                let good = fleet.members.iter().filter(|(_, member)| {
                    let document = &member.document;
                    document.checked_ms >= since && document.reason == Reason::Ok
                });
                written.extend(good.map(|(path, _)| path.clone()));
            }
        };
        let noticed = timeout(PATIENCE, noticed).await;
        let (state, stats) = (self.session.state(), self.session.stats());
        let state = state.borrow().word();
        noticed.unwrap_or_else(|_| panic!("not all is well again; a reader is {state}: {stats:?}"));
        self.drain();
        let taken = self.taken();
        println!("{} checks: {taken:?}", self.checks);
        taken
    }

    /// Has nothing be checked any more. Returns what is taken then: no connection is open that comes and goes.
    async fn empty(&mut self) -> Taken {
        self.list(|_| false);
        let mut last = self.taken();
        let mut same = 0;
        while !self.board.is_empty() || same < 20 {
            sleep(Duration::from_millis(20)).await;
            self.drain();
            let now = self.taken();
            let is_same = (now.tasks, now.process.files, now.process.threads)
                == (last.tasks, last.process.files, last.process.threads);
            same = if is_same { same + 1 } else { 0 };
            last = now;
        }
        println!("nothing is checked: {last:?}");
        last
    }

    fn taken(&self) -> Taken {
        Taken {
            tasks: self.stage.root().count(),
            process: usage_of_this_process(),
        }
    }

    /// One outage of ZooKeeper, while servers fail.
    async fn outage(&mut self, number: usize) {
        match number % 3 {
            0 => {
                self.server.hold();
                self.trouble(TROUBLE).await;
                self.server.go_on();
            }
            1 => {
                self.server.kill();
                self.trouble(TROUBLE).await;
                self.server.start_again();
            }
            _ => {
                let publisher = self.board.faults().session().unwrap();
                publisher.expire(&self.outside).await.unwrap();
                self.trouble(TROUBLE).await;
            }
        }
        self.trouble(TROUBLE).await;
    }

    async fn end(self) {
        for service in self.services {
            service.stop().await.unwrap().1.unwrap();
        }
        assert!(self.stage.end().await.is_clean());
        drop((self.watch, self.board));
        self.session.stop().await;
        assert!(self.outside.stop().await.is_clean());
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_all_is_as_at_the_beginning(_root: Group) {
    let mut world = World::start().await;
    let begun = Instant::now();
    world.rest().await;
    // Each kind of trouble twice fills what is kept for good: the reactor's thread, the allocator's arenas.
    for number in 0..6 {
        world.outage(number).await;
    }
    let (memory, first) = (world.rest().await.process.resident, world.empty().await);
    let mut last = world.rest().await;
    for number in 0.. {
        if begun.elapsed() >= length() && number >= 3 {
            break;
        }
        world.outage(number).await;
        last = world.rest().await;
    }
    let resident = last.process.resident;
    assert!(resident <= memory + BOUNDED, "{memory} -> {resident} bytes");
    let mut last = world.empty().await;
    // The last thread may still be on its way out.
    let as_before = async {
        while last.tasks > first.tasks
            || last.process.threads > first.process.threads
            || last.process.files > first.process.files
        {
            sleep(Duration::from_millis(20)).await;
            world.drain();
            last = world.taken();
        }
    };
    if timeout(PATIENCE, as_before).await.is_err() {
        panic!(
            "{first:?} -> {last:?}: {}",
            world.stage.root().render_tree()
        );
    }
    world.end().await;
}
