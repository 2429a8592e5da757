//! All plugins that a program has.

use crate::{Kind, PluginRow};

/// The plugin tables of all crates, searched by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    rows: Vec<&'static PluginRow>,
}

impl Registry {
    /// The rows of all these tables, sorted by kind and name.
    pub fn new(tables: &[&'static [PluginRow]]) -> Self {
        let mut rows: Vec<&PluginRow> = tables.iter().flat_map(|table| table.iter()).collect();
        rows.sort_by_key(|row| (row.kind(), row.name));
        Self { rows }
    }

    /// All rows, sorted by kind and name.
    pub fn rows(&self) -> &[&'static PluginRow] {
        &self.rows
    }

    /// The plugin of that kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&'static PluginRow> {
        self.rows
            .iter()
            .copied()
            .find(|row| row.kind() == kind && row.name == name)
    }

    /// The name of the plugin that was probably meant.
    pub fn suggest(&self, kind: Kind, name: &str) -> Option<&'static str> {
        let names = self
            .rows
            .iter()
            .filter(|row| row.kind() == kind)
            .map(|row| row.name);
        muster_options::suggest(name, names)
    }
}
