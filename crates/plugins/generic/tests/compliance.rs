//! Every input of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_plugin::compliance::{Case, check_table};
use muster_plugins_generic::PLUGINS;

#[muster_tasks::test]
async fn every_plugin_complies() {
    let cases = [
        Case::new("mock", "sequence = true"),
        Case::new(
            "mock",
            "fault = 'slow'\nslow = '1ms'\nstep = [{ name = 'a', step = 1.0 }]",
        ),
        Case::new("mock", "fault = 'error'").offline(),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
