//! Random operations on `Keyed` against a model, with the live generations counted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_tasks::testing::{TestConfig, run};
use muster_tasks::{Ctx, Group, Keyed};
use proptest::prelude::*;
use tokio::sync::mpsc;

const KEYS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Op {
    Start(usize, bool),
    Replace(usize, bool),
    Ensure(usize, u64),
    Stop(usize),
    Kill(usize),
    Finish(usize),
    Panic(usize),
    Reconcile(u64, [bool; KEYS]),
    /// Several operations on one key at once.
    Race(usize),
    Yield,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS;
    prop_oneof![
        3 => (key.clone(), any::<bool>()).prop_map(|(key, polite)| Op::Start(key, polite)),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, polite)| Op::Replace(key, polite)),
        2 => (key.clone(), 0..3u64).prop_map(|(key, hash)| Op::Ensure(key, hash)),
        2 => key.clone().prop_map(Op::Stop),
        1 => key.clone().prop_map(Op::Kill),
        2 => key.clone().prop_map(Op::Finish),
        2 => key.clone().prop_map(Op::Panic),
        1 => (0..3u64, any::<[bool; KEYS]>()).prop_map(|(hash, keys)| Op::Reconcile(hash, keys)),
        2 => key.prop_map(Op::Race),
        2 => Just(Op::Yield),
    ]
}

/// What a task is told to do.
#[derive(Clone, Copy)]
enum Order {
    Finish,
    Panic,
}

#[derive(Default)]
struct World {
    live: [Arc<AtomicUsize>; KEYS],
    most: Arc<AtomicUsize>,
    orders: HashMap<usize, mpsc::Sender<Order>>,
}

/// One live generation of a key, its helper included.
struct Generation(Arc<AtomicUsize>);

impl Generation {
    fn new(live: &Arc<AtomicUsize>, most: &AtomicUsize) -> Arc<Self> {
        most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Arc::new(Self(Arc::clone(live)))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Work = Box<dyn FnOnce(Ctx) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

impl World {
    fn work(&mut self, key: usize, polite: bool) -> (Work, mpsc::Sender<Order>) {
        let (tx, mut rx) = mpsc::channel(4);
        let (live, most) = (Arc::clone(&self.live[key]), Arc::clone(&self.most));
        let work = move |cx: Ctx| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async move {
                let generation = Generation::new(&live, &most);
                let helper = Arc::clone(&generation);
                let _ = cx.go_cx("helper", move |cx| async move {
                    let _helper = helper;
                    if polite {
                        cx.cancelled().await;
                        tokio::task::yield_now().await;
                    } else {
                        std::future::pending::<()>().await;
                    }
                });
                tokio::select! {
                    _ = cx.cancelled(), if polite => tokio::task::yield_now().await,
                    order = rx.recv() => if let Some(Order::Panic) = order { panic!("as told") },
                }
                drop(generation);
            })
        };
        (Box::new(work), tx)
    }
}

async fn play(root: Group, ops: Vec<Op>) {
    let keyed: Keyed<usize> = Keyed::new(&root.group("keyed"));
    let mut world = World::default();
    // Which keys the model believes to be live, with their hash.
    let mut model: HashMap<usize, Option<u64>> = HashMap::new();
    for op in ops {
        match op {
            Op::Start(key, polite) => {
                let (work, orders) = world.work(key, polite);
                let started = keyed.start(key, work).is_ok();
                assert_eq!(started, !model.contains_key(&key), "{op:?}");
                if started {
                    world.orders.insert(key, orders);
                    model.insert(key, None);
                }
            }
            Op::Replace(key, polite) => {
                let (work, orders) = world.work(key, polite);
                keyed.replace(key, work).await.unwrap();
                world.orders.insert(key, orders);
                model.insert(key, None);
            }
            Op::Ensure(key, hash) => {
                let (work, orders) = world.work(key, true);
                let unchanged = model.get(&key) == Some(&Some(hash));
                let ensured = keyed.ensure(key, hash, work).await.unwrap();
                let was_unchanged = matches!(ensured, muster_tasks::Ensured::Unchanged);
                assert_eq!(was_unchanged, unchanged, "{op:?}");
                if !unchanged {
                    world.orders.insert(key, orders);
                    model.insert(key, Some(hash));
                }
            }
            Op::Stop(key) => {
                let stopped = keyed.stop(&key).await;
                let was_running = !matches!(stopped, muster_tasks::Stopped::NotRunning);
                assert_eq!(
                    was_running,
                    model.remove(&key).is_some(),
                    "{op:?} {stopped:?}"
                );
                assert_eq!(world.live[key].load(Ordering::SeqCst), 0);
            }
            Op::Kill(key) => {
                assert_eq!(keyed.kill(&key), model.remove(&key).is_some());
                settle(&keyed, key).await;
            }
            Op::Finish(key) | Op::Panic(key) => {
                let order = if matches!(op, Op::Finish(_)) {
                    Order::Finish
                } else {
                    Order::Panic
                };
                if model.remove(&key).is_some() {
                    let _ = world.orders[&key].send(order).await;
                    settle(&keyed, key).await;
                }
            }
            Op::Reconcile(hash, keys) => {
                let mut wanted = Vec::new();
                let mut expected = HashMap::new();
                for key in (0..KEYS).filter(|key| keys[*key]) {
                    let (work, orders) = world.work(key, true);
                    if model.get(&key) != Some(&Some(hash)) {
                        world.orders.insert(key, orders);
                    }
                    wanted.push((key, hash, work));
                    expected.insert(key, Some(hash));
                }
                let diff = keyed.reconcile(wanted).await;
                assert!(diff.stuck.is_empty() && diff.refused.is_empty());
                let unchanged = expected
                    .iter()
                    .filter(|(key, hash)| model.get(key) == Some(hash));
                assert_eq!(diff.unchanged.len(), unchanged.count());
                model = expected;
            }
            Op::Race(key) => {
                let (a, orders_a) = world.work(key, true);
                let (b, orders_b) = world.work(key, false);
                let (c, orders_c) = world.work(key, true);
                let (_, replaced, started, _) = tokio::join!(
                    keyed.stop(&key),
                    keyed.replace(key, a),
                    async { keyed.start(key, b) },
                    keyed.replace(key, c),
                );
                // Whoever came last runs, or nobody; stop it so that the model knows.
                drop((replaced, started, orders_a, orders_b, orders_c));
                let _ = keyed.stop(&key).await;
                model.remove(&key);
            }
            Op::Yield => tokio::task::yield_now().await,
        }
        let mut live = keyed.keys();
        live.sort_unstable();
        let mut expected: Vec<_> = model.keys().copied().collect();
        expected.sort_unstable();
        assert_eq!(live, expected, "after {op:?}");
        assert_eq!(keyed.len(), live.len());
        assert!(
            world.most.load(Ordering::SeqCst) <= 1,
            "two live generations after {op:?}"
        );
    }
    assert!(root.stop().await.is_clean());
    assert!(keyed.is_empty());
    assert!(
        world
            .live
            .iter()
            .all(|live| live.load(Ordering::SeqCst) == 0)
    );
}

/// Waits until the key is free.
async fn settle(keyed: &Keyed<usize>, key: usize) {
    while keyed.contains(&key) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn one_live_generation_per_key(ops in prop::collection::vec(op(), 1..40)) {
        let config = TestConfig {
            name: "model",
            multi_thread: false,
            worker_threads: None,
            start_paused: true,
        };
        run(config, |root| play(root, ops), |()| false);
    }
}
