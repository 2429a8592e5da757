//! Keyed tasks: one live generation per key, whatever happens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_tasks::{Ctx, Ensured, Group, Keyed, ReplaceError, StartError, StopOptions, Stopped};
use tokio::sync::oneshot;

async fn park(cx: Ctx) {
    cx.cancelled().await;
}

async fn deaf(_cx: Ctx) {
    std::future::pending::<()>().await;
}

fn set(root: &Group) -> Keyed<u32> {
    Keyed::new(&root.builder("keyed").grace(Duration::from_secs(1)).build())
}

#[muster_tasks::test]
async fn a_key_has_one_task(root: Group) {
    let keyed = set(&root);
    keyed.start(1, park).unwrap();
    let error = keyed.start(1, park).unwrap_err();
    assert!(matches!(error, StartError::Exists(_)));
    assert_eq!(error.to_string(), "`1` is running already");
    assert!(keyed.contains(&1) && !keyed.contains(&2) && keyed.len() == 1);
    assert_eq!(keyed.get(&1).unwrap().name, "1");
    tokio::task::yield_now().await;
    assert!(matches!(keyed.stop(&1).await, Stopped::Ended));
    assert!(matches!(keyed.stop(&1).await, Stopped::NotRunning));
    assert!(keyed.is_empty());
}

#[muster_tasks::test]
async fn an_ended_task_frees_its_key_before_join_returns(root: Group) {
    let keyed = set(&root);
    for _ in 0..100 {
        keyed
            .start(1, |_cx| async {})
            .unwrap()
            .join()
            .await
            .done()
            .unwrap();
    }
    let bad = keyed.start(1, |_cx| async { panic!("bad") }).unwrap();
    let _: muster_tasks::Outcome<()> = bad.join().await;
    keyed.start(1, park).unwrap();
    assert!(keyed.kill(&1) && !keyed.kill(&2));
    keyed.group().wait().await;
    keyed.start(1, park).unwrap();
    assert!(root.stop().await.is_clean());
    assert!(keyed.is_empty());
    assert!(matches!(keyed.start(1, park), Err(StartError::Closed(_))));
    assert!(keyed.is_empty());
}

#[muster_tasks::test(start_paused = true)]
async fn stop_aborts_what_does_not_listen(root: Group) {
    let keyed = set(&root);
    keyed.start(1, deaf).unwrap();
    keyed.start(2, park).unwrap();
    keyed.start(3, deaf).unwrap();
    tokio::task::yield_now().await;
    let begin = tokio::time::Instant::now();
    let mut stopped = keyed.stop_where(|key| *key < 3).await;
    stopped.sort_by_key(|(key, _)| *key);
    assert!(
        matches!(&stopped[..], [(1, Stopped::Aborted), (2, Stopped::Ended)]),
        "{stopped:?}"
    );
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    let brief = StopOptions {
        grace: Duration::ZERO,
        ..StopOptions::default()
    };
    assert!(matches!(keyed.stop_with(&3, brief).await, Stopped::Aborted));
}

#[muster_tasks::test]
async fn replace_starts_when_the_old_one_and_its_helpers_are_gone(root: Group) {
    let keyed = set(&root);
    let live = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let work = || {
        let (live, most) = (Arc::clone(&live), Arc::clone(&most));
        move |cx: Ctx| async move {
            let helper = Live::new(&live, &most);
            cx.go_cx("helper", |cx| async move {
                let _helper = helper;
                cx.cancelled().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            })
            .unwrap();
            cx.cancelled().await;
        }
    };
    keyed.start(1, work()).unwrap();
    let replaces = (0..5).map(|_| {
        let (keyed, work) = (keyed.clone(), work());
        root.spawn("replacer", async move {
            drop(keyed.replace(1, work).await.unwrap());
        })
        .unwrap()
    });
    for replaced in replaces.collect::<Vec<_>>() {
        replaced.join().await.done().unwrap();
    }
    assert_eq!(keyed.len(), 1);
    assert!(root.stop().await.is_clean());
    assert_eq!(
        (live.load(Ordering::SeqCst), most.load(Ordering::SeqCst)),
        (0, 1)
    );
}

/// Counts live values and the most that lived at a time.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(live: &Arc<AtomicUsize>, most: &AtomicUsize) -> Self {
        most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(Arc::clone(live))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_task_keeps_its_key(root: Group) {
    let group = root
        .builder("keyed")
        .grace(Duration::from_millis(10))
        .build();
    let keyed: Keyed<&'static str> = Keyed::new(&group);
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (tx, started) = oneshot::channel();
    keyed
        .start("busy", |_cx| async move {
            tx.send(()).unwrap();
            let _ = wait.recv();
        })
        .unwrap();
    started.await.unwrap();
    let error = keyed.replace("busy", park).await.unwrap_err();
    assert!(matches!(error, ReplaceError::Stuck(_)), "{error}");
    assert!(matches!(
        keyed.start("busy", park),
        Err(StartError::Exists(_))
    ));
    drop(release);
    group.wait().await;
    keyed.start("busy", park).unwrap();
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn ensure_compares_hashes(root: Group) {
    let keyed = set(&root);
    assert!(matches!(
        keyed.ensure(1, 10, park).await,
        Ok(Ensured::Started(_))
    ));
    let before = keyed.snapshot()[0].generation;
    assert!(matches!(
        keyed.ensure(1, 10, park).await,
        Ok(Ensured::Unchanged)
    ));
    assert_eq!(keyed.snapshot()[0].generation, before);
    assert!(matches!(
        keyed.ensure(1, 11, park).await,
        Ok(Ensured::Restarted(_))
    ));
    assert_eq!(keyed.snapshot()[0].spec_hash, Some(11));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(start_paused = true)]
async fn reconcile_does_what_the_difference_says(root: Group) {
    let keyed = set(&root);
    let slow = |cx: Ctx| async move {
        cx.cancelled().await;
        tokio::time::sleep(Duration::from_millis(800)).await;
    };
    let first = keyed.reconcile((0..6).map(|key| (key, 1, slow))).await;
    assert_eq!(first.started.len(), 6);
    tokio::task::yield_now().await;
    let untouched = keyed.get(&0).unwrap().id;
    let begin = tokio::time::Instant::now();
    // 0 and 1 stay, 2 and 3 change, 4 and 5 go, 6 is new.
    let wanted = [(0, 1), (1, 1), (2, 2), (3, 2), (6, 1)];
    let mut diff = keyed
        .reconcile(wanted.map(|(key, hash)| (key, hash, slow)))
        .await;
    assert_eq!(
        begin.elapsed(),
        Duration::from_millis(800),
        "all stops go in parallel"
    );
    for list in [
        &mut diff.started,
        &mut diff.stopped,
        &mut diff.restarted,
        &mut diff.unchanged,
    ] {
        list.sort_unstable();
    }
    assert_eq!(diff.started, [6]);
    assert_eq!(diff.stopped, [4, 5]);
    assert_eq!(diff.restarted, [2, 3]);
    assert_eq!(diff.unchanged, [0, 1]);
    assert_eq!(keyed.get(&0).unwrap().id, untouched);
    let same = keyed
        .reconcile(wanted.map(|(key, hash)| (key, hash, slow)))
        .await;
    assert!(same.is_empty() && same.unchanged.len() == 5);
    assert!(root.stop().await.is_clean());
    let refused = keyed.reconcile([(9, 1, slow)]).await;
    assert_eq!(refused.refused.len(), 1);
    assert!(keyed.is_empty());
}

#[muster_tasks::test]
async fn keys_with_names_of_their_own(root: Group) {
    let keyed: Keyed<(u8, &str)> = Keyed::with_names(&root, |(n, s)| format!("{s}-{n}").into());
    keyed.start((1, "a"), park).unwrap();
    assert_eq!(keyed.get(&(1, "a")).unwrap().name, "a-1");
    assert_eq!(keyed.keys(), [(1, "a")]);
    assert!(root.stop().await.is_clean());
}
