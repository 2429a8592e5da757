//! `discard`: throws all metrics away. For tests, and to try an input without writing anywhere.

use async_trait::async_trait;
use muster_metric::Metrics;
use muster_options::JsonSchema;
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Options, Output, OutputContext, PluginRow, WriteError,
};
use serde::{Deserialize, Serialize};

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "discard",
    summary: "throws all metrics away",
    options: Discard::describe,
    format: FormatUse::None,
    build: Build::Output(build),
};

/// Throws all metrics away.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Discard {}

fn build(cx: &BuildContext) -> Built<Box<dyn Output>> {
    Ok(Box::new(Discard::parse(cx.options())?))
}

#[async_trait]
impl Output for Discard {
    async fn write(&mut self, _: &OutputContext, _: &Metrics) -> Result<(), WriteError> {
        Ok(())
    }
}
