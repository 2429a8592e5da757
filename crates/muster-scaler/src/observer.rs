//! Who looks, beside at the providers.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use muster_scaler_core::{JobRun, Ledger, PoolObservation, Reading, RunnerView, ServerName};

use crate::clock::Moment;

/// What was seen beside the providers' listings.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// By the pool's name.
    pub pools: BTreeMap<String, PoolObservation>,
    /// The scaler's own servers as GitLab sees them.
    pub runners: Reading<BTreeMap<ServerName, RunnerView>>,
    /// Jobs that ended well since this was last told.
    pub ended: Vec<JobRun>,
}

impl Seen {
    /// Nothing, for this reason.
    pub fn nothing(why: &str) -> Self {
        Self {
            pools: BTreeMap::new(),
            runners: Reading::unknown(why),
            ended: Vec::new(),
        }
    }
}

/// Looks at the pools: Prometheus and GitLab.
#[async_trait]
pub trait Observe: Send + Sync + fmt::Debug {
    /// Looks now. What a source does not answer in its time is unknown. One look goes on at a time;
    /// it may be dropped at any moment, which closes its connections.
    async fn observe(&self, now: Moment, ledger: &Ledger) -> Seen;
}
