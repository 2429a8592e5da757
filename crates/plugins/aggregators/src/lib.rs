//! Aggregators: summarize metrics over a window.
//!
//! One file or folder for each, named as in the configuration, and one row in [`PLUGINS`]. The
//! engine keeps the window; an aggregator keeps what it needs of each series, for at most
//! `max_series` of them (an option of Muster's own). Metrics of further series are left out of the
//! window's summary, and their number is logged at its end. An open window survives a change of
//! options and a restart.

mod basicstats;
mod r#final;
mod merge;
mod minmax;
mod saved;
mod series;
mod valuecounter;

#[cfg(test)]
mod testing;

use muster_plugin::PluginRow;

/// All aggregators of this crate, by name.
pub const PLUGINS: &[PluginRow] = &[
    basicstats::ROW,
    r#final::ROW,
    merge::ROW,
    minmax::ROW,
    valuecounter::ROW,
];

/// The default of `max_series`.
const MAX_SERIES: u32 = 100_000;
