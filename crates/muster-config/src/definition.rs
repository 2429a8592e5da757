//! A component's configuration as it was written.

use std::fmt;
use std::path::PathBuf;

use muster_plugin::{ComponentId, Kind, Registry};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{mask, portable};

/// Where a definition came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line of the table's header, from 1.
        line: u32,
    },
    /// The API.
    Api,
    /// The built-in set of host inputs.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Api => f.write_str("the API"),
            Self::Default => f.write_str("the built-in set"),
        }
    }
}

/// A component's configuration as it was written: environment variables are not resolved yet.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The component that this defines.
    #[serde(with = "id")]
    pub id: ComponentId,
    /// The plugin's name.
    pub plugin: String,
    /// The whole table as written, with the options that every component has, without `id`.
    #[serde(with = "portable")]
    pub options: Table,
    /// Where it came from.
    pub source: Source,
    /// Whether the component is not to run.
    #[serde(default)]
    pub paused: bool,
    /// For a processor, its place among the processors as they were written; else 0.
    #[serde(default)]
    pub position: u64,
}

impl Definition {
    /// Whether both ask for the same: all is equal but where it was written.
    pub fn same_configuration(&self, other: &Self) -> bool {
        let Self {
            id,
            plugin,
            options,
            source: _,
            paused,
            position,
        } = self;
        *id == other.id
            && *plugin == other.plugin
            && *options == other.options
            && *paused == other.paused
            && *position == other.position
    }

    /// The kind of component.
    pub fn kind(&self) -> Kind {
        self.id.kind
    }

    /// The options as they may be shown: secrets are `***`.
    pub fn masked(&self, registry: &Registry) -> Table {
        let docs = mask::documented(registry, self.id.kind, &self.plugin);
        mask::table(&self.options, &docs)
    }
}

impl fmt::Debug for Definition {
    /// Without the options: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("id", &self.id.to_string())
            .field("plugin", &self.plugin)
            .field("source", &self.source)
            .field("paused", &self.paused)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// A component's ID as `{"kind": "input", "id": "cpu"}`.
mod id {
    use super::{ComponentId, Deserialize, Kind, Serialize};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parts {
        kind: Kind,
        id: String,
    }

    pub(super) fn serialize<S: Serializer>(id: &ComponentId, s: S) -> Result<S::Ok, S::Error> {
        Parts {
            kind: id.kind,
            id: id.id.to_string(),
        }
        .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<ComponentId, D::Error> {
        let Parts { kind, id } = Parts::deserialize(d)?;
        Ok(ComponentId::new(kind, id))
    }
}
