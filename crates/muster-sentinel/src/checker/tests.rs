use std::sync::atomic::{AtomicU64, AtomicUsize};

use async_trait::async_trait;
use muster_tasks::{Group, TaskHandle};
use tokio::time::{Instant, sleep};

use super::*;
use crate::machine::Thresholds;
use crate::status::{CheckKind, Instance, State, Target};

/// What a probe does with its check of that number, from 0.
type Script = Arc<dyn Fn(u64) -> Act + Send + Sync>;

enum Act {
    Answer(Reason),
    /// Answers after so long.
    Slow(Duration),
    Panic,
}

struct Scripted {
    script: Script,
    number: Arc<AtomicU64>,
    live: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// Counts a check while its future lives.
struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[async_trait]
impl Probe for Scripted {
    async fn check(&mut self, _: Instant) -> Answer {
        let live = self.live.fetch_add(1, Relaxed) + 1;
        let _live = Live(Arc::clone(&self.live));
        self.most.fetch_max(live, Relaxed);
        match (self.script)(self.number.fetch_add(1, Relaxed)) {
            Act::Answer(reason) => Outcome::new(reason, "").into(),
            Act::Slow(time) => {
                sleep(time).await;
                Outcome::OK.into()
            }
            Act::Panic => panic!("as told"),
        }
    }

    fn overdue(&self) -> Outcome {
        Outcome::new(Reason::Hung, "")
    }
}

struct World {
    slot: Arc<Slot>,
    board: Board,
    health: Arc<Health>,
    number: Arc<AtomicU64>,
    most: Arc<AtomicUsize>,
    task: TaskHandle<()>,
}

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// A check every second that may take half of one.
    fn new(group: &Group, script: impl Fn(u64) -> Act + Send + Sync + 'static) -> Self {
        let board = Board::default();
        let instance = Instance {
            kind: CheckKind::Redis,
            cluster: String::new(),
            target: Target::Named("told".to_owned()),
        };
        let slot = board
            .open(instance, Arc::new(Thresholds::default()))
            .unwrap();
        let health = Arc::new(Health::default());
        let (number, live, most) =
            <(Arc<AtomicU64>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (script, count, peak): (Script, _, _) =
            (Arc::new(script), Arc::clone(&number), Arc::clone(&most));
        let checker = Checker {
            board: board.clone(),
            slot: Arc::clone(&slot),
            timing: Timing {
                interval: SECOND,
                timeout: SECOND / 2,
            },
            health: Arc::clone(&health),
            make: Arc::new(move || -> Box<dyn Probe> {
                Box::new(Scripted {
                    script: Arc::clone(&script),
                    number: Arc::clone(&count),
                    live: Arc::clone(&live),
                    most: Arc::clone(&peak),
                })
            }),
        };
        let task = group.spawn_cx("check", |cx| checker.run(cx)).unwrap();
        Self {
            slot,
            board,
            health,
            number,
            most,
            task,
        }
    }

    fn state(&self) -> (State, Reason) {
        let status = self.slot.status();
        (status.state, status.reason)
    }

    async fn end(self) {
        self.task.cancel();
        let _ = self.task.join().await;
    }
}

#[muster_tasks::test(start_paused = true)]
async fn checks_at_each_tick_and_is_never_late(group: Group) {
    let world = World::new(&group, |_| Act::Answer(Reason::Ok));
    sleep(SECOND * 100).await;
    assert_eq!(world.number.load(Relaxed), 100);
    assert_eq!(world.state(), (State::Up, Reason::Ok));
    assert_eq!(world.health.overruns.load(Relaxed), 0);
    // tokio's timers are as fine as a millisecond.
    let most = world.health.take_lateness().max();
    assert!(most <= Duration::from_millis(2), "{most:?}");
    world.end().await;
}

#[muster_tasks::test(start_paused = true)]
async fn a_check_that_takes_too_long_is_dropped_and_counts_as_failed(group: Group) {
    let world = World::new(&group, |number| match number {
        0..3 => Act::Answer(Reason::Ok),
        3..10 => Act::Slow(SECOND * 3600),
        _ => Act::Slow(SECOND / 4),
    });
    sleep(SECOND * 9).await;
    assert_eq!(world.state(), (State::Down, Reason::Hung));
    sleep(SECOND * 20).await;
    assert_eq!(world.state(), (State::Up, Reason::Ok));
    assert_eq!(world.number.load(Relaxed), 29);
    assert_eq!(world.most.load(Relaxed), 1, "checks have overlapped");
    world.end().await;
}

#[muster_tasks::test(start_paused = true)]
async fn panics_are_counted_and_healed(group: Group) {
    let world = World::new(&group, |number| match number % 3 {
        0 => Act::Answer(Reason::Ok),
        _ => Act::Panic,
    });
    let news = world.board.subscribe(crate::board::Interest::EveryCheck);
    let mut last = world.board.clock().now().steady;
    while world.health.panics.load(Relaxed) < 1000 {
        news.changed().await;
        let now = world.board.clock().now().steady;
        assert!(now - last <= SECOND * 3, "not checked for {:?}", now - last);
        last = now;
    }
    assert!(world.slot.status().seq >= 1500);
    assert_ne!(world.state().0, State::Down);
    assert!(!world.task.is_finished());
    world.end().await;
}

#[muster_tasks::test(start_paused = true)]
async fn a_probe_that_always_panics_is_tried_every_other_tick(group: Group) {
    let world = World::new(&group, |_| Act::Panic);
    sleep(SECOND * 3600).await;
    assert_eq!(world.state(), (State::Unknown, Reason::Panic));
    let tries = world.number.load(Relaxed);
    assert!((1800..1810).contains(&tries), "{tries}");
    world.end().await;
}

#[muster_tasks::test(start_paused = true)]
async fn our_own_stand_still_changes_nothing(group: Group) {
    let world = World::new(&group, |number| match number {
        0..5 => Act::Answer(Reason::Ok),
        5..10 => Act::Answer(Reason::Hung),
        _ => Act::Answer(Reason::Ok),
    });
    sleep(SECOND * 5).await;
    assert_eq!(world.state(), (State::Up, Reason::Ok));
    tokio::time::advance(SECOND * 60).await;
    sleep(SECOND * 4).await;
    let status = world.slot.status();
    assert!(
        status.tilt && world.state() == (State::Up, Reason::Ok),
        "{status:?}"
    );
    assert_eq!(world.health.tilts.load(Relaxed), 1);
    assert!(world.health.overruns.load(Relaxed) >= 55);
    sleep(SECOND * 10).await;
    assert!(!world.slot.status().tilt);
    assert_eq!(world.state(), (State::Up, Reason::Ok));
    world.end().await;
}

#[muster_tasks::test(start_paused = true)]
async fn a_cancel_ends_a_check_that_runs(group: Group) {
    let world = World::new(&group, |_| Act::Slow(SECOND * 3600));
    while world.number.load(Relaxed) == 0 {
        sleep(SECOND / 10).await;
    }
    world.end().await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn a_check_stands_still_only_when_nothing_comes_of_it(group: Group) {
    let world = World::new(&group, |number| match number % 3 {
        0 => Act::Answer(Reason::Refused),
        1 => Act::Slow(SECOND * 3600),
        _ => Act::Panic,
    });
    // The first tick of a check, a panic and its pause: nothing of it is a stand-still.
    for _ in 0..1000 {
        sleep(SECOND / 10).await;
        assert!(world.board.standing_still().is_empty());
    }
    // The clock goes on, and the task does not.
    tokio::time::advance(SECOND * 10).await;
    assert_eq!(world.board.standing_still(), [Arc::clone(world.slot.id())]);
    sleep(SECOND * 2).await;
    assert!(world.board.standing_still().is_empty());
    let (board, _slot) = (world.board.clone(), Arc::clone(&world.slot));
    world.end().await;
    tokio::time::advance(SECOND * 100).await;
    assert!(board.standing_still().is_empty(), "nobody checks it");
}

#[muster_tasks::test(start_paused = true)]
async fn a_fault_of_our_own_is_never_the_instances(group: Group) {
    let world = World::new(&group, |number| match number {
        5..75 => Act::Answer(Reason::Unreachable),
        _ => Act::Answer(Reason::Ok),
    });
    // From the fifth check on all that is checked fails, and we cannot even connect to ourselves.
    world.health.self_test.fails_until(SECOND * 60).await;
    let news = world.board.subscribe(crate::board::Interest::EveryCheck);
    while world.number.load(Relaxed) < 55 {
        news.changed().await;
        assert_ne!(world.slot.status().verdict, crate::status::Verdict::Down);
    }
    assert_eq!(world.state(), (State::Unknown, Reason::Local));
    assert!(world.health.local_faults.load(Relaxed) >= 40);
    // Our own side works again, and the instance fails on.
    while world.number.load(Relaxed) < 72 {
        news.changed().await;
    }
    assert_eq!(world.state(), (State::Down, Reason::Unreachable));
    while world.number.load(Relaxed) < 80 {
        news.changed().await;
    }
    assert_eq!(world.state(), (State::Up, Reason::Ok));
    world.end().await;
}
