//! Inputs that speak to or listen on the network.

mod socket_listener;
#[cfg(test)]
mod testing;

use muster_plugin::PluginRow;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[socket_listener::ROW];
