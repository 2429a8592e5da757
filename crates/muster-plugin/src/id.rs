//! Which component is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a component does.
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
    /// Asks others whether they are alive, and brings that as metrics.
    Check,
    /// Tells others what the checks found.
    Publisher,
    /// Brings and removes servers.
    Scaler,
}

impl Kind {
    /// All kinds, those of the data path first, in its order.
    pub const ALL: [Self; 7] = [
        Self::Input,
        Self::Processor,
        Self::Aggregator,
        Self::Output,
        Self::Check,
        Self::Publisher,
        Self::Scaler,
    ];

    /// The word for one component of this kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Processor => "processor",
            Self::Aggregator => "aggregator",
            Self::Output => "output",
            Self::Check => "check",
            Self::Publisher => "publisher",
            Self::Scaler => "scaler",
        }
    }

    /// The word for several.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Input => "inputs",
            Self::Processor => "processors",
            Self::Aggregator => "aggregators",
            Self::Output => "outputs",
            Self::Check => "checks",
            Self::Publisher => "publishers",
            Self::Scaler => "scalers",
        }
    }

    /// The table of the configuration below which components of this kind stand. Checks and
    /// publishers share one: their plugins' names differ. A scaler is that table itself.
    pub fn table(self) -> &'static str {
        match self {
            Self::Check | Self::Publisher => "sentinel",
            Self::Scaler => "scaler",
            other => other.plural(),
        }
    }

    /// Whether what a change does to a component of this kind changes the way of the metrics.
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Processor | Self::Aggregator | Self::Output)
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
