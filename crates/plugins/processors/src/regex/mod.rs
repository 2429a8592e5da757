//! `processors.regex`: changes values and names by regular expressions.
//!
//! Patterns and replacements are written as in Go (see the module `go`): `${1}` and `${name}` are
//! the groups. First values of tags are changed, then values of text fields, then names of tags,
//! of fields, and the measurement's. Every match in a value is replaced; what does not match stays.
//!
//! A pattern with named groups and without a replacement is a batch: each named group that took
//! part in the match becomes a tag or field of its name.

mod go;

#[cfg(test)]
mod tests;

use ::regex::Regex as Compiled;
use muster_metric::{MetricMut, Value};
use muster_options::{Globs, JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Processor, Selected,
};
use serde::{Deserialize, Serialize};

use crate::pattern::globs;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "regex",
    summary: "changes values and names by regular expressions",
    options: RegexOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(build),
};

/// What to change.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RegexOptions {
    /// Values of tags.
    tags: Vec<TagOptions>,
    /// Values of text fields.
    fields: Vec<FieldOptions>,
    /// Keys of tags.
    tag_rename: Vec<KeyOptions>,
    /// Keys of fields.
    field_rename: Vec<KeyOptions>,
    /// Names of measurements.
    metric_rename: Vec<NameOptions>,
}

/// A change of tag values.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TagOptions {
    /// The tag's key, with wildcards.
    key: String,
    /// The regular expression that the value must match.
    pattern: String,
    /// What each match becomes; `${1}` and `${name}` are the groups of the match.
    replacement: String,
    /// The tag that gets the result; by default the one whose value it is.
    result_key: String,
    /// Append the result to what the tag `result_key` holds already.
    append: bool,
}

/// A change of field values.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FieldOptions {
    /// The field's key, with wildcards.
    key: String,
    /// The regular expression that the value must match.
    pattern: String,
    /// What each match becomes; `${1}` and `${name}` are the groups of the match.
    replacement: String,
    /// The field that gets the result; by default the one whose value it is.
    result_key: String,
    /// Append the result to what the field `result_key` holds already.
    append: bool,
}

/// A change of keys.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct KeyOptions {
    /// The regular expression that the key must match.
    pattern: String,
    /// What each match becomes; `${1}` and `${name}` are the groups of the match.
    replacement: String,
    /// What happens if there is a tag or field of the new name already.
    result_key: Collision,
}

/// A change of measurements' names.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NameOptions {
    /// The regular expression that the name must match.
    pattern: String,
    /// What each match becomes; `${1}` and `${name}` are the groups of the match.
    replacement: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Collision {
    /// The one that is there stays, and the other keeps its old name.
    #[default]
    Keep,
    /// The one that is there is replaced.
    Overwrite,
}

/// A change of values.
#[derive(Debug)]
struct Change {
    keys: Globs,
    pattern: Compiled,
    replacement: String,
    result_key: String,
    append: bool,
    /// Each named group becomes a tag or field.
    batch: bool,
}

/// A change of names.
#[derive(Debug)]
struct Rename {
    pattern: Compiled,
    replacement: String,
    collision: Collision,
}

#[derive(Debug)]
struct Regex {
    tags: Vec<Change>,
    fields: Vec<Change>,
    tag_rename: Vec<Rename>,
    field_rename: Vec<Rename>,
    metric_rename: Vec<Rename>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Processor>> {
    let options = RegexOptions::parse(cx.options())?;
    let mut errors = Vec::new();
    let tags = options
        .tags
        .into_iter()
        .map(|t| (t.key, t.pattern, t.replacement, t.result_key, t.append));
    let fields = options
        .fields
        .into_iter()
        .map(|f| (f.key, f.pattern, f.replacement, f.result_key, f.append));
    let keys = |list: Vec<KeyOptions>| {
        list.into_iter()
            .map(|k| (k.pattern, k.replacement, k.result_key))
            .collect()
    };
    let names = options
        .metric_rename
        .into_iter()
        .map(|n| (n.pattern, n.replacement, Collision::Keep));
    let regex = Regex {
        tags: changes("tags", tags, &mut errors),
        fields: changes("fields", fields, &mut errors),
        tag_rename: renames("tag_rename", keys(options.tag_rename), &mut errors),
        field_rename: renames("field_rename", keys(options.field_rename), &mut errors),
        metric_rename: renames("metric_rename", names.collect(), &mut errors),
    };
    if errors.is_empty() {
        Ok(Box::new(regex))
    } else {
        Err(errors)
    }
}

fn changes(
    table: &str,
    options: impl Iterator<Item = (String, String, String, String, bool)>,
    errors: &mut Vec<OptionError>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (at, (key, pattern, replacement, result_key, append)) in options.enumerate() {
        if key.is_empty() {
            let error = OptionError::new(format!("{table}[{at}].key"), "is missing");
            errors.push(error.with_hint("write \"*\" for all"));
        }
        let keys = globs(&format!("{table}[{at}].key"), &[key]);
        match (
            keys,
            go::compile(&format!("{table}[{at}].pattern"), &pattern),
        ) {
            (Ok(keys), Ok(pattern)) => {
                let named = pattern.capture_names().flatten().next().is_some();
                let batch = replacement.is_empty() && named;
                changes.push(Change {
                    keys,
                    pattern,
                    replacement,
                    result_key,
                    append,
                    batch,
                });
            }
            (keys, pattern) => errors.extend(keys.err().into_iter().chain(pattern.err())),
        }
    }
    changes
}

fn renames(
    table: &str,
    options: Vec<(String, String, Collision)>,
    errors: &mut Vec<OptionError>,
) -> Vec<Rename> {
    let mut renames = Vec::new();
    for (at, (pattern, replacement, collision)) in options.into_iter().enumerate() {
        match go::compile(&format!("{table}[{at}].pattern"), &pattern) {
            Ok(pattern) => renames.push(Rename {
                pattern,
                replacement,
                collision,
            }),
            Err(error) => errors.push(error),
        }
    }
    renames
}

/// What a change found: the key that gets a text, and the text.
type Found = Vec<(String, String)>;

impl Change {
    /// Notes what becomes of the value. Nothing is allocated unless it matches.
    fn look(&self, key: &str, value: &str, found: &mut Found) {
        if !self.keys.matches(key) || !self.pattern.is_match(value) {
            return;
        }
        if self.batch {
            let Some(groups) = self.pattern.captures(value) else {
                return;
            };
            for name in self.pattern.capture_names().flatten() {
                if let Some(group) = groups.name(name) {
                    found.push((name.to_owned(), group.as_str().to_owned()));
                }
            }
            return;
        }
        let key = if self.result_key.is_empty() {
            key
        } else {
            &self.result_key
        };
        let result = self.pattern.replace_all(value, &*self.replacement);
        found.push((key.to_owned(), result.into_owned()));
    }

    fn change_tags(&self, metric: &mut MetricMut<'_>, found: &mut Found) {
        for at in 0..metric.tag_count() {
            let (key, value) = metric.tag_at(at);
            self.look(key, value, found);
        }
        for (key, mut value) in found.drain(..) {
            if self.append
                && let Some(before) = metric.tag(&key)
            {
                value.insert_str(0, before);
            }
            metric.set_tag(&key, &value);
        }
    }

    fn change_fields(&self, metric: &mut MetricMut<'_>, found: &mut Found) {
        for at in 0..metric.field_count() {
            if let (key, Value::Text(value)) = metric.field_at(at) {
                self.look(key, value, found);
            }
        }
        for (key, mut value) in found.drain(..) {
            if self.append
                && let Some(Value::Text(before)) = metric.field(&key)
            {
                value.insert_str(0, before);
            }
            metric.set_field(&key, &value);
        }
    }
}

impl Rename {
    /// The new name, if it is another.
    fn look(&self, name: &str) -> Option<String> {
        if !self.pattern.is_match(name) {
            return None;
        }
        let renamed = self.pattern.replace_all(name, &*self.replacement);
        (renamed != name).then(|| renamed.into_owned())
    }

    fn rename_tags(&self, metric: &mut MetricMut<'_>, found: &mut Found) {
        for at in 0..metric.tag_count() {
            let (key, _) = metric.tag_at(at);
            found.extend(self.look(key).map(|renamed| (key.to_owned(), renamed)));
        }
        for (from, to) in found.drain(..) {
            if self.collision == Collision::Overwrite || metric.tag(&to).is_none() {
                metric.rename_tag(&from, &to);
            }
        }
    }

    fn rename_fields(&self, metric: &mut MetricMut<'_>, found: &mut Found) {
        for at in 0..metric.field_count() {
            let (key, _) = metric.field_at(at);
            found.extend(self.look(key).map(|renamed| (key.to_owned(), renamed)));
        }
        for (from, to) in found.drain(..) {
            if self.collision == Collision::Overwrite || metric.field(&to).is_none() {
                metric.rename_field(&from, &to);
            }
        }
    }
}

impl Processor for Regex {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let mut found = Found::new();
        metrics.for_each(|mut metric| {
            for change in &self.tags {
                change.change_tags(&mut metric, &mut found);
            }
            for change in &self.fields {
                change.change_fields(&mut metric, &mut found);
            }
            for rename in &self.tag_rename {
                rename.rename_tags(&mut metric, &mut found);
            }
            for rename in &self.field_rename {
                rename.rename_fields(&mut metric, &mut found);
            }
            for rename in &self.metric_rename {
                if let Some(name) = rename.look(metric.name()) {
                    metric.set_name(name);
                }
            }
        });
    }
}
