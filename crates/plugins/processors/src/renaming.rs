//! What `clone` and `override` share: another name and more tags.

use std::collections::BTreeMap;

use muster_metric::{Batch, MetricMut, Text};
use muster_options::JsonSchema;
use serde::{Deserialize, Serialize};

/// A new name and new tags.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Renaming {
    /// The new name of the measurement; the old one is kept if this is empty.
    pub(crate) name_override: String,
    /// Put before the name, also before that of `name_override`.
    pub(crate) name_prefix: String,
    /// Put after the name.
    pub(crate) name_suffix: String,
    /// Tags to set; a tag that is there already gets this value.
    pub(crate) tags: BTreeMap<String, String>,
}

/// A renaming with its texts written into a batch.
pub(crate) struct Prepared<'a> {
    renaming: &'a Renaming,
    name: Option<Text>,
    tags: Vec<(Text, Text)>,
    scratch: String,
}

impl Renaming {
    /// Writes what all metrics get into the batch.
    pub(crate) fn prepare(&self, batch: &mut Batch) -> Prepared<'_> {
        let name = (!self.name_override.is_empty()).then(|| {
            let Self {
                name_prefix,
                name_override,
                name_suffix,
                ..
            } = self;
            batch.text(&format!("{name_prefix}{name_override}{name_suffix}"))
        });
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| (batch.text(key), batch.text(value)));
        Prepared {
            renaming: self,
            name,
            tags: tags.collect(),
            scratch: String::new(),
        }
    }
}

impl Prepared<'_> {
    /// Gives the metric its name and tags.
    pub(crate) fn apply(&mut self, metric: &mut MetricMut<'_>) {
        let Renaming {
            name_prefix,
            name_suffix,
            ..
        } = self.renaming;
        if let Some(name) = self.name {
            metric.set_name(name);
        } else if !name_prefix.is_empty() || !name_suffix.is_empty() {
            self.scratch.clear();
            self.scratch.push_str(name_prefix);
            self.scratch.push_str(metric.name());
            self.scratch.push_str(name_suffix);
            metric.set_name(&self.scratch);
        }
        for (key, value) in &self.tags {
            metric.set_tag(*key, *value);
        }
    }
}
