//! `processors.strings`: changes the case of texts, trims, replaces, shortens and decodes them.
//!
//! Works on the values and keys of tags and fields and on the measurement's name; `*` stands for
//! all of them. The sorts of change are done in the order in which they stand in the options
//! below, each in the order of its tables.

mod change;

#[cfg(test)]
mod tests;

use muster_metric::{MetricMut, Value};
use muster_options::{JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Processor, Selected,
};
use serde::{Deserialize, Serialize};

use change::Change;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "strings",
    summary: "changes case, trims, replaces, shortens and decodes texts",
    options: StringsOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(build),
};

/// What to change and how.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct StringsOptions {
    /// To small letters.
    lowercase: Vec<Item>,
    /// To capital letters.
    uppercase: Vec<Item>,
    /// The first letter of each word to a capital.
    titlecase: Vec<Item>,
    /// Without what stands in `cutset`, or blanks, at both ends.
    trim: Vec<Item>,
    /// Without what stands in `cutset`, or blanks, at the beginning.
    trim_left: Vec<Item>,
    /// Without what stands in `cutset`, or blanks, at the end.
    trim_right: Vec<Item>,
    /// Without `prefix` at the beginning.
    trim_prefix: Vec<Item>,
    /// Without `suffix` at the end.
    trim_suffix: Vec<Item>,
    /// With `new` for each `old`; what would be empty then stays.
    replace: Vec<Item>,
    /// At most the first `width` bytes, whole characters.
    left: Vec<Item>,
    /// Decoded from base64, if that gives text.
    base64decode: Vec<Item>,
    /// For configurations of Telegraf: texts are always valid UTF-8 here.
    valid_utf8: Vec<Item>,
}

/// What one change is done to.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Item {
    /// The measurement whose name is changed; `*` for every one.
    measurement: String,
    /// The tag whose value is changed; `*` for every one.
    tag: String,
    /// The tag whose key is changed; `*` for every one.
    tag_key: String,
    /// The field whose value, a text, is changed; `*` for every one.
    field: String,
    /// The field whose key is changed; `*` for every one.
    field_key: String,
    /// The tag or field that gets the changed value; without it the value is changed in its place.
    /// Not used with `*`.
    dest: String,
    /// The characters that `trim`, `trim_left` and `trim_right` cut off; without it blanks.
    cutset: String,
    /// What `trim_prefix` cuts off.
    prefix: String,
    /// What `trim_suffix` cuts off.
    suffix: String,
    /// What `replace` looks for.
    old: String,
    /// What `replace` puts there.
    new: String,
    /// How many bytes `left` keeps.
    width: u32,
    /// What `valid_utf8` would put in the place of bytes that are no UTF-8.
    replacement: String,
}

#[derive(Debug)]
struct Step {
    change: Change,
    item: Item,
}

#[derive(Debug)]
struct Strings {
    steps: Vec<Step>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Processor>> {
    let options = StringsOptions::parse(cx.options())?;
    type Make = fn(&Item) -> Change;
    let lists: [(&str, Vec<Item>, Make); 12] = [
        ("lowercase", options.lowercase, |_| Change::Lower),
        ("uppercase", options.uppercase, |_| Change::Upper),
        ("titlecase", options.titlecase, |_| Change::Title),
        ("trim", options.trim, |item| {
            Change::Trim(item.cutset.clone())
        }),
        ("trim_left", options.trim_left, |item| {
            Change::TrimLeft(item.cutset.clone())
        }),
        ("trim_right", options.trim_right, |item| {
            Change::TrimRight(item.cutset.clone())
        }),
        ("trim_prefix", options.trim_prefix, |item| {
            Change::Prefix(item.prefix.clone())
        }),
        ("trim_suffix", options.trim_suffix, |item| {
            Change::Suffix(item.suffix.clone())
        }),
        ("replace", options.replace, |i| {
            Change::Replace(i.old.clone(), i.new.clone())
        }),
        ("left", options.left, |item| {
            Change::Left(item.width as usize)
        }),
        ("base64decode", options.base64decode, |_| Change::Base64),
        ("valid_utf8", options.valid_utf8, |_| Change::Nothing),
    ];
    let (mut steps, mut errors) = (Vec::new(), Vec::new());
    for (name, items, make) in lists {
        for (at, item) in items.into_iter().enumerate() {
            let Item {
                measurement,
                tag,
                tag_key,
                field,
                field_key,
                ..
            } = &item;
            if [measurement, tag, tag_key, field, field_key]
                .iter()
                .all(|key| key.is_empty())
            {
                let error =
                    OptionError::new(format!("{name}[{at}]"), "does not say what to change");
                let hint = "give `measurement`, `tag`, `tag_key`, `field` or `field_key`";
                errors.push(error.with_hint(hint));
            }
            steps.push(Step {
                change: make(&item),
                item,
            });
        }
    }
    if errors.is_empty() {
        Ok(Box::new(Strings { steps }))
    } else {
        Err(errors)
    }
}

/// Texts that live as long as a call.
#[derive(Default)]
struct Scratch {
    after: String,
    keys: Vec<String>,
}

impl Scratch {
    /// Changes the text; says whether that made a difference.
    fn change(&mut self, change: &Change, text: &str) -> bool {
        self.after.clear();
        change.apply(text, &mut self.after);
        self.after != text
    }
}

impl Step {
    fn apply(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        let item = &self.item;
        if !item.field.is_empty() {
            self.change_fields(metric, scratch);
        }
        if !item.field_key.is_empty() {
            self.change_field_keys(metric, scratch);
        }
        if !item.tag.is_empty() {
            self.change_tags(metric, scratch);
        }
        if !item.tag_key.is_empty() {
            self.change_tag_keys(metric, scratch);
        }
        if (item.measurement == "*" || metric.name() == item.measurement)
            && scratch.change(&self.change, metric.name())
        {
            metric.set_name(&scratch.after);
        }
    }

    fn change_fields(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        let all = self.item.field == "*";
        for at in 0..metric.field_count() {
            let (key, Value::Text(value)) = metric.field_at(at) else {
                continue;
            };
            if !all && key != self.item.field {
                continue;
            }
            let changed = scratch.change(&self.change, value);
            if !all && !self.item.dest.is_empty() {
                metric.set_field(&self.item.dest, &scratch.after);
            } else if changed {
                metric.set_field_value_at(at, &scratch.after);
            }
        }
    }

    fn change_tags(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        let all = self.item.tag == "*";
        for at in 0..metric.tag_count() {
            let (key, value) = metric.tag_at(at);
            if !all && key != self.item.tag {
                continue;
            }
            let changed = scratch.change(&self.change, value);
            if !all && !self.item.dest.is_empty() {
                // There is only one of that key, so it does not matter that others move.
                metric.set_tag(&self.item.dest, &scratch.after);
                break;
            } else if changed {
                metric.set_tag_value_at(at, &scratch.after);
            }
        }
    }

    fn change_field_keys(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        scratch.keys.clear();
        for at in 0..metric.field_count() {
            let (key, _) = metric.field_at(at);
            self.note_key(key, &self.item.field_key, scratch);
        }
        for key in std::mem::take(&mut scratch.keys) {
            if scratch.change(&self.change, &key) && !scratch.after.is_empty() {
                metric.rename_field(&key, &scratch.after);
            }
        }
    }

    fn change_tag_keys(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        scratch.keys.clear();
        for at in 0..metric.tag_count() {
            let (key, _) = metric.tag_at(at);
            self.note_key(key, &self.item.tag_key, scratch);
        }
        for key in std::mem::take(&mut scratch.keys) {
            if scratch.change(&self.change, &key) && !scratch.after.is_empty() {
                metric.rename_tag(&key, &scratch.after);
            }
        }
    }

    /// Notes a key that will change; most do not, and cost nothing.
    fn note_key(&self, key: &str, wanted: &str, scratch: &mut Scratch) {
        if (wanted == "*" || wanted == key) && scratch.change(&self.change, key) {
            scratch.keys.push(key.to_owned());
        }
    }
}

impl Processor for Strings {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let mut scratch = Scratch::default();
        metrics.for_each(|mut metric| {
            for step in &self.steps {
                step.apply(&mut metric, &mut scratch);
            }
        });
    }
}
