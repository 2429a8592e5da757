//! `processors.defaults`: fields and tags that every metric is to have.
//!
//! A field or tag counts as missing if it is not there, or is an empty text or nothing but blanks.

use std::collections::BTreeMap;

use muster_metric::{Text, Value};
use muster_options::{JsonSchema, Options};
use muster_plugin::{Build, FormatUse, PluginRow, ProcessContext, Processor, Selected};
use serde::{Deserialize, Serialize};

use crate::scalar::Scalar;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "defaults",
    summary: "adds fields and tags that are missing or empty",
    options: Defaults::describe,
    format: FormatUse::None,
    build: Build::Processor(|cx| Ok(Box::new(Defaults::parse(cx.options())?))),
};

/// What metrics get if they lack it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Defaults {
    /// Fields with their values.
    fields: BTreeMap<String, Scalar>,
    /// Tags with their values.
    tags: BTreeMap<String, String>,
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

impl Processor for Defaults {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let batch = metrics.batch();
        let fields: Vec<(&str, Text, &Scalar)> = self
            .fields
            .iter()
            .map(|(key, v)| (key.as_str(), batch.text(key), v))
            .collect();
        let tags: Vec<(&str, Text, Text)> = self
            .tags
            .iter()
            .map(|(key, value)| (key.as_str(), batch.text(key), batch.text(value)))
            .collect();
        metrics.for_each(|mut metric| {
            for (key, place, default) in &fields {
                let missing = match metric.field(key) {
                    None => true,
                    Some(Value::Text(text)) => is_blank(text),
                    Some(_) => false,
                };
                if missing {
                    metric.set_field(*place, default.value());
                }
            }
            for (key, place, default) in &tags {
                if metric.tag(key).is_none_or(is_blank) {
                    metric.set_tag(*place, *default);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_refused};

    #[test]
    fn fills_in() {
        check(
            "defaults",
            "[fields]\nstatus = 'N/A'\nidle = 0\nok = true\nload = 0.5\n[tags]\nzone = 'x'",
            "m status=\"\",ok=false 1\nm,zone=y idle=3i,status=\" \" 2\nm load=1 3",
            "m,zone=x status=\"N/A\",ok=false,idle=0i,load=0.5 1\n\
             m,zone=y idle=3i,status=\"N/A\",load=0.5,ok=true 2\n\
             m,zone=x load=1,idle=0i,ok=true,status=\"N/A\" 3",
        );
        check("defaults", "", "m v=1 1", "m v=1 1");
    }

    #[test]
    fn says_what_is_wrong() {
        check_refused("defaults", "[fields]\na = [1]\n", &["fields.a"]);
        check_refused("defaults", "[field]\na = 1\n", &["field"]);
    }
}
