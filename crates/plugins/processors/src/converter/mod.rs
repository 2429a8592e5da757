//! `processors.converter`: turns tags into fields, fields into tags, and values into other types.
//!
//! For each tag, then for each field, the first kind whose list has its key decides; the kinds
//! are tried in the order in which they stand in the options below.
//!
//! - Numbers are rounded to the nearest integer, halves away from zero, and end at the limits of
//!   the type. Texts may be decimal or with a prefix (`0x`, `0o`, `0b`, `0` for octal), with
//!   underscores between digits, or floats.
//! - True is 1. Numbers are true unless zero. Of texts, `1 t T true True TRUE` are true and
//!   `0 f F false False FALSE` are false.
//! - A value that cannot be converted is removed; NaN has no integer. What should give a time and
//!   cannot be read stays where it is.
//!
//! A tag that becomes a field leaves the series: see to it that the series still differ.

mod number;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use jiff::tz::TimeZone;
use muster_formats::go_time::TimeFormat;
use muster_metric::{MetricMut, Value};
use muster_options::{Globs, JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Processor, Selected,
};
use serde::{Deserialize, Serialize};

use crate::pattern::globs;
use crate::scalar::push_text;
use number::{to_bool, to_float, to_integer, to_unsigned};

pub(crate) const ROW: PluginRow = PluginRow {
    name: "converter",
    summary: "converts tags and fields to other types, tags to fields and fields to tags",
    options: ConverterOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(build),
};

/// What to convert to what.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ConverterOptions {
    /// Tags to convert: by the kind wanted, lists of keys with wildcards.
    tags: TagOptions,
    /// Fields to convert: by the kind wanted, lists of keys with wildcards.
    fields: FieldOptions,
}

/// Tags to convert.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TagOptions {
    /// Tags that become the measurement's name.
    measurement: Vec<String>,
    /// Tags that become text fields.
    string: Vec<String>,
    /// Tags that become integer fields.
    integer: Vec<String>,
    /// Tags that become unsigned integer fields.
    unsigned: Vec<String>,
    /// Tags that become boolean fields.
    boolean: Vec<String>,
    /// Tags that become float fields.
    float: Vec<String>,
    /// Tags that become the metric's time.
    timestamp: Vec<String>,
    /// How the times are written: `unix`, `unix_ms`, `unix_us`, `unix_ns` or a layout of Go.
    timestamp_format: String,
}

/// Fields to convert.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FieldOptions {
    /// Fields that become the measurement's name.
    measurement: Vec<String>,
    /// Fields that become tags.
    tag: Vec<String>,
    /// Fields that become floats.
    float: Vec<String>,
    /// Fields that become integers.
    integer: Vec<String>,
    /// Fields that become unsigned integers.
    unsigned: Vec<String>,
    /// Fields that become booleans.
    boolean: Vec<String>,
    /// Fields that become texts.
    string: Vec<String>,
    /// Fields that become the metric's time.
    timestamp: Vec<String>,
    /// How the times are written: `unix`, `unix_ms`, `unix_us`, `unix_ns` or a layout of Go.
    timestamp_format: String,
    /// Texts with the four bytes of a big-endian IEEE 754 float in base64, which become floats.
    base64_ieee_float32: Vec<String>,
}

/// What a value becomes.
#[derive(Debug)]
enum Target {
    Measurement,
    Tag,
    Text,
    Integer,
    Unsigned,
    Boolean,
    Float,
    Timestamp(TimeFormat),
    Base64Float32,
}

#[derive(Debug)]
struct Rule {
    keys: Globs,
    target: Target,
}

#[derive(Debug)]
struct Converter {
    tags: Vec<Rule>,
    fields: Vec<Rule>,
}

/// What is taken out of a metric while the metric is edited, and what is known from the last one.
#[derive(Default)]
struct Scratch {
    key: String,
    value: String,
    failed: u64,
    tags: LastRules,
    fields: LastRules,
}

/// The key at each position and its rule, as they were in the last metric: the next one mostly has
/// the same keys, and one comparison is less than trying every pattern.
#[derive(Default)]
struct LastRules(Vec<(String, Option<usize>)>);

impl LastRules {
    fn find<'r>(&mut self, at: usize, key: &str, rules: &'r [Rule]) -> Option<&'r Rule> {
        if self.0.len() <= at {
            // No key is found here before there was one: the empty key is compared to nothing.
            self.0.resize_with(at + 1, || (String::new(), None));
        }
        let (last, rule) = &mut self.0[at];
        if last.is_empty() || last != key {
            key.clone_into(last);
            *rule = rules.iter().position(|rule| rule.keys.matches(key));
        }
        rule.map(|rule| &rules[rule])
    }
}

fn build(cx: &BuildContext) -> Built<Box<dyn Processor>> {
    let ConverterOptions { tags, fields } = ConverterOptions::parse(cx.options())?;
    let mut errors = Vec::new();
    let mut rules =
        |table: &str, format: &str, times: &[String], lists: Vec<(&str, &[String], Target)>| {
            let mut rules = Vec::new();
            let mut add =
                |name: &str, list: &[String], target| match globs(&format!("{table}.{name}"), list)
                {
                    Ok(keys) if keys.is_empty() => {}
                    Ok(keys) => rules.push(Rule { keys, target }),
                    Err(error) => errors.push(error),
                };
            for (name, list, target) in lists {
                add(name, list, target);
            }
            if !times.is_empty() {
                match TimeFormat::new(format) {
                    Ok(format) => add("timestamp", times, Target::Timestamp(format)),
                    Err(error) => {
                        let path = format!("{table}.timestamp_format");
                        errors.push(OptionError::new(path, error.to_string()));
                    }
                }
            }
            rules
        };
    let tags = rules(
        "tags",
        &tags.timestamp_format,
        &tags.timestamp,
        vec![
            ("measurement", &tags.measurement, Target::Measurement),
            ("string", &tags.string, Target::Text),
            ("integer", &tags.integer, Target::Integer),
            ("unsigned", &tags.unsigned, Target::Unsigned),
            ("boolean", &tags.boolean, Target::Boolean),
            ("float", &tags.float, Target::Float),
        ],
    );
    let fields = rules(
        "fields",
        &fields.timestamp_format,
        &fields.timestamp,
        vec![
            ("measurement", &fields.measurement, Target::Measurement),
            ("tag", &fields.tag, Target::Tag),
            ("float", &fields.float, Target::Float),
            ("integer", &fields.integer, Target::Integer),
            ("unsigned", &fields.unsigned, Target::Unsigned),
            ("boolean", &fields.boolean, Target::Boolean),
            ("string", &fields.string, Target::Text),
            (
                "base64_ieee_float32",
                &fields.base64_ieee_float32,
                Target::Base64Float32,
            ),
        ],
    );
    if errors.is_empty() {
        Ok(Box::new(Converter { tags, fields }))
    } else {
        Err(errors)
    }
}

/// The value as a number or boolean of the wanted type.
fn convert(value: Value<'_>, target: &Target) -> Option<Value<'static>> {
    match target {
        Target::Float => to_float(value).map(Value::Float),
        Target::Integer => to_integer(value).map(Value::Int),
        Target::Unsigned => to_unsigned(value).map(Value::Uint),
        Target::Boolean => to_bool(value).map(Value::Bool),
        Target::Base64Float32 => match value {
            Value::Text(text) => base64_float(text).map(Value::Float),
            _ => None,
        },
        Target::Measurement | Target::Tag | Target::Text | Target::Timestamp(_) => None,
    }
}

fn base64_float(text: &str) -> Option<f64> {
    // Four bytes are eight characters with padding; more is something else.
    let mut bytes = [0; 8];
    let engine = &base64::engine::general_purpose::STANDARD;
    let len = engine.decode_slice(text.trim(), &mut bytes).ok()?;
    let bytes: [u8; 4] = bytes[..len].try_into().ok()?;
    Some(f64::from(f32::from_be_bytes(bytes)))
}

impl Converter {
    fn convert_tags(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        let mut at = 0;
        while at < metric.tag_count() {
            let (key, value) = metric.tag_at(at);
            let Some(rule) = scratch.tags.find(at, key, &self.tags) else {
                at += 1;
                continue;
            };
            let converted = convert(Value::Text(value), &rule.target);
            scratch.take(key, Value::Text(value));
            match &rule.target {
                Target::Timestamp(format) => match format.read(&scratch.value, &TimeZone::UTC) {
                    Ok(time) => metric.set_time(time),
                    Err(_) => {
                        scratch.failed += 1;
                        at += 1;
                        continue;
                    }
                },
                Target::Measurement => metric.set_name(&scratch.value),
                Target::Text | Target::Tag => metric.set_field(&scratch.key, &scratch.value),
                _ => match converted {
                    Some(value) => metric.set_field(&scratch.key, value),
                    None => scratch.failed += 1,
                },
            }
            metric.remove_tag(&scratch.key);
        }
    }

    fn convert_fields(&self, metric: &mut MetricMut<'_>, scratch: &mut Scratch) {
        let mut at = 0;
        while at < metric.field_count() {
            let (key, value) = metric.field_at(at);
            let Some(rule) = scratch.fields.find(at, key, &self.fields) else {
                at += 1;
                continue;
            };
            match &rule.target {
                Target::Text => {
                    if !matches!(value, Value::Text(_)) {
                        scratch.take(key, value);
                        metric.set_field_value_at(at, &scratch.value);
                    }
                    at += 1;
                    continue;
                }
                Target::Timestamp(format) => {
                    scratch.take(key, value);
                    match format.read(&scratch.value, &TimeZone::UTC) {
                        Ok(time) => metric.set_time(time),
                        Err(_) => {
                            scratch.failed += 1;
                            at += 1;
                            continue;
                        }
                    }
                }
                Target::Measurement => {
                    scratch.take(key, value);
                    metric.set_name(&scratch.value);
                }
                Target::Tag => {
                    scratch.take(key, value);
                    metric.set_tag(&scratch.key, &scratch.value);
                }
                target => {
                    if let Some(value) = convert(value, target) {
                        metric.set_field_value_at(at, value);
                        at += 1;
                        continue;
                    }
                    scratch.take(key, Value::Bool(false));
                    scratch.failed += 1;
                }
            }
            metric.remove_field(&scratch.key);
        }
    }
}

impl Scratch {
    fn take(&mut self, key: &str, value: Value<'_>) {
        self.key.clear();
        self.key.push_str(key);
        self.value.clear();
        push_text(value, &mut self.value);
    }
}

impl Processor for Converter {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let mut scratch = Scratch::default();
        metrics.for_each(|mut metric| {
            if !self.tags.is_empty() {
                self.convert_tags(&mut metric, &mut scratch);
            }
            if !self.fields.is_empty() {
                self.convert_fields(&mut metric, &mut scratch);
            }
        });
        if scratch.failed > 0 {
            tracing::debug!(
                values = scratch.failed,
                "converter could not convert all values"
            );
        }
    }
}
