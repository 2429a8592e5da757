//! Which options of a table are the plugin's own, and which every component has.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use muster_options::{OptionDoc, OptionError, Options};
use muster_plugin::{FormatUse, Kind, PluginRow};
use parking_lot::Mutex;
use toml::Table;

use crate::settings::{DEPRECATED, FilterOptions, options_of_kind};

/// Options that Telegraf ignores where they mean nothing. Here they are told of.
const IGNORED_ELSEWHERE: [&str; 24] = [
    "alias",
    "always_include_local_tags",
    "always_include_global_tags",
    "buffer_directory",
    "buffer_strategy",
    "collection_jitter",
    "collection_offset",
    "data_format",
    "delay",
    "drop_original",
    "flush_interval",
    "flush_jitter",
    "grace",
    "interval",
    "metric_batch_size",
    "metric_buffer_limit",
    "name_override",
    "name_prefix",
    "name_suffix",
    "order",
    "period",
    "precision",
    "startup_error_behavior",
    "tags",
];

/// A component's table, taken apart.
pub(super) struct Split {
    pub(super) common: Table,
    pub(super) filter: Table,
    pub(super) plugin: Table,
    pub(super) warnings: Vec<OptionError>,
}

impl Split {
    /// An option that the plugin has itself is the plugin's, even if every component has one of
    /// that name.
    pub(super) fn new(row: &PluginRow, table: &Table) -> Self {
        let own = own_options(row);
        let names = names(row.kind());
        let mut split = Self {
            common: Table::new(),
            filter: Table::new(),
            plugin: Table::new(),
            warnings: Vec::new(),
        };
        for (key, value) in table {
            let is = |names: &[String]| names.iter().any(|name| name == key);
            let place = if own.iter().any(|doc| doc.name == *key) {
                &mut split.plugin
            } else if is(&names.common) {
                &mut split.common
            } else if is(&names.filter) {
                if let Some((_, new)) = DEPRECATED.iter().find(|(old, _)| old == key) {
                    let warning = OptionError::new(key, format!("`{key}` is deprecated"));
                    split
                        .warnings
                        .push(warning.with_hint(format!("use `{new}`")));
                }
                &mut split.filter
            } else if !applies(row, key) {
                let kind = row.kind();
                let message = format!("`{key}` has no effect on the {kind} `{}`", row.name);
                split.warnings.push(OptionError::new(key, message));
                continue;
            } else {
                &mut split.plugin
            };
            place.insert(key.clone(), value.clone());
        }
        split
    }
}

fn applies(row: &PluginRow, key: &str) -> bool {
    let formatted = row.format != FormatUse::None && key == "data_format";
    formatted || !IGNORED_ELSEWHERE.contains(&key)
}

struct Names {
    common: Vec<String>,
    filter: Vec<String>,
}

fn names(kind: Kind) -> &'static Names {
    static NAMES: LazyLock<[Names; Kind::ALL.len()]> = LazyLock::new(|| {
        Kind::ALL.map(|kind| {
            let names = |docs: Vec<OptionDoc>| docs.into_iter().map(|doc| doc.name).collect();
            Names {
                common: names(options_of_kind(kind)),
                filter: names(FilterOptions::describe()),
            }
        })
    });
    &NAMES[kind as usize]
}

/// The plugin's own options. Descriptions are made from schemas, which takes time: each is kept.
pub(super) fn own_options(row: &PluginRow) -> Arc<[OptionDoc]> {
    type Known = HashMap<usize, Arc<[OptionDoc]>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    // Rows live as long as the program, and there are as many functions as plugins at most.
    let key = row.options as usize;
    let known = KNOWN.lock().get(&key).cloned();
    known.unwrap_or_else(|| {
        let docs: Arc<[OptionDoc]> = (row.options)().into();
        KNOWN.lock().insert(key, Arc::clone(&docs));
        docs
    })
}
