use std::fs;
use std::time::Duration;

use muster_plugin::compliance::{Running, Stage};
use muster_plugin::{ComponentId, Kind, PluginError, StartContext};
use muster_sentinel::{Board, State};
use muster_tasks::Group;
use muster_testkit::{Redis, RedisSentinel, free_ports};

use crate::component::build;

/// How the servers are found, and at what pace.
fn options(more: &str) -> String {
    format!("interval = '100ms'\ntimeout = '100ms'\ndiscover_interval = '100ms'\n{more}")
}

struct World {
    stage: Stage,
    cx: StartContext,
    running: Running,
}

impl World {
    async fn start(more: &str) -> Self {
        let stage = Stage::new(Kind::Input);
        let cx = stage.start_context();
        Self::on(stage, cx, more).await
    }

    async fn on(stage: Stage, cx: StartContext, more: &str) -> Self {
        let mut check = build(&options(more));
        check.start(&cx).await.unwrap();
        let running = stage.run(check).unwrap();
        Self { stage, cx, running }
    }

    /// Waits until the board is as told.
    async fn until(&self, is: impl Fn(&Board) -> bool) {
        let board = self.cx.resources().shared::<Board>();
        let in_time = self
            .running
            .wait_until(Duration::from_secs(30), |_| is(&board))
            .await;
        let reports = self.running.take_reports();
        assert!(in_time, "{:?} {reports:?}", board.slots());
    }

    /// Waits until something with these words was reported.
    async fn told(&self, words: &str) {
        let told = |running: &Running| {
            let reports = running.take_reports();
            let mut reports = reports.iter().map(ToString::to_string);
            reports.any(|report| report.contains(words))
        };
        let in_time = self.running.wait_until(Duration::from_secs(30), told).await;
        assert!(in_time, "it does not say: {words}");
    }

    async fn end(self) {
        self.running.stop().await.unwrap().1.unwrap();
        assert!(self.stage.end().await.is_clean());
    }
}

fn is_up(board: &Board, redis: &Redis) -> bool {
    is(State::Up)(board, redis)
}

fn is(state: State) -> impl Fn(&Board, &Redis) -> bool {
    move |board, redis| {
        let slot = board.get(&format!("redis:{}", redis.address()));
        slot.is_some_and(|slot| slot.status().state == state)
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_a_file_come_and_go_and_others_are_not_touched(_root: Group) {
    let (stays, goes, comes) = (Redis::start(), Redis::start(), Redis::start());
    let folder = tempfile::tempdir().unwrap();
    let write = |servers: [&Redis; 2]| {
        let lines = servers.map(Redis::address).join("\n");
        let beside = folder.path().join("next");
        fs::write(&beside, lines).unwrap();
        fs::rename(beside, folder.path().join("one.list")).unwrap();
    };
    write([&stays, &goes]);
    let pattern = format!("discover = '{}/*.list'", folder.path().display());
    let world = World::start(&pattern).await;
    world
        .until(|board| board.len() == 2 && is_up(board, &stays) && is_up(board, &goes))
        .await;
    let board = world.cx.resources().shared::<Board>();
    let since = board
        .get(&format!("redis:{}", stays.address()))
        .unwrap()
        .status()
        .since;
    write([&stays, &comes]);
    world
        .until(|board| board.len() == 2 && is_up(board, &comes))
        .await;
    assert!(board.get(&format!("redis:{}", goes.address())).is_none());
    let after = board
        .get(&format!("redis:{}", stays.address()))
        .unwrap()
        .status();
    assert_eq!(after.since, since);
    // A look that fails changes nothing.
    fs::write(folder.path().join("two.list"), "no:port").unwrap();
    world.told("two.list:1").await;
    assert_eq!(board.len(), 2);
    world.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_this_host(_root: Group) {
    let redis = Redis::start();
    let world = World::start("discover = 'processes'").await;
    world.until(|board| is_up(board, &redis)).await;
    world.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_keeps_what_was_found_until_a_look_succeeds(_root: Group) {
    let (stays, goes) = (Redis::start(), Redis::start());
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("one.list");
    fs::write(&list, format!("{}\n{}", stays.address(), goes.address())).unwrap();
    let pattern = format!("discover = '{}/*.list'", folder.path().display());
    let mut world = World::start(&pattern).await;
    world
        .until(|board| board.len() == 2 && is_up(board, &stays) && is_up(board, &goes))
        .await;
    let wrong = folder.path().join("two.list");
    fs::write(&wrong, "no:port").unwrap();
    world.told("two.list:1").await;
    let board = world.cx.resources().shared::<Board>();
    let known = || board.get(&format!("redis:{}", stays.address())).unwrap();
    let (before, transitions) = (known().status(), known().transitions());

    // Made while the present one runs; takes over when that has ended.
    let mut next = build(&options(&format!("{pattern}\nrise = 5")));
    next.start(&world.stage.start_context()).await.unwrap();
    drop(world.running.stop().await.unwrap());
    world.running = world.stage.run(next).unwrap();
    world.told("two.list:1").await;
    world.until(|_| known().status().seq > before.seq + 1).await;
    assert_eq!(board.len(), 2);
    let after = known();
    assert_eq!(after.status().since, before.since);
    assert!(after.transitions().starts_with(&transitions));
    drop(after);
    fs::remove_file(&wrong).unwrap();
    fs::write(&list, stays.address()).unwrap();
    world
        .until(|board| board.len() == 1 && is_up(board, &stays))
        .await;
    drop(board);
    world.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_another_component_checks_is_taken_when_it_is_free(_root: Group) {
    let (free, held) = (Redis::start(), Redis::start());
    let folder = tempfile::tempdir().unwrap();
    let servers = format!("{}\n{}", free.address(), held.address());
    fs::write(folder.path().join("one.list"), servers).unwrap();
    let stage = Stage::new(Kind::Input);
    let cx = stage.start_context();
    let other = ComponentId::new(Kind::Input, "other");
    let name = format!("check redis:{}", held.address());
    let resources = cx.resources();
    let taken = resources.take::<(), PluginError>(&other, &name, || Ok(()));
    let pattern = format!("discover = '{}/*.list'", folder.path().display());
    let world = World::on(stage, cx, &pattern).await;
    world.told("is already used by inputs/other").await;
    world.until(|board| is_up(board, &free)).await;
    drop(taken);
    world.until(|board| is_up(board, &held)).await;
    world.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_this_host_that_dies_is_not_forgotten(_root: Group) {
    let mut dies = Redis::start();
    let world = World::start("discover = 'processes'\ndown_after = '300ms'").await;
    world.until(|board| is_up(board, &dies)).await;
    dies.kill();
    world.until(|board| is(State::Down)(board, &dies)).await;
    // What starts later is found by looks that do not find the dead one.
    let later = [Redis::start(), Redis::start()];
    for found in &later {
        world.until(|board| is_up(board, found)).await;
    }
    let board = world.cx.resources().shared::<Board>();
    assert!(is(State::Down)(&board, &dies));
    drop(board);
    dies.restart(&[]);
    world.until(|board| is_up(board, &dies)).await;
    world.end().await;
}

/// A node of a cluster, which as yet knows only itself, and the port of its bus.
fn node() -> (Redis, u16) {
    // By default the bus is 10,000 above, where there may be no port.
    let [bus] = free_ports();
    let words = ["--cluster-enabled", "yes", "--cluster-port"];
    let bus_port = bus.to_string();
    let words = [words.as_slice(), &[bus_port.as_str()]].concat();
    (Redis::with(&words), bus)
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_cluster(_root: Group) {
    let (first, _) = node();
    let others = [node(), node()];
    // The first to be asked does not answer; the next one does.
    let more = format!(
        "servers = ['127.0.0.1:1', '{}']\ndiscover = 'cluster'",
        first.address()
    );
    let world = World::start(&more).await;
    world
        .until(|board| board.len() == 1 && is_up(board, &first))
        .await;
    for (other, bus) in &others {
        let (port, bus) = (other.port.to_string(), bus.to_string());
        let met = first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        assert_eq!(met, "+OK");
    }
    let all = |board: &Board| others.iter().all(|(other, _)| is_up(board, other));
    world
        .until(|board| board.len() == 3 && is_up(board, &first) && all(board))
        .await;
    world.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sentinel_watches(_root: Group) {
    let master = Redis::with(&["--repl-diskless-sync-delay", "0"]);
    let port = master.port.to_string();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]);
    let sentinel = RedisSentinel::watching("shop", &master);
    let more = format!(
        "servers = ['127.0.0.1:{}']\ndiscover = 'sentinel'",
        sentinel.port
    );
    let world = World::start(&more).await;
    // A Sentinel hears of replicas with its next INFO, every ten seconds.
    let both = |board: &Board| is_up(board, &master) && is_up(board, &replica);
    world.until(|board| board.len() == 2 && both(board)).await;
    let board = world.cx.resources().shared::<Board>();
    assert!(
        board
            .slots()
            .iter()
            .all(|slot| slot.instance().cluster == "shop")
    );
    drop(board);
    world.end().await;
}
