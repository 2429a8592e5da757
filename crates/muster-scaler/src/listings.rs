//! A provider with its deadline and what it listed last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use muster_scaler_core::provider::{Listing, Provider};
use muster_scaler_core::{ProviderId, Reading, Time};
use parking_lot::Mutex;

use crate::clock::Clock;

/// So many removed servers are remembered, to leave them out of listings that began before.
const MOST_REMOVED: usize = 4096;

/// A provider of a pool.
#[derive(Clone, Debug)]
pub struct ProviderSetup {
    /// It.
    pub provider: Arc<dyn Provider>,
    /// How long a call may take.
    pub timeout: Duration,
}

/// Asks a provider, with deadlines.
#[derive(Debug)]
pub(crate) struct Lister {
    pub(crate) id: ProviderId,
    pub(crate) setup: ProviderSetup,
    owner: String,
    clock: Arc<Clock>,
    /// Held while it is listed, so that all who want a listing get the same.
    listing: tokio::sync::Mutex<()>,
    latest: Mutex<Latest>,
}

#[derive(Debug)]
struct Latest {
    reading: Reading<Listing>,
    /// When the last listing was asked for, whether it came or not.
    asked: Option<Time>,
    /// Servers that are gone, and since when.
    removed: VecDeque<(String, Time)>,
}

impl Lister {
    pub(crate) fn new(
        id: ProviderId,
        setup: ProviderSetup,
        owner: String,
        clock: Arc<Clock>,
    ) -> Self {
        let latest = Latest {
            reading: Reading::unknown("not listed yet"),
            asked: None,
            removed: VecDeque::new(),
        };
        Self {
            id,
            setup,
            owner,
            clock,
            listing: tokio::sync::Mutex::default(),
            latest: Mutex::new(latest),
        }
    }

    /// What was listed last.
    pub(crate) fn latest(&self) -> Reading<Listing> {
        self.latest.lock().reading.clone()
    }

    /// Whether it was last asked for a listing before `before`.
    pub(crate) fn is_due(&self, before: Time) -> bool {
        self.latest.lock().asked.is_none_or(|asked| asked < before)
    }

    /// A listing that began after `after`: one that is there, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Cancel safety
    /// Cancel safe: giving up the wait gives up the listing.
    pub(crate) async fn list_after(&self, after: Time) -> Result<Listing, String> {
        let _listing = self.listing.lock().await;
        if let Reading::Known { value, .. } = self.latest()
            && value.began > after
        {
            return Ok(value);
        }
        let began = self.clock.now();
        self.latest.lock().asked = Some(began);
        let listed = self.setup.provider.list_owned(&self.owner);
        let listed = match muster_tasks::timeout(self.setup.timeout, listed).await {
            Ok(Ok(mut listing)) => {
                // By our clock, and whatever the provider thinks of its filters.
                listing.began = began;
                listing.servers.retain(|s| s.belongs_to(&self.owner));
                Ok(listing)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(late) => Err(late.to_string()),
        };
        let mut latest = self.latest.lock();
        latest.reading = match &listed {
            Ok(listing) => {
                let mut listing = listing.clone();
                leave_out(&mut listing, &latest.removed);
                Reading::known(listing, began)
            }
            Err(why) => Reading::unknown(why),
        };
        listed
    }

    /// Remembers that a server is gone: a listing that began before may still have it.
    pub(crate) fn removed(&self, id: &str, at: Time) {
        let mut latest = self.latest.lock();
        latest.removed.push_back((id.to_owned(), at));
        if latest.removed.len() > MOST_REMOVED {
            latest.removed.pop_front();
        }
        let Latest {
            reading, removed, ..
        } = &mut *latest;
        if let Reading::Known { value, .. } = reading {
            leave_out(value, removed);
        }
    }
}

fn leave_out(listing: &mut Listing, removed: &VecDeque<(String, Time)>) {
    let began = listing.began;
    let gone = |id: &str| removed.iter().any(|(gone, at)| gone == id && began <= *at);
    listing.servers.retain(|server| !gone(&server.id));
}
