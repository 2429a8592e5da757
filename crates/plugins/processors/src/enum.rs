//! `processors.enum`: maps the values of tags and fields to other values.
//!
//! A value is looked up by its text: `true`, `3`, `0.5` and texts as they are. A value that the
//! table lacks becomes the default or, without one, stays, and no destination is made.

use std::collections::BTreeMap;

use muster_metric::{MetricMut, Text};
use muster_options::{Globs, JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Processor, Selected,
};
use serde::{Deserialize, Serialize};

use crate::pattern::globs;
use crate::scalar::{Scalar, push_text};

pub(crate) const ROW: PluginRow = PluginRow {
    name: "enum",
    summary: "maps values of tags and fields by a table",
    options: EnumOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(build),
};

/// Which values become which.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct EnumOptions {
    /// The mappings, done in this order.
    mapping: Vec<MappingOptions>,
}

/// One mapping.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MappingOptions {
    /// Keys of tags to map, with wildcards.
    tags: Vec<String>,
    /// Keys of fields to map, with wildcards.
    fields: Vec<String>,
    /// A further key of tags, with wildcards; `tags` is newer.
    tag: String,
    /// A further key of fields, with wildcards; `fields` is newer.
    field: String,
    /// The tag or field that gets the mapped value; by default the one that is mapped.
    dest: String,
    /// What values become that the table lacks. Without it they stay as they are.
    default: Option<Scalar>,
    /// The table: what becomes what.
    value_mappings: BTreeMap<String, Scalar>,
}

/// A value, and how it looks in a tag.
#[derive(Debug)]
struct Mapped {
    value: Scalar,
    text: String,
}

impl From<&Scalar> for Mapped {
    fn from(value: &Scalar) -> Self {
        Self {
            text: value.to_text(),
            value: value.clone(),
        }
    }
}

#[derive(Debug)]
struct Mapping {
    tags: Globs,
    fields: Globs,
    dest: Option<Box<str>>,
    default: Option<Mapped>,
    table: BTreeMap<String, Mapped>,
}

#[derive(Debug)]
struct Enum {
    mappings: Vec<Mapping>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Processor>> {
    let options = EnumOptions::parse(cx.options())?;
    let (mut mappings, mut errors) = (Vec::new(), Vec::new());
    for (at, mapping) in options.mapping.iter().enumerate() {
        match Mapping::new(&format!("mapping[{at}]"), mapping) {
            Ok(mapping) => mappings.push(mapping),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(Box::new(Enum { mappings }))
    } else {
        Err(errors)
    }
}

impl Mapping {
    fn new(path: &str, options: &MappingOptions) -> Result<Self, OptionError> {
        let keys = |name: &str, list: &[String], single: &String| {
            let single = (!single.is_empty()).then_some(single);
            let all: Vec<String> = list.iter().chain(single).cloned().collect();
            globs(&format!("{path}.{name}"), &all)
        };
        let tags = keys("tags", &options.tags, &options.tag)?;
        let fields = keys("fields", &options.fields, &options.field)?;
        if tags.is_empty() && fields.is_empty() {
            let error = OptionError::new(path, "names no tag and no field");
            return Err(error.with_hint("give `tags` or `fields`"));
        }
        Ok(Self {
            tags,
            fields,
            dest: (!options.dest.is_empty()).then(|| options.dest.as_str().into()),
            default: options.default.as_ref().map(Mapped::from),
            table: options
                .value_mappings
                .iter()
                .map(|(k, v)| (k.clone(), v.into()))
                .collect(),
        })
    }

    fn get(&self, text: &str) -> Option<&Mapped> {
        self.table.get(text).or(self.default.as_ref())
    }

    fn map_tags(&self, metric: &mut MetricMut<'_>, dest: Option<Text>) {
        let mut found = None;
        for at in 0..metric.tag_count() {
            let (key, value) = metric.tag_at(at);
            if !self.tags.matches(key) {
                continue;
            }
            let Some(mapped) = self.get(value) else {
                continue;
            };
            match dest {
                // The tags move when one is added, so that waits until all are seen.
                Some(_) => found = Some(mapped),
                None => metric.set_tag_value_at(at, &mapped.text),
            }
        }
        if let (Some(dest), Some(mapped)) = (dest, found) {
            metric.set_tag(dest, &mapped.text);
        }
    }

    fn map_fields(&self, metric: &mut MetricMut<'_>, dest: Option<Text>, scratch: &mut String) {
        for at in 0..metric.field_count() {
            let (key, value) = metric.field_at(at);
            if !self.fields.matches(key) {
                continue;
            }
            scratch.clear();
            push_text(value, scratch);
            let Some(mapped) = self.get(scratch) else {
                continue;
            };
            match dest {
                // New fields come last: those before keep their places.
                Some(dest) => metric.set_field(dest, mapped.value.value()),
                None => metric.set_field_value_at(at, mapped.value.value()),
            }
        }
    }
}

impl Processor for Enum {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let batch = metrics.batch();
        let dests: Vec<Option<Text>> = self
            .mappings
            .iter()
            .map(|m| m.dest.as_ref().map(|dest| batch.text(dest)))
            .collect();
        let mut scratch = String::new();
        metrics.for_each(|mut metric| {
            for (mapping, dest) in self.mappings.iter().zip(&dests) {
                if !mapping.fields.is_empty() {
                    mapping.map_fields(&mut metric, *dest, &mut scratch);
                }
                if !mapping.tags.is_empty() {
                    mapping.map_tags(&mut metric, *dest);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_refused, run};
    use proptest::prelude::*;

    const TABLE: &str =
        "[mapping.value_mappings]\ngreen = 1\namber = 2.5\nred = 'stop'\ntrue = false\n7 = 70";

    fn with(options: &str) -> String {
        format!("[[mapping]]\n{options}\n{TABLE}")
    }

    #[test]
    fn maps_fields() {
        let lines = "m a=\"green\",b=\"amber\",c=\"red\",d=true,e=7i,f=7u,g=7,h=\"black\" 1";
        let want = "m a=1i,b=2.5,c=\"stop\",d=false,e=70i,f=70i,g=70i,h=\"black\" 1";
        check("enum", &with("fields = ['*']"), lines, want);
        check("enum", &with("field = 'a'"), "m a=\"green\" 1", "m a=1i 1");
        check(
            "enum",
            &with("field = 'a'\ndest = 'code'"),
            "m a=\"green\" 1",
            "m a=\"green\",code=1i 1",
        );
        check(
            "enum",
            &with("field = 'a'\ndest = 'code'"),
            "m a=\"black\" 1",
            "m a=\"black\" 1",
        );
        check(
            "enum",
            &with("fields = ['a']\ndefault = 0"),
            "m a=\"black\",b=\"x\" 1",
            "m a=0i,b=\"x\" 1",
        );
    }

    #[test]
    fn maps_tags() {
        check(
            "enum",
            &with("tags = ['c*']"),
            "m,ca=green,cb=amber,z=red v=1 1",
            "m,ca=1,cb=2.5,z=red v=1 1",
        );
        check(
            "enum",
            &with("tag = 'z'\ndest = 'a'"),
            "m,z=red v=1 1",
            "m,a=stop,z=red v=1 1",
        );
        check(
            "enum",
            &with("tags = ['z']\nfields = ['z']"),
            "m,z=red z=\"green\" 1",
            "m,z=stop z=1i 1",
        );
    }

    #[test]
    fn says_what_is_wrong() {
        check_refused("enum", "[[mapping]]\ndest = 'x'", &["mapping[0]"]);
        check_refused("enum", "[[mapping]]\ntags = ['[']", &["mapping[0].tags[0]"]);
        check_refused(
            "enum",
            "[[mapping]]\ntags=['a']\n[mapping.value_mappings]\na = [1]",
            &["mapping[0].value_mappings.a"],
        );
    }

    proptest! {
        #[test]
        fn never_panics(value in "[^\\s\"\\\\,=]{1,10}", key in "[a-z*?]{1,4}", dest in "[a-z]{0,2}") {
            let options = with(&format!("fields = ['{key}']\ntags = ['{key}']\ndest = '{dest}'\ndefault = 'x'"));
            run("enum", &options, &format!("m,abc={value},d=true ab=\"{value}\",b=true,abc=1.5 1"));
        }
    }
}
