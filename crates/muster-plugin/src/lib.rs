//! What a plugin author sees.
//!
//! A plugin is one file or folder with its name, an options struct, an implementation of one of
//! the traits here, and one row ([`PluginRow`]) in its crate's table. `docs/specs/plugin.md` says
//! what it must and must not do.
//!
//! ```
//! use async_trait::async_trait;
//! use muster_metric::Batch;
//! use muster_plugin::{Build, FormatUse, GatherContext, Input, Options, PluginError, PluginRow};
//! use muster_options::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Says how much it is.
//! #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Answer {
//!     /// How much.
//!     amount: i64,
//! }
//!
//! #[async_trait]
//! impl Input for Answer {
//!     async fn gather(&mut self, _: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
//!         batch.metric("answer").field("amount", self.amount).untimed();
//!         Ok(())
//!     }
//! }
//!
//! const ROW: PluginRow = PluginRow {
//!     name: "answer",
//!     summary: "says how much it is",
//!     options: Answer::describe,
//!     format: FormatUse::None,
//!     build: Build::Input(|cx| Ok(Box::new(Answer::parse(cx.options())?))),
//! };
//! # assert_eq!(ROW.name, "answer");
//! ```

mod aggregator;
mod build;
#[cfg(feature = "compliance")]
pub mod compliance;
mod context;
mod error;
mod id;
mod input;
mod output;
mod processor;
mod registry;
mod resources;

pub use aggregator::Aggregator;
pub use build::{Build, BuildContext, Built, FormatUse, PluginRow};
pub use context::{Emit, GatherContext, OutputContext, ServiceContext, StartContext, Telemetry};
pub use error::{PluginError, WriteError};
pub use id::{ComponentId, Kind};
pub use input::{Input, ServiceInput};
pub use muster_options::Options;
pub use output::Output;
pub use processor::{ProcessContext, Processor, Selected, StatefulProcessor};
pub use registry::Registry;
pub use resources::{ResourceTaken, Resources};
