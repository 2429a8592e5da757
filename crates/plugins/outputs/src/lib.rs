//! Outputs: write metrics to the world.

mod discard;
mod encode;
mod exec;
mod execd;
mod file;
mod health;
mod http;
mod http_headers;
mod influx_lines;
mod influxdb;
mod influxdb_v2;
mod prometheus_client;
mod socket_writer;

use muster_plugin::PluginRow;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[
    discard::ROW,
    exec::ROW,
    execd::ROW,
    file::ROW,
    health::ROW,
    http::ROW,
    influxdb::ROW,
    influxdb_v2::ROW,
    prometheus_client::ROW,
    socket_writer::ROW,
];
