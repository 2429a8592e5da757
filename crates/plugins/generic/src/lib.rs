//! Inputs that are about no particular service: exec, file, tail, mock.

mod encoding;
mod exec;
mod execd;
mod feed;
mod file;
mod gctrace;
mod internal;
mod mock;
mod paths;
mod tail;
#[cfg(test)]
mod testing;

use muster_plugin::PluginRow;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[
    exec::ROW,
    execd::ROW,
    file::ROW,
    gctrace::ROW,
    internal::ROW,
    mock::ROW,
    tail::ROW,
];
