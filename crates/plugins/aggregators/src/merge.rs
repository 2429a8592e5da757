//! `aggregators.merge`: metrics of the same series and time become one with all their fields.
//!
//! Of a field that comes twice the last value counts. Use it with `drop_original = true`.

use muster_metric::{Batch, Metric, Precision, Timestamp};
use muster_options::{Duration, JsonSchema, Options};
use muster_plugin::{Aggregator, Build, FormatUse, PluginRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::saved;
use crate::series::Series;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "merge",
    summary: "makes one metric of those with the same series and time",
    options: MergeOptions::describe,
    format: FormatUse::None,
    build: Build::Aggregator(|cx| {
        let options = MergeOptions::parse(cx.options())?;
        let rounding = Precision::from_duration(options.round_timestamp_to.get());
        Ok(Box::new(Merge {
            rounding,
            series: Series::new(options.max_series),
        }))
    }),
};

/// What counts as the same.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MergeOptions {
    /// Round times to a multiple of this, so that metrics that came a little apart meet.
    round_timestamp_to: Duration,
    /// The most metrics that a window gives; metrics of further series and times are left out.
    max_series: u32,
}

impl Default for MergeOptions {
    fn default() -> Self {
        let round_timestamp_to = std::time::Duration::from_nanos(1).into();
        Self {
            round_timestamp_to,
            max_series: crate::MAX_SERIES,
        }
    }
}

#[derive(Debug)]
struct Merge {
    rounding: Precision,
    /// The merged metric of each series and time, in a batch of its own.
    series: Series<Batch>,
}

impl Aggregator for Merge {
    fn add(&mut self, metric: Metric<'_>) {
        let time = metric.time().map(|time| time.round(self.rounding));
        let slot = time.map_or(i64::MIN, Timestamp::nanos);
        let Some(merged) = self.series.of(metric, slot, Batch::new) else {
            return;
        };
        if merged.is_empty() {
            merged.push(metric);
        } else if let Some(mut merged) = merged.get_mut(0) {
            for (key, value) in metric.fields() {
                merged.set_field(key, value);
            }
        }
        if let (Some(time), Some(mut merged)) = (time, merged.get_mut(0)) {
            merged.set_time(time);
        }
    }

    fn push(&mut self, batch: &mut Batch) {
        self.series.take_refused(ROW.name);
        for merged in self.series.iter().flat_map(|entry| entry.kept.get(0)) {
            batch.push(merged);
        }
    }

    fn reset(&mut self) {
        self.series.clear();
    }

    fn state(&self) -> Option<Value> {
        Some(saved::save(
            self.series.iter().flat_map(|entry| entry.kept.get(0)),
        ))
    }

    fn restore(&mut self, state: Value) {
        let mut batch = Batch::new();
        saved::load(&state, &mut batch);
        for metric in batch.iter() {
            self.add(metric);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_survives};

    #[test]
    fn merges() {
        check(
            "merge",
            "",
            "cpu,host=a usage=42 1\ncpu,host=b idle=1 1\ncpu,host=a idle=42i 1\ncpu,host=a idle=1 2\ncpu,host=a usage=7 1",
            "cpu,host=a usage=7,idle=42i 1\ncpu,host=b idle=1 1\ncpu,host=a idle=1 2",
        );
    }

    #[test]
    fn rounds_times() {
        check(
            "merge",
            "round_timestamp_to = '1s'",
            "m a=1 999999999\nm b=2 1400000000\nm c=3 1500000000",
            "m a=1,b=2 1000000000\nm c=3 2000000000",
        );
    }

    #[test]
    fn is_bounded() {
        check(
            "merge",
            "max_series = 1",
            "m a=1 1\nm b=1 2\nm c=1 1",
            "m a=1,c=1 1",
        );
    }

    #[test]
    fn an_open_window_survives() {
        check_survives(
            "merge",
            "",
            "m a=1 1\nm b=2u 1\nn s=\"x\" 5",
            "m c=3 1\nn t=true 5",
        );
    }
}
