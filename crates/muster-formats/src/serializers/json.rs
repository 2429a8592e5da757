//! `json`: one object a metric.

use muster_metric::{Metric, Timestamp, Value};
use muster_options::{Duration, Globs, JsonSchema, OptionError, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::go_time::{TimeFormat, zone};
use crate::names::name_list;
use crate::{BuiltSerializer, Serializer, SerializerRow, Written};

pub(super) const ROW: SerializerRow = SerializerRow {
    name: "json",
    summary: "JSON, an object for each metric",
    options: JsonOptions::describe,
    build,
};

/// Options of the `json` serializer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct JsonOptions {
    /// The unit of timestamps. Cut down to a power of ten: `25ms` is `10ms`.
    json_timestamp_units: Duration,
    /// How to write timestamps instead: a Go layout such as `2006-01-02T15:04:05Z07:00`, in UTC.
    json_timestamp_format: String,
    /// Not supported yet: a JSONata expression.
    json_transformation: String,
    /// Text fields to write as the JSON that they hold, if they do. May hold `*`, `?`, `[abc]`.
    json_nested_fields_include: Vec<String>,
    /// Text fields that stay text although they are included.
    json_nested_fields_exclude: Vec<String>,
    /// Whether to write all metrics at once as one document, `{"metrics":[...]}`, instead of one
    /// object a line.
    use_batch_format: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            json_timestamp_units: Duration::from_secs(1),
            json_timestamp_format: String::new(),
            json_transformation: String::new(),
            json_nested_fields_include: Vec::new(),
            json_nested_fields_exclude: Vec::new(),
            use_batch_format: false,
        }
    }
}

#[derive(Debug)]
struct JsonSerializer {
    time: TimeFormat,
    batch: bool,
    nested: Option<(Globs, Globs)>,
}

fn build(table: &Table) -> BuiltSerializer {
    let options = JsonOptions::parse(table)?;
    let mut errors = Vec::new();
    if !options.json_transformation.is_empty() {
        let error = OptionError::new("json_transformation", "JSONata is not supported yet");
        errors.push(error.with_hint("leave it out and transform with processors"));
    }
    let mut time = TimeFormat::Unix(power_of_ten(options.json_timestamp_units));
    if !options.json_timestamp_format.is_empty() {
        match TimeFormat::new(&options.json_timestamp_format) {
            Ok(format) => time = format,
            Err(error) => errors.push(OptionError::new("json_timestamp_format", error.to_string())),
        }
    }
    let mut names = |option, names: &[String]| {
        name_list(option, names)
            .map_err(|error| errors.push(error))
            .unwrap_or_default()
    };
    let include = names(
        "json_nested_fields_include",
        &options.json_nested_fields_include,
    );
    let exclude = names(
        "json_nested_fields_exclude",
        &options.json_nested_fields_exclude,
    );
    if !errors.is_empty() {
        return Err(errors);
    }
    let nested = (!include.is_empty() || !exclude.is_empty()).then_some((include, exclude));
    Ok(Box::new(JsonSerializer {
        time,
        batch: options.use_batch_format,
        nested,
    }))
}

/// The greatest power of ten in nanoseconds that is no longer; a second for no time at all.
fn power_of_ten(unit: Duration) -> i64 {
    let nanos = i64::try_from(unit.as_nanos()).unwrap_or(i64::MAX);
    match nanos {
        0 => 1_000_000_000,
        nanos => 10_i64.pow(nanos.ilog10()),
    }
}

impl Serializer for JsonSerializer {
    fn serialize(
        &self,
        metrics: &mut dyn Iterator<Item = Metric<'_>>,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut written = Written::default();
        if self.batch {
            out.extend_from_slice(b"{\"metrics\":[");
        }
        for metric in metrics {
            let before = out.len();
            if self.batch && written.metrics > 0 {
                out.push(b',');
            }
            if !self.object(metric, out) {
                out.truncate(before);
                written.left_out += 1;
                continue;
            }
            written.metrics += 1;
            if !self.batch {
                out.push(b'\n');
            }
        }
        if self.batch {
            out.extend_from_slice(b"]}\n");
        }
        written
    }

    fn content_type(&self) -> &'static str {
        if self.batch {
            "application/json"
        } else {
            "application/x-ndjson"
        }
    }
}

impl JsonSerializer {
    /// Writes a metric with sorted keys, as Go does; false if no field is left.
    fn object(&self, metric: Metric<'_>, out: &mut Vec<u8>) -> bool {
        let mut fields: Vec<(&str, Value<'_>)> = metric.fields().filter(can_be_written).collect();
        if fields.is_empty() {
            return false;
        }
        fields.sort_unstable_by_key(|(key, _)| *key);
        out.extend_from_slice(b"{\"fields\":{");
        for (at, (key, value)) in fields.into_iter().enumerate() {
            push_key(at, key, out);
            self.push_value(key, value, out);
        }
        out.extend_from_slice(b"},\"name\":");
        push_text(metric.name(), out);
        out.extend_from_slice(b",\"tags\":{");
        for (at, (key, value)) in metric.tags().enumerate() {
            push_key(at, key, out);
            push_text(value, out);
        }
        out.push(b'}');
        if let Some(time) = metric.time() {
            out.extend_from_slice(b",\"timestamp\":");
            self.push_time(time, out);
        }
        out.push(b'}');
        true
    }

    fn push_value(&self, key: &str, value: Value<'_>, out: &mut Vec<u8>) {
        match value {
            Value::Float(number) => push_float(number, out),
            Value::Int(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Uint(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Value::Text(text) => match self.nested(key, text) {
                Some(nested) => out.extend_from_slice(nested.to_string().as_bytes()),
                None => push_text(text, out),
            },
        }
    }

    /// The JSON in a text field, if it is one of those to look into.
    fn nested(&self, key: &str, text: &str) -> Option<serde_json::Value> {
        let (include, exclude) = self.nested.as_ref()?;
        let wanted = (include.is_empty() || include.matches(key)) && !exclude.matches(key);
        wanted.then(|| serde_json::from_str(text).ok()).flatten()
    }

    fn push_time(&self, time: Timestamp, out: &mut Vec<u8>) {
        let Ok(utc) = zone("") else { return };
        let shown = self.time.show(time, &utc);
        match self.time {
            TimeFormat::Unix(_) => out.extend_from_slice(shown.as_bytes()),
            TimeFormat::Layout(_) => push_text(&shown, out),
        }
    }
}

/// JSON has no NaN and no infinity.
fn can_be_written((_, value): &(&str, Value<'_>)) -> bool {
    !matches!(value, Value::Float(number) if !number.is_finite())
}

fn push_key(at: usize, key: &str, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
    push_text(key, out);
    out.push(b':');
}

/// The shortest digits; whole numbers without `.0`, as Go writes them.
fn push_float(number: f64, out: &mut Vec<u8>) {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        let whole = number as i64;
        let sign: &[u8] = if whole == 0 && number.is_sign_negative() {
            b"-"
        } else {
            b""
        };
        out.extend_from_slice(sign);
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        out.extend_from_slice(zmij::Buffer::new().format(number).as_bytes());
    }
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_batch, check_serializer, serialize, survives_serializing};
    use muster_metric::Batch;
    use proptest::prelude::*;

    fn batch() -> Batch {
        let mut batch = Batch::new();
        let time = Timestamp::from_nanos(1_458_229_140_123_456_789);
        batch
            .metric("docker")
            .tag("host", "ray\"nor")
            .field("n", 30.0)
            .field("a", 4.5)
            .field("u", u64::MAX)
            .field("ok", false)
            .field("text", "x\ny\u{1}é")
            .field("nan", f64::NAN)
            .at(time);
        batch.metric("nothing").field("inf", f64::INFINITY).at(time);
        batch.metric("late").field("v", -3_i64).untimed();
        batch
    }

    #[test]
    fn writes_an_object_a_line() {
        let first = "{\"fields\":{\"a\":4.5,\"n\":30,\"ok\":false,\"text\":\"x\\ny\\u0001é\",\
            \"u\":18446744073709551615},\"name\":\"docker\",\"tags\":{\"host\":\"ray\\\"nor\"}";
        let late = "{\"fields\":{\"v\":-3},\"name\":\"late\",\"tags\":{}}";
        let check = |options, time: &str| {
            let want = format!("{first},\"timestamp\":{time}}}\n{late}\n");
            check_serializer("json", options, &batch(), &want);
        };
        check("", "1458229140");
        check("json_timestamp_units = '1ns'", "1458229140123456789");
        check("json_timestamp_units = '25ms'", "145822914012");
        let layout = "json_timestamp_format = '2006-01-02T15:04:05.000Z07:00'";
        check(layout, "\"2016-03-17T15:39:00.123Z\"");
        let batched = format!("{{\"metrics\":[{first},\"timestamp\":1458229140}},{late}]}}\n");
        check_serializer("json", "use_batch_format = true", &batch(), &batched);
        check_serializer(
            "json",
            "use_batch_format = true",
            &Batch::new(),
            "{\"metrics\":[]}\n",
        );
    }

    #[test]
    fn looks_into_nested_fields() {
        let mut batch = Batch::new();
        batch
            .metric("m")
            .field("a", "{\"x\": [1]}")
            .field("b", "[2]")
            .field("c", "[")
            .untimed();
        let check = |options, fields: &str| {
            let want = format!("{{\"fields\":{{{fields}}},\"name\":\"m\",\"tags\":{{}}}}\n");
            check_serializer("json", options, &batch, &want);
        };
        check("", r#""a":"{\"x\": [1]}","b":"[2]","c":"[""#);
        check(
            "json_nested_fields_include = ['*']",
            r#""a":{"x":[1]},"b":[2],"c":"[""#,
        );
        check(
            "json_nested_fields_exclude = ['a']",
            r#""a":"{\"x\": [1]}","b":[2],"c":"[""#,
        );
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let options = "json_transformation = '$'\njson_timestamp_format = 'x'";
        let errors = serialize("json", options, &Batch::new());
        assert!(errors.starts_with("!!! json_transformation: JSONata is not supported yet\n"));
        assert!(errors.contains("!!! json_timestamp_format: \"x\" is no time format"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_json(batch in any_batch(), together: bool) {
            survives_serializing(&ROW, &batch);
            let text = serialize("json", &format!("use_batch_format = {together}"), &batch);
            for line in text.lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                prop_assert!(value.is_object());
            }
        }
    }
}
