use std::fs;
use std::path::Path;
use std::sync::Weak;

use muster_plugin::Kind;
use muster_plugin::compliance::{Running, Stage};
use muster_tasks::Group;

use super::*;

/// The longest wait for an effect.
const PATIENCE: Duration = Duration::from_secs(60);

/// A scaler in `state` that soon notices what becomes of its lease.
async fn run(stage: &Stage, state: &Path) -> (Running, Arc<Scalers>) {
    let config = Config {
        mode: Mode::On,
        owner: "o".to_owned(),
        state: state.to_owned(),
        tick: muster_options::Duration::from_millis(20),
        ..Config::default()
    };
    let mut scaler = Scaler {
        observer: Arc::new(Observer::new(&config).unwrap()),
        config: Arc::new(config),
        started: None,
        lease_again: Duration::from_millis(10),
    };
    let cx = stage.start_context();
    let scalers = cx.resources().shared();
    scaler.start(&cx).await.unwrap();
    (stage.run(Box::new(scaler)).unwrap(), scalers)
}

/// Waits for a controller that leads, other than `before`. Not the thing itself: whoever holds a
/// controller keeps its ledger open.
async fn leader(
    running: &Running,
    scalers: &Scalers,
    before: Option<&Weak<Controller>>,
) -> Weak<Controller> {
    let find = || {
        let other = |one: &Weak<Controller>| before.is_none_or(|before| !one.ptr_eq(before));
        scalers.all().into_iter().find_map(|(_, one)| {
            let weak = Arc::downgrade(&one);
            (other(&weak) && one.holds_lease().is_ok()).then_some(weak)
        })
    };
    let there = running.wait_until(PATIENCE, |_| find().is_some()).await;
    assert!(there, "nobody leads: {:?}", running.take_reports());
    find().unwrap()
}

#[muster_tasks::test]
async fn one_that_waits_for_the_lease_takes_it_when_it_is_free(group: Group) {
    let (state, stage) = (tempfile::tempdir().unwrap(), Stage::new(Kind::Scaler));
    let other = crate::Lease::take(state.path()).unwrap();
    let (running, scalers) = run(&stage, state.path()).await;
    let refused = |running: &Running| {
        let reports = running.take_reports();
        reports
            .iter()
            .any(|report| report.to_string().contains("another scaler holds"))
    };
    assert!(running.wait_until(PATIENCE, refused).await);
    assert!(
        scalers
            .all()
            .iter()
            .all(|(_, one)| one.holds_lease().is_err())
    );
    drop(other);
    drop(leader(&running, &scalers, None).await);
    running.stop().await.unwrap().1.unwrap();
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn one_that_loses_the_lease_does_nothing_until_it_has_it_again(group: Group) {
    let (state, stage) = (tempfile::tempdir().unwrap(), Stage::new(Kind::Scaler));
    let (running, scalers) = run(&stage, state.path()).await;
    let first = leader(&running, &scalers, None).await;
    fs::remove_file(state.path().join("lease")).unwrap();
    let name = ServerName("p-1".to_owned());
    if let Some(first) = first.upgrade()
        && let Err(why) = first.holds_lease()
    {
        let refused = first.drain(&name).await.unwrap_err().to_string();
        assert_eq!(refused, why);
    }
    leader(&running, &scalers, Some(&first)).await;
    // What the first was at is over: it is no more.
    assert_eq!(first.strong_count(), 0);
    running.stop().await.unwrap().1.unwrap();
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}
