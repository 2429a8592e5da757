//! The loop of a publisher with a store of keys. A panic in it is told and counted, and it goes on with all that it
//! had to do: it reads first what has become of its keys.

use std::time::Duration;

use muster_metric::Batch;
use muster_plugin::{PluginError, ServiceContext};
use muster_tasks::{catch_panic, timeout};
use tokio::time::{Instant, sleep, timeout_at};

use super::ledger::Ledger;

/// News that come together are written together.
const GATHER: Duration = Duration::from_millis(20);

/// How often what is in the store is compared with what should be there, and what failed is tried again.
pub(super) const AUDIT: Duration = Duration::from_secs(1);

/// The pause after a panic doubles with each that follows before a round went well, between these.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long the last round may take.
pub(super) const LEAVE: Duration = Duration::from_millis(500);

/// How often the publisher's own numbers go out.
const NUMBERS: Duration = Duration::from_secs(10);

/// Brings what is in a store to what is on the board.
pub(super) trait Desk {
    /// What can go wrong with all of it.
    type Error: std::fmt::Display;

    /// What it keeps in mind.
    fn ledger(&mut self) -> &mut Ledger;

    /// Writes what is behind. Waits for the store until `until`, but what was begun is finished.
    async fn round(&mut self, until: Instant) -> Result<(), Self::Error>;

    /// Waits until there is something to do.
    async fn wait_for_news(&mut self);

    /// Appends its numbers.
    fn write_numbers(&self, batch: &mut Batch);
}

/// Writes for the last time that nobody looks any more, if that takes no longer than half a second.
pub(super) async fn take_leave<D: Desk>(cx: &ServiceContext, desk: &mut D) {
    desk.ledger().end();
    let until = Instant::now() + LEAVE;
    let last = timeout(LEAVE, catch_panic(desk.round(until))).await;
    let why = match last {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(panic)) => panic.to_string(),
        Err(late) => late.to_string(),
    };
    cx.report(PluginError::new("write that nobody looks any more").because(why));
}

/// Publishes for ever, whatever panics.
pub(super) async fn publish<D: Desk>(cx: &ServiceContext, desk: &mut D) {
    let mut pause = SHORTEST_PAUSE;
    while let Err(panic) = catch_panic(go_round(cx, desk, &mut pause)).await {
        tracing::error!(publisher = %cx.id(), "its work {panic}");
        cx.report(PluginError::new(format!("publish: it {panic}")));
        desk.ledger().distrust();
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Publishes for ever.
async fn go_round<D: Desk>(cx: &ServiceContext, desk: &mut D, pause: &mut Duration) {
    let mut told: Option<String> = None;
    let mut numbers = Instant::now();
    loop {
        let next = Instant::now() + AUDIT;
        let done = desk.round(next).await;
        for conflict in desk.ledger().take_reports() {
            cx.report(conflict);
        }
        match done {
            Ok(()) => {
                (told, *pause) = (None, SHORTEST_PAUSE);
                #[cfg(feature = "testing")]
                desk.ledger().faults().went_well();
            }
            // The same again is not told again.
            Err(error) => {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    cx.report(PluginError::new(error.clone()));
                    told = Some(error);
                }
                sleep(GATHER * 5).await;
            }
        }
        if numbers <= Instant::now() {
            numbers = Instant::now() + NUMBERS;
            let mut batch = Batch::new();
            desk.write_numbers(&mut batch);
            cx.emit(batch).await;
        }
        let _ = timeout_at(next, desk.wait_for_news()).await;
        sleep(GATHER).await;
    }
}
