//! Inputs that are about no particular service: exec, file, tail, mock.

mod mock;

use muster_plugin::PluginRow;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[mock::ROW];
