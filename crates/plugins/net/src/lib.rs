//! Inputs that speak to or listen on the network.

mod go_pprof;
mod http;
mod http_client;
mod http_listener;
mod http_listener_v2;
mod http_response;
mod influx_write;
mod influxdb_listener;
mod influxdb_v2_listener;
mod net_response;
mod prometheus;
mod socket_listener;
#[cfg(test)]
mod testing;

use muster_plugin::PluginRow;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[
    go_pprof::ROW,
    http::ROW,
    http_listener_v2::ROW,
    http_response::ROW,
    influxdb_listener::ROW,
    influxdb_v2_listener::ROW,
    net_response::ROW,
    prometheus::ROW,
    socket_listener::ROW,
];
