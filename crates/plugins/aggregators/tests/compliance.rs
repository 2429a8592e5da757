//! Every aggregator of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_plugin::compliance::{Case, check_table};
use muster_plugins_aggregators::PLUGINS;

#[muster_tasks::test]
async fn every_plugin_complies() {
    let cases = [
        Case::new("basicstats", "stats = ['count', 'sum', 'rate']"),
        Case::new("final", "output_strategy = 'periodic'"),
        Case::new("merge", "round_timestamp_to = '1s'"),
        Case::new("minmax", ""),
        // The samples need not have such a field.
        Case::new("valuecounter", "fields = ['status', 'value']").metrics(0),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
