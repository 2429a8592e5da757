//! Supervisors: restarts, strategies, limits, pauses, shutdowns, events.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::time::Duration;

use muster_tasks::{
    AutoShutdown, Backoff, ChildEvent, ChildSpec, ChildState, Ctx, Exit, Group, Intensity, Restart,
    Shutdown, Stopped, Strategy, SupervisorError,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const OFTEN: Intensity = Intensity {
    max: 1000,
    within: SECOND,
};
/// A second, without chance.
const STEADY: Backoff = Backoff {
    base: SECOND,
    factor: 1.0,
    cap: SECOND,
    jitter: 0.0,
    reset_after: Duration::from_secs(60),
};

/// What children did, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: String) {
        self.0.lock().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// A child that notes its start and end, and fails when it is poked.
fn child(name: &'static str, log: &Log, poke: &Arc<Notify>) -> ChildSpec {
    let (log, poke) = (log.clone(), Arc::clone(poke));
    ChildSpec::new(name, move |cx: Ctx| {
        let (log, poke) = (log.clone(), Arc::clone(&poke));
        async move {
            log.note(format!("+{name}"));
            tokio::select! {
                _ = cx.cancelled() => {
                    tokio::task::yield_now().await;
                    log.note(format!("-{name}"));
                    Ok(())
                }
                () = poke.notified() => {
                    log.note(format!("!{name}"));
                    Err("poked")
                }
            }
        }
    })
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[muster_tasks::test(start_paused = true)]
async fn strategies(root: Group) {
    for (strategy, expected) in [
        (Strategy::OneForOne, "!b +b"),
        (Strategy::OneForAll, "!b -c -a +a +b +c"),
        (Strategy::RestForOne, "!b -c +b +c"),
    ] {
        let (log, poke, quiet) = (
            Log::default(),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        let sup = root.supervisor("sup").strategy(strategy).backoff(STEADY);
        let sup = sup
            .child(child("a", &log, &quiet))
            .child(child("b", &log, &poke))
            .child(child("c", &log, &quiet))
            .start()
            .unwrap();
        settle().await;
        assert_eq!(log.take(), ["+a", "+b", "+c"]);
        poke.notify_one();
        tokio::time::sleep(SECOND / 2).await;
        let before = log.0.lock().len();
        tokio::time::sleep(SECOND).await;
        let told = log.take();
        assert_eq!(told.join(" "), expected, "{strategy:?}");
        assert!(
            told[..before].iter().all(|what| !what.starts_with('+')),
            "the pause was kept"
        );
        let infos = sup.children();
        assert!(infos.iter().all(|info| info.state == ChildState::Running));
        assert_eq!(infos.iter().map(|info| info.restarts).sum::<u64>(), 1);
        assert!(sup.stop().await.is_clean());
        let mut order = log.take();
        if strategy == Strategy::OneForOne {
            // All are asked at once; the order in which they end means nothing.
            order.sort_unstable_by(|a, b| b.cmp(a));
        }
        assert_eq!(order, ["-c", "-b", "-a"]);
        assert!(sup.join().await.is_ok() && sup.is_empty());
    }
}

#[muster_tasks::test(start_paused = true)]
async fn restart_rules(root: Group) {
    for (restart, ends, starts) in [
        (Restart::Permanent, "done", 4),
        (Restart::Permanent, "panic", 4),
        (Restart::Transient, "done", 1),
        (Restart::Transient, "fail", 4),
        (Restart::Transient, "panic", 4),
        (Restart::Temporary, "fail", 1),
        (Restart::Temporary, "panic", 1),
    ] {
        let log = Log::default();
        let of_child = log.clone();
        let spec = ChildSpec::new("child", move |_cx| {
            of_child.note("+".to_owned());
            async move {
                assert_ne!(ends, "panic");
                if ends == "fail" {
                    Err("failed")
                } else {
                    Ok(())
                }
            }
        });
        let sup = root
            .supervisor("sup")
            .backoff(STEADY)
            .child(spec.restart(restart))
            .start()
            .unwrap();
        tokio::time::sleep(SECOND * 7 / 2).await;
        assert_eq!(log.take().len(), starts, "{restart:?} {ends}");
        // Who has ended for good is forgotten.
        assert_eq!(sup.len(), usize::from(starts > 1));
        assert!(sup.stop().await.is_clean());
    }
}

#[muster_tasks::test(start_paused = true)]
async fn too_many_restarts_end_it_and_the_parent_learns(root: Group) {
    let parent = root.group("parent");
    let log = Log::default();
    let begin = Instant::now();
    let bad = ChildSpec::new("bad", |_cx| async { Err("it is broken") });
    let sup = parent
        .supervisor("sup")
        .backoff(STEADY)
        .intensity(Intensity {
            max: 3,
            within: SECOND * 60,
        })
        .child(child("good", &log, &Arc::default()))
        .child(bad)
        .start()
        .unwrap();
    let error = sup.join().await.unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert_eq!(
        error.to_string(),
        "supervisor `too_many_restarts_end_it_and_the_parent_learns/parent/sup` gave up: \
         child `bad` failed: it is broken, after 3 restarts within 60s"
    );
    assert_eq!(log.take(), ["+good", "-good"]);
    settle().await;
    assert_eq!(sup.group().count(), 0);
    assert!(
        sup.group().is_cancelled()
            && sup
                .start_child(child("late", &log, &Arc::default()))
                .is_err()
    );
    let failure = parent.join().await.unwrap_err();
    assert!(failure.to_string().contains("child `bad`"), "{failure}");
}

#[muster_tasks::test(start_paused = true)]
async fn pauses_grow_and_are_reset(root: Group) {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (noted, begin) = (Arc::clone(&starts), Instant::now());
    let flaky = ChildSpec::new("flaky", move |_cx| {
        noted.lock().push(begin.elapsed().as_secs());
        let run = if noted.lock().len() == 4 {
            SECOND * 60
        } else {
            Duration::ZERO
        };
        async move { tokio::time::sleep(run).await }
    });
    let backoff = Backoff {
        base: SECOND,
        factor: 2.0,
        cap: SECOND * 30,
        jitter: 0.0,
        reset_after: SECOND * 60,
    };
    let sup = root
        .supervisor("sup")
        .backoff(backoff)
        .intensity(OFTEN)
        .child(flaky)
        .start()
        .unwrap();
    tokio::time::sleep(SECOND * 72).await;
    // 1 + 2 + 4, then a minute's run, then 1 + 2 again.
    assert_eq!(*starts.lock(), [0, 1, 3, 7, 68, 70]);
    assert!(sup.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn who_was_stopped_never_comes_back(root: Group) {
    let (log, poke) = (Log::default(), Arc::new(Notify::new()));
    let sup = root
        .supervisor("sup")
        .backoff(STEADY)
        .intensity(OFTEN)
        .start()
        .unwrap();
    // Stopped while it runs.
    let id = sup.start_child(child("a", &log, &poke)).unwrap();
    settle().await;
    assert!(matches!(sup.stop_child(id).await, Stopped::Ended));
    assert_eq!(log.take(), ["+a", "-a"]);
    assert!(matches!(sup.stop_child(id).await, Stopped::NotRunning));
    // Stopped while it waits for its restart.
    let id = sup.start_child(child("b", &log, &poke)).unwrap();
    settle().await;
    poke.notify_one();
    settle().await;
    assert_eq!(sup.children()[0].state, ChildState::Pausing);
    assert!(matches!(sup.stop_child(id).await, Stopped::NotRunning));
    // Killed.
    let id = sup.start_child(child("c", &log, &poke)).unwrap();
    settle().await;
    assert!(sup.kill_child(id) && !sup.is_empty());
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(log.take(), ["+b", "!b", "+c"]);
    assert!(sup.is_empty());
    assert!(sup.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn a_child_stopped_while_all_are_restarted_stays_away(root: Group) {
    let (log, poke, quiet) = (
        Log::default(),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let sup = root
        .supervisor("sup")
        .strategy(Strategy::OneForAll)
        .backoff(STEADY)
        .start()
        .unwrap();
    let a = sup.start_child(child("a", &log, &quiet)).unwrap();
    sup.start_child(child("b", &log, &poke)).unwrap();
    sup.start_child(child("c", &log, &quiet).restart(Restart::Temporary))
        .unwrap();
    settle().await;
    poke.notify_one();
    settle().await;
    assert_eq!(log.take().join(" "), "+a +b +c !b -c -a");
    let _ = sup.stop_child(a).await;
    tokio::time::sleep(SECOND * 2).await;
    // Temporary children are not started again with the others.
    assert_eq!(log.take(), ["+b"]);
    assert_eq!(sup.len(), 1);
    assert!(sup.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn shutdowns_take_their_own_time(root: Group) {
    let deaf = |name, shutdown| {
        ChildSpec::new(name, |_cx| std::future::pending::<()>()).shutdown(shutdown)
    };
    let slow = |seconds| {
        ChildSpec::new("slow", move |cx: Ctx| async move {
            cx.cancelled().await;
            tokio::time::sleep(SECOND * seconds).await;
        })
    };
    for (strategy, seconds) in [
        (Strategy::OneForOne, 20),
        (Strategy::RestForOne, 2 + 3 + 20),
    ] {
        let sup = root.supervisor("sup").strategy(strategy);
        let sup = sup
            .child(deaf("brutal", Shutdown::Brutal))
            .child(deaf("two", Shutdown::Timeout(SECOND * 2)))
            .child(deaf("three", Shutdown::Timeout(SECOND * 3)))
            .child(slow(20).shutdown(Shutdown::Infinite))
            .start()
            .unwrap();
        settle().await;
        let report = sup.stop().await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(
            (report.asked, report.elapsed.as_secs()),
            (5, seconds),
            "{strategy:?}"
        );
    }
}

#[muster_tasks::test(start_paused = true)]
async fn significant_children_end_it(root: Group) {
    for (auto, done) in [
        (AutoShutdown::Never, 0),
        (AutoShutdown::AnySignificant, 1),
        (AutoShutdown::AllSignificant, 2),
    ] {
        let log = Log::default();
        let brief = |seconds| {
            let spec = ChildSpec::new("brief", move |_cx| tokio::time::sleep(SECOND * seconds));
            spec.restart(Restart::Temporary)
        };
        let sup = root
            .supervisor("sup")
            .auto_shutdown(auto)
            .child(brief(5).significant(true))
            .child(brief(1))
            .child(brief(10).significant(true))
            .child(child("good", &log, &Arc::default()))
            .start()
            .unwrap();
        let ended = tokio::time::timeout(SECOND * 60, sup.join()).await;
        assert_eq!(ended.is_ok(), done > 0);
        assert!(ended.is_err() || log.take() == ["+good", "-good"]);
        assert!(sup.stop().await.is_clean());
    }
}

#[muster_tasks::test(start_paused = true)]
async fn events_come_in_order_and_say_when_some_are_lost(root: Group) {
    let (log, poke) = (Log::default(), Arc::new(Notify::new()));
    let sup = root
        .supervisor("sup")
        .backoff(STEADY)
        .intensity(OFTEN)
        .start()
        .unwrap();
    let mut events = sup.events();
    let mut lazy = sup.events();
    let id = sup.start_child(child("a", &log, &poke)).unwrap();
    settle().await;
    poke.notify_one();
    settle().await;
    assert!(matches!(events.next().await, Some(ChildEvent::Started { id: of, .. }) if of == id));
    let ended = events.next().await;
    let Some(ChildEvent::Ended {
        exit: Exit::Failed(error),
        restart_in: Some(SECOND),
        ..
    }) = ended
    else {
        panic!("{ended:?}");
    };
    assert_eq!(&*error, "poked");
    assert!(matches!(
        events.next().await,
        Some(ChildEvent::Started { .. })
    ));
    let _ = sup.stop_child(id).await;
    assert!(matches!(
        events.next().await,
        Some(ChildEvent::Stopped { .. })
    ));
    for _ in 0..300 {
        sup.start_child(child("b", &log, &poke)).unwrap();
    }
    assert!(matches!(lazy.next().await, Some(ChildEvent::Lost(48))));
    assert!(matches!(
        lazy.next().await,
        Some(ChildEvent::Started { .. })
    ));
    assert!(sup.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn supervisors_nest(root: Group) {
    let log = Log::default();
    let of_inner = log.clone();
    let inner = ChildSpec::new("inner", move |cx: Ctx| {
        of_inner.note("+inner".to_owned());
        let bad = ChildSpec::new("bad", |_cx| async { Err("broken") });
        cx.group()
            .supervisor("workers")
            .backoff(Backoff::NONE)
            .intensity(Intensity {
                max: 2,
                within: SECOND,
            })
            .child(child("good", &of_inner, &Arc::default()))
            .child(bad)
            .serve(cx)
    });
    let outer = root
        .supervisor("outer")
        .backoff(STEADY)
        .intensity(Intensity {
            max: 1,
            within: SECOND * 60,
        })
        .child(inner.shutdown(Shutdown::Infinite))
        .start()
        .unwrap();
    let error = outer.join().await.unwrap_err();
    let SupervisorError::TooManyRestarts { child, exit, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*child, "inner");
    assert!(
        exit.to_string().contains("child `bad` failed: broken"),
        "{exit}"
    );
    assert_eq!(
        log.take().join(" "),
        "+inner +good -good +inner +good -good"
    );
    assert!(outer.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn a_stop_from_above_ends_all(root: Group) {
    let (log, poke) = (Log::default(), Arc::new(Notify::new()));
    let above = root.group("above");
    let sup = above
        .supervisor("sup")
        .backoff(STEADY)
        .child(child("a", &log, &poke))
        .start()
        .unwrap();
    sup.start_child(child("b", &log, &Arc::default())).unwrap();
    settle().await;
    poke.notify_one();
    settle().await;
    assert!(above.stop().await.is_clean());
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(log.take().join(" "), "+a +b !a -b");
    assert!(sup.join().await.is_ok());
    drop(sup);
    assert_eq!(root.count(), 0);
}

#[muster_tasks::test(start_paused = true)]
async fn dropping_the_last_handle_aborts_the_children(root: Group) {
    let log = Log::default();
    let sup = root
        .supervisor("sup")
        .child(child("a", &log, &Arc::default()))
        .start()
        .unwrap();
    settle().await;
    drop(sup);
    root.wait().await;
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(log.take(), ["+a"]);
}
