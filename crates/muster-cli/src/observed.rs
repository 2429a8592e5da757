//! What the API says about a component that runs, as far as it is shown here.

use muster_control::api::ComponentView;
use serde::Deserialize;

/// State and counters; what an older agent does not say is zero.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Observed {
    pub(crate) state: String,
    pub(crate) since: i64,
    pub(crate) why: Option<String>,
    pub(crate) metrics: u64,
    pub(crate) filtered: u64,
    pub(crate) dropped: u64,
    pub(crate) rejected: u64,
    pub(crate) errors: u64,
    pub(crate) timeouts: u64,
    pub(crate) panics: u64,
    pub(crate) startup_errors: u64,
    pub(crate) skipped: u64,
    pub(crate) runs: u64,
    pub(crate) run_ns: u64,
    pub(crate) last_run_ns: u64,
    pub(crate) longest_run_ns: u64,
    pub(crate) last_run_at: Option<i64>,
    pub(crate) last_error: Option<LastError>,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct LastError {
    pub(crate) message: String,
    pub(crate) at: i64,
}

impl Observed {
    /// What is observed of a component.
    pub(crate) fn of(view: &ComponentView) -> Self {
        Self::deserialize(&view.observed).unwrap_or_default()
    }

    /// Everything that went wrong so far: timeouts, panics and failed starts are errors, too.
    pub(crate) fn failures(&self) -> u64 {
        self.errors
    }
}
