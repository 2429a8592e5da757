//! Which component is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a component does in the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Brings metrics.
    Input,
    /// Changes metrics.
    Processor,
    /// Summarizes metrics over a window.
    Aggregator,
    /// Writes metrics.
    Output,
}

impl Kind {
    /// All kinds, in the order of the data path.
    pub const ALL: [Self; 4] = [Self::Input, Self::Processor, Self::Aggregator, Self::Output];

    /// The word for one component of this kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Processor => "processor",
            Self::Aggregator => "aggregator",
            Self::Output => "output",
        }
    }

    /// The word for several, which is also the name of the table in the configuration.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Input => "inputs",
            Self::Processor => "processors",
            Self::Aggregator => "aggregators",
            Self::Output => "outputs",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ();

    /// Reads the singular or the plural.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|k| k.as_str() == text || k.plural() == text)
            .ok_or(())
    }
}

/// A component's identity: its kind and its ID, unique within the kind. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    /// The kind.
    pub kind: Kind,
    /// The ID.
    pub id: Arc<str>,
}

impl ComponentId {
    /// The identity of a component.
    pub fn new(kind: Kind, id: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            id: id.into(),
        }
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.plural(), self.id)
    }
}
