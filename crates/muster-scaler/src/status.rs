//! What is going on, for the API, the command line and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_scaler_core::config::Mode;
use muster_scaler_core::provider::Listing;
use muster_scaler_core::{Alarm, Decision, Ledger, ProviderId, Reading, Time};
use serde::{Deserialize, Serialize};

use crate::counters::Counts;

/// The scaler as of its last decision. Cheap to clone and to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was so.
    pub at: Time,
    /// What the scaler may do.
    pub mode: Mode,
    /// Whose servers these are.
    pub owner: String,
    /// Whether this scaler may act; if not, why.
    pub lease: Result<(), String>,
    /// The servers, paused hosts and what is remembered.
    pub ledger: Arc<Ledger>,
    /// The last decision with its explanation.
    pub decision: Option<Arc<Decision>>,
    /// What somebody should look at: the scaler's own troubles, then those of the decision.
    pub alarms: Vec<Alarm>,
    /// How the providers are.
    pub providers: BTreeMap<ProviderId, ProviderHealth>,
    /// How many actions go on.
    pub actions: usize,
    /// What was counted since the start.
    pub counts: Counts,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            at: Time::default(),
            mode: Mode::default(),
            owner: String::new(),
            lease: Err("not started yet".to_owned()),
            ledger: Arc::default(),
            decision: None,
            alarms: Vec::new(),
            providers: BTreeMap::new(),
            actions: 0,
            counts: Counts::default(),
        }
    }
}

/// How a provider is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// How many servers of ours it listed last; none if it did not answer.
    pub servers: Option<usize>,
    /// Whether that was all.
    pub complete: bool,
    /// How old that is, in milliseconds.
    pub age_ms: Option<u64>,
    /// What was wrong.
    pub error: Option<String>,
}

pub(crate) fn provider(reading: &Reading<Listing>, now: Time) -> ProviderHealth {
    let listing = reading.value();
    let age = reading.age(now);
    ProviderHealth {
        servers: listing.map(|listing| listing.servers.len()),
        complete: listing.is_some_and(|listing| listing.complete),
        age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        error: crate::controller::why(reading).map(str::to_owned),
    }
}
