//! The options that choose metrics, tags and fields.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which metrics a component takes, and which of their fields and tags: the options that every
/// component has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterOptions {
    /// Takes only metrics whose name matches one of these patterns.
    pub namepass: Vec<String>,
    /// Characters that `*` and `?` in `namepass` do not match.
    pub namepass_separator: String,
    /// Leaves out metrics whose name matches one of these patterns.
    pub namedrop: Vec<String>,
    /// Characters that `*` and `?` in `namedrop` do not match.
    pub namedrop_separator: String,
    /// Takes only metrics that have one of these tags with a value that matches.
    pub tagpass: BTreeMap<String, Vec<String>>,
    /// Leaves out metrics that have one of these tags with a value that matches.
    pub tagdrop: BTreeMap<String, Vec<String>>,
    /// A condition in CEL that a metric must fulfil. Not supported yet.
    pub metricpass: String,
    /// Keeps only the fields whose key matches one of these patterns.
    pub fieldinclude: Vec<String>,
    /// Removes the fields whose key matches one of these patterns.
    pub fieldexclude: Vec<String>,
    /// Keeps only the tags whose key matches one of these patterns.
    pub taginclude: Vec<String>,
    /// Removes the tags whose key matches one of these patterns.
    pub tagexclude: Vec<String>,
    /// Deprecated: `fieldinclude`.
    pub fieldpass: Vec<String>,
    /// Deprecated: `fieldexclude`.
    pub fielddrop: Vec<String>,
    /// Deprecated: `fieldinclude`.
    pub pass: Vec<String>,
    /// Deprecated: `fieldexclude`.
    pub drop: Vec<String>,
}

/// Options that have a newer name.
pub(crate) const DEPRECATED: [(&str, &str); 4] = [
    ("fieldpass", "fieldinclude"),
    ("fielddrop", "fieldexclude"),
    ("pass", "fieldinclude"),
    ("drop", "fieldexclude"),
];
