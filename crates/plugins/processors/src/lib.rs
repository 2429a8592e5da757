//! Processors: edit, drop or copy metrics between inputs and outputs.
//!
//! One file or folder for each, named as in the configuration, and one row in [`PLUGINS`]. The
//! stateless ones edit the batch in place and allocate nothing for a single metric: text that
//! many metrics get is written into the batch once, and scratch buffers live as long as the call.
//!
//! `batch` and `order` of Telegraf's processors, their filters and their IDs belong to the engine.

mod clone;
mod converter;
mod dedup;
mod defaults;
mod r#enum;
mod filter;
mod r#override;
mod pattern;
mod printer;
mod regex;
mod rename;
mod renaming;
mod saved;
mod scalar;
mod strings;
mod topk;

#[cfg(test)]
mod testing;

use muster_plugin::PluginRow;

/// All processors of this crate, by name.
pub const PLUGINS: &[PluginRow] = &[
    clone::ROW,
    converter::ROW,
    dedup::ROW,
    defaults::ROW,
    r#enum::ROW,
    filter::ROW,
    r#override::ROW,
    printer::ROW,
    regex::ROW,
    rename::ROW,
    strings::ROW,
    topk::ROW,
];
