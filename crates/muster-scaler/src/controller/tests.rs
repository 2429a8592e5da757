use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use async_trait::async_trait;
use muster_scaler_core::{Event, Ledger, PausedHost, decide};

use super::*;
use crate::clock::Moment;
use crate::testing::ModelGitlab;

#[derive(Debug)]
struct Blind;

#[async_trait]
impl Observe for Blind {
    async fn observe(&self, _: Moment, _: &Ledger) -> Seen {
        Seen::nothing("nobody looks")
    }
}

#[muster_tasks::test]
async fn a_jump_of_the_wall_clock_is_alarmed_about_and_decides_nothing(group: Group) {
    static WALL: AtomicI64 = AtomicI64::new(1_790_000_000_000);
    let state = tempfile::tempdir().unwrap();
    let setup = Setup {
        config: Arc::new(Config::default()),
        state: state.path().to_owned(),
        providers: BTreeMap::new(),
        runners: None,
        observer: Arc::new(Blind),
        decide,
    };
    let clock = Clock::with_wall(Time::default(), || Time::from_millis(WALL.load(Relaxed)));
    let lease = Lease::take(state.path()).map_err(|error| error.to_string());
    let (kept, keep) = (Kept::default(), Box::new(Nowhere));
    let controller =
        Controller::with(&group, setup, lease, keep, kept, None, Arc::new(clock)).unwrap();
    let first = controller.tick().await.unwrap();
    // A day back, as when somebody sets the machine's clock.
    WALL.fetch_sub(24 * 3600 * 1000, Relaxed);
    let second = controller.tick().await.unwrap();
    let status = Arc::clone(&controller.status().borrow());
    let jumped = |alarm: &Alarm| alarm.code == "clock_jump" && alarm.text.contains("-86400");
    assert!(status.alarms.iter().any(jumped), "{:?}", status.alarms);
    assert_eq!(status.counts.clock_jumps, 1);
    let passed = second.at.millis() - first.at.millis();
    assert!((0..3_600_000).contains(&passed), "{passed}");
    drop(controller);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_relieved_host_whose_runner_is_gone_is_forgotten(group: Group) {
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let runners = ModelGitlab::new(Arc::clone(&now), 1, 1);
    runners.set_calm(true);
    let state = tempfile::tempdir().unwrap();
    let setup = Setup {
        config: Arc::new(Config {
            mode: Mode::On,
            ..Config::default()
        }),
        state: state.path().to_owned(),
        providers: BTreeMap::new(),
        runners: Some(runners),
        observer: Arc::new(Blind),
        decide,
    };
    let lease = Lease::take(state.path()).map_err(|error| error.to_string());
    let (mut kept, keep) = (Kept::default(), Box::new(Nowhere));
    let paused = PausedHost {
        runner: 7,
        instance: "a:9252".to_owned(),
        pool: "p".to_owned(),
        since: Time::default(),
        until: Time::default(),
    };
    let paused = Event::HostPaused(paused);
    Arc::make_mut(&mut kept.ledger).apply(&paused).unwrap();
    let clock = Arc::new(Clock::given(now));
    let controller = Controller::with(&group, setup, lease, keep, kept, None, clock).unwrap();
    let forgotten = async {
        while !controller.desk().ledger().paused_hosts.is_empty() {
            controller.tick().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let forgotten = muster_tasks::timeout(Duration::from_secs(60), forgotten);
    forgotten.await.expect("the host is forgotten");
    drop(controller);
    assert!(group.stop().await.is_clean());
}
