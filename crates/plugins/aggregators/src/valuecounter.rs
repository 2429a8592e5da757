//! `aggregators.valuecounter`: how often each value of a field came, as `<field>_<value>`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster_metric::{Batch, Metric, Value as FieldValue};
use muster_options::{JsonSchema, Options};
use muster_plugin::{Aggregator, Build, FormatUse, PluginRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::series::Series;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "valuecounter",
    summary: "counts how often each value of a field comes",
    options: CounterOptions::describe,
    format: FormatUse::None,
    build: Build::Aggregator(|cx| {
        let options = CounterOptions::parse(cx.options())?;
        Ok(Box::new(Counter {
            fields: options.fields,
            max_values: options.max_values as usize,
            series: Series::new(options.max_series),
            scratch: String::new(),
            refused: 0,
        }))
    }),
};

/// What is counted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct CounterOptions {
    /// The fields whose values are counted. Fit for those with few different values.
    fields: Vec<String>,
    /// The most different values of a series in a window; further ones are not counted.
    max_values: u32,
    /// The most series in a window; metrics of further ones are left out.
    max_series: u32,
}

impl Default for CounterOptions {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            max_values: 1000,
            max_series: crate::MAX_SERIES,
        }
    }
}

#[derive(Debug)]
struct Counter {
    fields: Vec<String>,
    max_values: usize,
    /// The name of the field that is given out, and how often its value came.
    series: Series<BTreeMap<String, i64>>,
    scratch: String,
    /// Values that found no room in the window.
    refused: u64,
}

impl Aggregator for Counter {
    fn add(&mut self, metric: Metric<'_>) {
        let Self {
            fields,
            max_values,
            series,
            scratch,
            refused,
        } = self;
        let Some(counts) = series.of(metric, 0, BTreeMap::new) else {
            return;
        };
        for (key, value) in metric
            .fields()
            .filter(|(key, _)| fields.iter().any(|f| f == key))
        {
            scratch.clear();
            scratch.push_str(key);
            scratch.push('_');
            push_value(value, scratch);
            if let Some(count) = counts.get_mut(scratch.as_str()) {
                *count += 1;
            } else if counts.len() < *max_values {
                counts.insert(scratch.clone(), 1);
            } else {
                *refused += 1;
            }
        }
    }

    fn push(&mut self, batch: &mut Batch) {
        self.series.take_refused(ROW.name);
        if self.refused > 0 {
            let (refused, max_values) = (self.refused, self.max_values);
            tracing::warn!(
                refused,
                max_values,
                "valuecounter left out values beyond `max_values`"
            );
            self.refused = 0;
        }
        for entry in self.series.iter().filter(|entry| !entry.kept.is_empty()) {
            let mut metric = entry.metric(batch);
            for (field, count) in &entry.kept {
                metric.add_new_field(field, *count);
            }
            metric.untimed();
        }
    }

    fn reset(&mut self) {
        self.series.clear();
    }

    fn state(&self) -> Option<Value> {
        Some(self.series.save(|counts| serde_json::json!(counts)))
    }

    fn restore(&mut self, state: Value) {
        self.series
            .load(&state, |counts| BTreeMap::deserialize(counts).ok());
    }
}

/// The value as Go prints it: floats with an exponent below 1e-4 and from 1e21 on.
fn push_value(value: FieldValue<'_>, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match value {
        FieldValue::Text(v) => out.write_str(v),
        FieldValue::Bool(v) => write!(out, "{v}"),
        FieldValue::Int(v) => write!(out, "{v}"),
        FieldValue::Uint(v) => write!(out, "{v}"),
        FieldValue::Float(v) if v.is_infinite() => {
            out.write_str(if v > 0.0 { "+Inf" } else { "-Inf" })
        }
        FieldValue::Float(v) if v != 0.0 && !(1e-4..1e21).contains(&v.abs()) && !v.is_nan() => {
            push_exponent(&format!("{v:e}"), out);
            Ok(())
        }
        FieldValue::Float(v) => write!(out, "{v}"),
    };
}

/// From `1.5e-7` to `1.5e-07`.
fn push_exponent(text: &str, out: &mut String) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_survives};

    const LINES: &str = "m,a=1 status=200i,x=1 1\nm,a=1 status=404i 2\nm,a=1 status=200i,ok=true 3\nm,a=2 status=\"up\" 4\nm,a=3 x=1 5";

    #[test]
    fn counts() {
        check(
            "valuecounter",
            "fields = ['status', 'ok']",
            LINES,
            "m,a=1 ok_true=1i,status_200=2i,status_404=1i\nm,a=2 status_up=1i",
        );
        check("valuecounter", "", LINES, "");
        check(
            "valuecounter",
            "fields = ['status']\nmax_values = 1",
            LINES,
            "m,a=1 status_200=2i\nm,a=2 status_up=1i",
        );
    }

    #[test]
    fn an_open_window_survives() {
        check_survives(
            "valuecounter",
            "fields = ['status']",
            LINES,
            "m,a=1 status=200i 6\nn status=1i 7",
        );
    }

    #[test]
    fn writes_floats_as_go_does() {
        let check = |value: f64, want: &str| {
            let mut out = String::new();
            push_value(FieldValue::Float(value), &mut out);
            assert_eq!(out, want);
        };
        check(1.0, "1");
        check(0.1, "0.1");
        check(0.0, "0");
        check(0.0001, "0.0001");
        check(0.00001, "1e-05");
        check(1.5e-7, "1.5e-07");
        check(123456789.0, "123456789");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(-2.5e100, "-2.5e+100");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
    }
}
