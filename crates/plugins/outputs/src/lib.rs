//! Outputs: write metrics to the world.

mod discard;
mod encode;
mod file;

use muster_plugin::PluginRow;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[discard::ROW, file::ROW];
