//! The loop of a publisher with a store of keys.

use std::time::Duration;

use muster_metric::Batch;
use muster_plugin::{PluginError, ServiceContext};
use tokio::time::{Instant, sleep, timeout_at};

use super::ledger::Ledger;

/// News that come together are written together.
const GATHER: Duration = Duration::from_millis(20);

/// How often what is in the store is compared with what should be there, and what failed is tried again.
pub(super) const AUDIT: Duration = Duration::from_secs(1);

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

/// Publishes for ever.
pub(super) async fn publish<D: Desk>(cx: &ServiceContext, desk: &mut D) {
    let mut told: Option<String> = None;
    let mut numbers = Instant::now();
    loop {
        let next = Instant::now() + AUDIT;
        let done = desk.round(next).await;
        for conflict in desk.ledger().take_reports() {
            cx.report(conflict);
        }
        match done {
            Ok(()) => told = None,
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
