//! Random operations on a supervisor against a model: who runs, who waits, who is gone, and that no
//! child has two live generations.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::testing::{TestConfig, run};
use muster_tasks::{
    Backoff, ChildId, ChildSpec, ChildState, Ctx, Group, Intensity, Restart, Shutdown, Strategy,
};
use proptest::prelude::{BoxedStrategy, Just, ProptestConfig, any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use tokio::sync::Notify;

const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Op {
    Start(u8),
    End(usize, bool),
    Stop(usize),
    Kill(usize),
    /// Lets all pauses pass.
    Pass,
}

fn op() -> BoxedStrategy<Op> {
    prop_oneof![
        3 => (0..3u8).prop_map(Op::Start),
        4 => (0..6usize, any::<bool>()).prop_map(|(which, fail)| Op::End(which, fail)),
        1 => (0..6usize).prop_map(Op::Stop),
        1 => (0..6usize).prop_map(Op::Kill),
        2 => Just(Op::Pass),
    ]
    .boxed()
}

/// A child as the model sees it.
struct Model {
    restart: Restart,
    running: bool,
    order: Arc<Order>,
}

#[derive(Default)]
struct Order {
    done: Notify,
    fail: Notify,
    live: AtomicUsize,
    most: AtomicUsize,
}

fn spec(restart: Restart, order: &Arc<Order>) -> ChildSpec {
    struct Live(Arc<Order>);
    impl Drop for Live {
        fn drop(&mut self) {
            self.0.live.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let order = Arc::clone(order);
    let spec = ChildSpec::new("child", move |cx: Ctx| {
        let live = Live(Arc::clone(&order));
        let now = order.live.fetch_add(1, Ordering::SeqCst) + 1;
        order.most.fetch_max(now, Ordering::SeqCst);
        async move {
            tokio::select! {
                _ = cx.cancelled() => Ok(()),
                () = live.0.done.notified() => Ok(()),
                () = live.0.fail.notified() => Err("as told"),
            }
        }
    });
    spec.restart(restart).shutdown(Shutdown::Timeout(PAUSE))
}

async fn play(root: Group, strategy: Strategy, ops: Vec<Op>) {
    let backoff = Backoff {
        base: PAUSE,
        factor: 1.0,
        cap: PAUSE,
        jitter: 0.0,
        reset_after: PAUSE,
    };
    let often = Intensity {
        max: 10_000,
        within: PAUSE,
    };
    let sup = root
        .supervisor("sup")
        .strategy(strategy)
        .backoff(backoff)
        .intensity(often);
    let sup = sup.start().unwrap();
    let mut model: BTreeMap<ChildId, Model> = BTreeMap::new();
    let mut orders = Vec::new();
    for op in ops {
        let nth = |which: usize| model.keys().nth(which).copied();
        match op {
            Op::Start(restart) => {
                let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary]
                    [usize::from(restart)];
                let order = Arc::new(Order::default());
                orders.push(Arc::clone(&order));
                let id = sup.start_child(spec(restart, &order)).unwrap();
                let running = true;
                model.insert(
                    id,
                    Model {
                        restart,
                        running,
                        order,
                    },
                );
            }
            Op::End(which, fail) => {
                if let Some(id) = nth(which).filter(|id| model[id].running) {
                    let order = &model[&id].order;
                    if fail {
                        order.fail.notify_one();
                    } else {
                        order.done.notify_one();
                    }
                    let restart = model[&id].restart;
                    if restart == Restart::Permanent || (restart == Restart::Transient && fail) {
                        restarted(&mut model, strategy, id);
                    } else {
                        model.remove(&id);
                    }
                }
            }
            Op::Stop(which) => {
                if let Some(id) = nth(which) {
                    let _ = sup.stop_child(id).await;
                    let gone = model.remove(&id).unwrap();
                    assert_eq!(gone.order.live.load(Ordering::SeqCst), 0);
                }
            }
            Op::Kill(which) => {
                if let Some(id) = nth(which) {
                    let killed = sup.kill_child(id);
                    assert_eq!(killed, model.remove(&id).unwrap().running);
                }
            }
            Op::Pass => {
                tokio::time::sleep(PAUSE * 2).await;
                model.values_mut().for_each(|child| child.running = true);
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let told: Vec<_> = sup
            .children()
            .into_iter()
            .map(|info| (info.id, info.state == ChildState::Running))
            .collect();
        // Pauses may have passed with the operations themselves.
        for (id, running) in &told {
            if let Some(child) = model.get_mut(id) {
                child.running |= *running && !matches!(op, Op::End(..));
            }
        }
        let expected: Vec<_> = model
            .iter()
            .map(|(id, child)| (*id, child.running))
            .collect();
        assert_eq!(told, expected, "after {op:?}");
        for child in model.values() {
            assert_eq!(
                child.order.live.load(Ordering::SeqCst),
                usize::from(child.running),
                "after {op:?}"
            );
        }
    }
    assert!(sup.stop().await.is_clean());
    for order in orders {
        assert_eq!(order.live.load(Ordering::SeqCst), 0);
        assert!(
            order.most.load(Ordering::SeqCst) <= 1,
            "two live generations of a child"
        );
    }
}

/// A child has ended and is to be started again.
fn restarted(model: &mut BTreeMap<ChildId, Model>, strategy: Strategy, id: ChildId) {
    let concerned: Vec<_> = match strategy {
        Strategy::OneForOne => vec![id],
        Strategy::OneForAll => model.keys().copied().collect(),
        Strategy::RestForOne => model.range(id..).map(|(id, _)| *id).collect(),
    };
    for other in concerned {
        let child = model.get_mut(&other).unwrap();
        // Temporary children are not started again with the others.
        if other != id && child.running && child.restart == Restart::Temporary {
            model.remove(&other);
        } else {
            child.running = false;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn restarts_follow_the_rules(
        strategy in prop_oneof![
            Just(Strategy::OneForOne),
            Just(Strategy::OneForAll),
            Just(Strategy::RestForOne),
        ],
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let config = TestConfig {
            name: "model",
            multi_thread: false,
            worker_threads: None,
            start_paused: true,
        };
        run(config, |root| play(root, strategy, ops), |()| false);
    }
}
