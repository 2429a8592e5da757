use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use async_trait::async_trait;
use muster_scaler_core::{Ledger, decide};

use super::*;
use crate::clock::Moment;

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
