//! `aggregators.minmax`: the least and the greatest value of each numeric field, as
//! `<field>_min` and `<field>_max`.

use muster_metric::{Batch, Metric};
use muster_options::{JsonSchema, Options};
use muster_plugin::{Aggregator, Build, FormatUse, PluginRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::series::{Series, load_float, number, save_float};

pub(crate) const ROW: PluginRow = PluginRow {
    name: "minmax",
    summary: "the least and the greatest value of each field",
    options: MinMaxOptions::describe,
    format: FormatUse::None,
    build: Build::Aggregator(|cx| {
        let options = MinMaxOptions::parse(cx.options())?;
        Ok(Box::new(MinMax {
            series: Series::new(options.max_series),
        }))
    }),
};

/// How much is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MinMaxOptions {
    /// The most series in a window; metrics of further ones are left out.
    max_series: u32,
}

impl Default for MinMaxOptions {
    fn default() -> Self {
        Self {
            max_series: crate::MAX_SERIES,
        }
    }
}

#[derive(Debug)]
struct Range {
    field: Box<str>,
    min: f64,
    max: f64,
}

#[derive(Debug)]
struct MinMax {
    series: Series<Vec<Range>>,
}

impl Aggregator for MinMax {
    fn add(&mut self, metric: Metric<'_>) {
        let Some(ranges) = self.series.of(metric, 0, Vec::new) else {
            return;
        };
        for (key, value) in metric.fields() {
            let Some(value) = number(value) else { continue };
            match ranges.iter_mut().find(|range| *range.field == *key) {
                Some(range) if value < range.min => range.min = value,
                Some(range) if value > range.max => range.max = value,
                Some(_) => {}
                None => ranges.push(Range {
                    field: key.into(),
                    min: value,
                    max: value,
                }),
            }
        }
    }

    fn push(&mut self, batch: &mut Batch) {
        self.series.take_refused(ROW.name);
        for entry in self.series.iter().filter(|entry| !entry.kept.is_empty()) {
            let mut metric = entry.metric(batch);
            for Range { field, min, max } in &entry.kept {
                metric.add_field(format!("{field}_min"), *min);
                metric.add_field(format!("{field}_max"), *max);
            }
            metric.untimed();
        }
    }

    fn reset(&mut self) {
        self.series.clear();
    }

    fn state(&self) -> Option<Value> {
        let range = |range: &Range| {
            Value::from(vec![
                Value::from(&*range.field),
                save_float(range.min),
                save_float(range.max),
            ])
        };
        Some(
            self.series
                .save(|ranges| ranges.iter().map(range).collect()),
        )
    }

    fn restore(&mut self, state: Value) {
        let range = |saved: &Value| {
            let (min, max) = (load_float(&saved[1])?, load_float(&saved[2])?);
            Some(Range {
                field: saved[0].as_str()?.into(),
                min,
                max,
            })
        };
        self.series.load(&state, |saved| {
            saved.as_array()?.iter().map(range).collect()
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_survives};
    use proptest::prelude::*;

    const LINES: &str = "m,a=1 v=1,i=-5i,s=\"x\",b=true 1\nm,a=2 v=7u 1\nm,a=1 v=-3.5,w=2 2\nm,a=1 v=0 3\nn s=\"x\" 1";

    #[test]
    fn finds_the_ends() {
        let want =
            "m,a=1 v_min=-3.5,v_max=1,i_min=-5,i_max=-5,w_min=2,w_max=2\nm,a=2 v_min=7,v_max=7";
        check("minmax", "", LINES, want);
        check(
            "minmax",
            "max_series = 1",
            LINES,
            want.lines().next().unwrap(),
        );
    }

    #[test]
    fn an_open_window_survives() {
        check_survives("minmax", "", LINES, "m,a=1 v=9 4\nnew x=1 5");
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_way(quarters in proptest::collection::vec(-1_000_000_000i64..1_000_000_000, 1..20)) {
            // Such values have one shortest decimal only.
            let values: Vec<f64> = quarters.iter().map(|v| *v as f64 / 4.0).collect();
            let lines: Vec<String> = values.iter().map(|v| format!("m v={v} 1")).collect();
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            check("minmax", "", &lines.join("\n"), &format!("m v_min={min},v_max={max}"));
        }
    }
}
