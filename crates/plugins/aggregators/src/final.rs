//! `aggregators.final`: the last metric of each series.
//!
//! With the strategy `timeout` it comes when the series has been silent for `series_timeout`,
//! which may be many windows later; with `periodic` at the end of each window in which the series
//! had a metric. Metrics keep their time. When the agent ends, what is not yet due is kept in the
//! state.

use std::time::Duration;

use muster_metric::{Batch, Metric, Timestamp};
use muster_options::{JsonSchema, Options};
use muster_plugin::{Aggregator, Build, FormatUse, PluginRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::saved;
use crate::series::Series;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "final",
    summary: "the last metric of each series",
    options: FinalOptions::describe,
    format: FormatUse::None,
    build: Build::Aggregator(|cx| {
        let options = FinalOptions::parse(cx.options())?;
        Ok(Box::new(Final::new(&options)))
    }),
};

/// When the last metric comes, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FinalOptions {
    /// When a series' last metric comes.
    output_strategy: Strategy,
    /// How long a series must be silent, with the strategy `timeout`.
    series_timeout: muster_options::Duration,
    /// Keep the fields' names; otherwise `_final` is appended.
    keep_original_field_names: bool,
    /// The most series that are kept; metrics of further ones are left out.
    max_series: u32,
}

impl Default for FinalOptions {
    fn default() -> Self {
        Self {
            output_strategy: Strategy::Timeout,
            series_timeout: muster_options::Duration::from_secs(300),
            keep_original_field_names: false,
            max_series: crate::MAX_SERIES,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Strategy {
    /// When the series has been silent for a while.
    Timeout,
    /// At the end of each window.
    Periodic,
}

#[derive(Debug)]
struct Final {
    strategy: Strategy,
    timeout: Duration,
    keep_names: bool,
    /// The last metric of each series, in a batch of its own.
    series: Series<Batch>,
}

impl Final {
    fn new(options: &FinalOptions) -> Self {
        Self {
            strategy: options.output_strategy,
            timeout: options.series_timeout.get(),
            keep_names: options.keep_original_field_names,
            series: Series::new(options.max_series),
        }
    }

    fn is_due(&self, metric: Metric<'_>, now: Timestamp) -> bool {
        match (self.strategy, metric.time()) {
            (Strategy::Periodic, _) | (Strategy::Timeout, None) => true,
            (Strategy::Timeout, Some(time)) => now > time.saturating_add(self.timeout),
        }
    }

    fn push_at(&mut self, now: Timestamp, batch: &mut Batch) {
        self.series.take_refused(ROW.name);
        for entry in self.series.iter() {
            let Some(last) = entry.kept.get(0).filter(|last| self.is_due(*last, now)) else {
                continue;
            };
            let mut metric = entry.metric(batch);
            for (key, value) in last.fields() {
                if self.keep_names {
                    metric.add_new_field(key, value);
                } else {
                    metric.add_field(format!("{key}_final"), value);
                }
            }
            metric.finish(last.time());
        }
        let Self {
            strategy,
            timeout,
            series,
            ..
        } = self;
        series.retain(|entry| {
            let time = entry.kept.get(0).and_then(|last| last.time());
            *strategy == Strategy::Timeout
                && time.is_some_and(|time| now <= time.saturating_add(*timeout))
        });
    }
}

impl Aggregator for Final {
    fn add(&mut self, metric: Metric<'_>) {
        if let Some(last) = self.series.of(metric, 0, Batch::new) {
            last.clear();
            last.push(metric);
        }
    }

    fn push(&mut self, batch: &mut Batch) {
        self.push_at(Timestamp::now(), batch);
    }

    fn reset(&mut self) {
        // What was not due stays for later windows.
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
    use super::*;
    use crate::testing::{check, check_refused, check_survives, read, write};

    const LINES: &str = "m,a=1 v=1,s=\"x\" 1000000000\nm,a=2 v=2i 2000000000\nm,a=1 v=3 3000000000";

    #[test]
    fn gives_the_last_of_each_series() {
        check(
            "final",
            "",
            LINES,
            "m,a=1 v_final=3 3000000000\nm,a=2 v_final=2i 2000000000",
        );
        check(
            "final",
            "output_strategy = 'periodic'\nkeep_original_field_names = true",
            LINES,
            "m,a=1 v=3 3000000000\nm,a=2 v=2i 2000000000",
        );
    }

    #[test]
    fn waits_for_silence() {
        let options = FinalOptions {
            series_timeout: muster_options::Duration::from_secs(10),
            ..Default::default()
        };
        let mut last = Final::new(&options);
        for metric in read(LINES).iter() {
            last.add(metric);
        }
        let mut push = |seconds| {
            let mut batch = Batch::new();
            last.push_at(Timestamp::from_seconds(seconds), &mut batch);
            last.reset();
            write(&batch)
        };
        assert_eq!(push(12), "");
        assert_eq!(push(13), "m,a=2 v_final=2i 2000000000\n");
        assert_eq!(push(14), "m,a=1 v_final=3 3000000000\n");
        assert_eq!(push(100), "");
    }

    #[test]
    fn what_is_kept_survives() {
        check_survives(
            "final",
            "",
            LINES,
            "m,a=2 v=5i 4000000000\nn x=1u 5000000000",
        );
    }

    #[test]
    fn says_what_is_wrong() {
        check_refused("final", "output_strategy = 'never'", &["output_strategy"]);
    }
}
