//! `processors.dedup`: drops metrics that only repeat the values of the one before.
//!
//! A series whose last metric that passed is older than `dedup_interval` passes again. Fields that
//! come for the same series and time in several metrics are looked at together.
//!
//! What was seen is kept for at most `max_series` series. Metrics of further series pass and are
//! counted in the log. The state survives a change of options and a restart.

use std::collections::HashMap;
use std::time::Duration;

use muster_metric::{Batch, Metric, MetricMut, SeriesKey, Timestamp};
use muster_options::{JsonSchema, Options};
use muster_plugin::{Build, FormatUse, PluginRow, ProcessContext, Selected, StatefulProcessor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::saved;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "dedup",
    summary: "drops metrics whose values repeat",
    options: DedupOptions::describe,
    format: FormatUse::None,
    build: Build::StatefulProcessor(|cx| {
        let options = DedupOptions::parse(cx.options())?;
        Ok(Box::new(Dedup::new(&options)))
    }),
};

/// What counts as a repetition.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DedupOptions {
    /// How long repetitions are dropped; then one passes.
    dedup_interval: muster_options::Duration,
    /// The most series that are remembered; metrics of further ones pass.
    max_series: u32,
}

impl Default for DedupOptions {
    fn default() -> Self {
        Self {
            dedup_interval: muster_options::Duration::from_secs(600),
            max_series: 100_000,
        }
    }
}

#[derive(Debug)]
struct Dedup {
    interval: Duration,
    max_series: usize,
    /// The last metric of each series that passed, in a batch of its own.
    seen: HashMap<SeriesKey, Batch, foldhash::fast::RandomState>,
    swept: Option<Timestamp>,
    /// Metrics that passed unremembered since the last sweep.
    refused: u64,
}

impl Dedup {
    fn new(options: &DedupOptions) -> Self {
        Self {
            interval: options.dedup_interval.get(),
            max_series: options.max_series as usize,
            seen: HashMap::default(),
            swept: None,
            refused: 0,
        }
    }

    /// Forgets what is older than the interval, once an interval; once a second if there is no
    /// room.
    fn sweep(&mut self, now: Timestamp) {
        let full = self.seen.len() >= self.max_series;
        let pause = if full {
            Duration::from_secs(1)
        } else {
            self.interval
        };
        let due = self
            .swept
            .is_none_or(|last| now >= last.saturating_add(pause) || now < last);
        if !due {
            return;
        }
        self.swept = Some(now);
        let oldest = now.saturating_sub(self.interval);
        self.seen
            .retain(|_, last| last.iter().any(|m| m.time().is_some_and(|at| at > oldest)));
        if self.refused > 0 {
            let (refused, max_series) = (self.refused, self.max_series);
            tracing::warn!(
                refused,
                max_series,
                "dedup passes metrics of more series than it remembers"
            );
            self.refused = 0;
        }
    }

    fn remember(&mut self, key: SeriesKey, metric: Metric<'_>, now: Timestamp) {
        if self.seen.len() >= self.max_series && !self.seen.contains_key(&key) {
            self.refused += 1;
            return;
        }
        let last = self.seen.entry(key).or_default();
        last.clear();
        last.push(metric);
        if metric.time().is_none() {
            last.stamp(now);
        }
    }

    fn repeats(&mut self, metric: Metric<'_>, now: Timestamp) -> bool {
        let key = metric.series_key();
        let oldest = now.saturating_sub(self.interval);
        let time = metric.time().unwrap_or(now);
        let Some(mut last) = self.seen.get_mut(&key).and_then(|batch| batch.get_mut(0)) else {
            self.remember(key, metric, now);
            return false;
        };
        let last_time = last.view().time().unwrap_or(now);
        let verdict = if last_time <= oldest {
            Verdict::Changed
        } else {
            compare(metric, &mut last, last_time == time)
        };
        match verdict {
            Verdict::Changed => self.remember(key, metric, now),
            Verdict::Added | Verdict::Same => {}
        }
        verdict == Verdict::Same
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Changed,
    Added,
    Same,
}

/// Compares the values. Of the same time, fields that are new are added to those remembered.
fn compare(metric: Metric<'_>, last: &mut MetricMut<'_>, same_time: bool) -> Verdict {
    let mut verdict = Verdict::Same;
    for (key, value) in metric.fields() {
        match last.field(key) {
            Some(before) if before != value => return Verdict::Changed,
            Some(_) => {}
            None if same_time => {
                last.set_field(key, value);
                verdict = Verdict::Added;
            }
            None => {}
        }
    }
    verdict
}

impl StatefulProcessor for Dedup {
    fn apply(&mut self, metrics: &mut Selected<'_>, cx: &ProcessContext) {
        self.sweep(cx.now);
        metrics.for_each(|metric| {
            if self.repeats(metric.view(), cx.now) {
                metric.discard();
            }
        });
    }

    fn state(&self) -> Option<Value> {
        Some(saved::save(self.seen.values().flat_map(|last| last.get(0))))
    }

    fn restore(&mut self, state: Value) {
        let mut batch = Batch::new();
        saved::load(&state, &mut batch);
        for metric in batch.iter() {
            self.remember(metric.series_key(), metric, Timestamp::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, check, read, stateful, write};

    fn pass(dedup: &mut dyn StatefulProcessor, seconds: i64, lines: &str) -> String {
        let mut batch = read(lines);
        dedup.apply(&mut Selected::all(&mut batch), &at(seconds));
        write(&batch).trim_end().to_owned()
    }

    #[test]
    fn drops_repetitions() {
        check(
            "dedup",
            "",
            "m,a=1 v=1 100000000000\nm,a=1 v=1 101000000000\nm,a=2 v=1 101000000000\nm,a=1 v=2 102000000000\nm,a=1 v=2i 103000000000",
            "m,a=1 v=1 100000000000\nm,a=2 v=1 101000000000\nm,a=1 v=2 102000000000\nm,a=1 v=2i 103000000000",
        );
    }

    #[test]
    fn fields_of_one_time_belong_together() {
        check(
            "dedup",
            "",
            "m v=1 100000000000\nm w=1 100000000000\nm w=1 101000000000\nm w=2 102000000000",
            "m v=1 100000000000\nm w=1 100000000000\nm w=2 102000000000",
        );
    }

    #[test]
    fn lets_one_pass_when_the_interval_is_over() {
        let mut dedup = stateful("dedup", "dedup_interval = '10s'");
        assert_eq!(
            pass(&mut *dedup, 100, "m v=1 100000000000"),
            "m v=1 100000000000"
        );
        assert_eq!(pass(&mut *dedup, 109, "m v=1 109000000000"), "");
        assert_eq!(
            pass(&mut *dedup, 110, "m v=1 110000000000"),
            "m v=1 110000000000"
        );
        assert_eq!(pass(&mut *dedup, 111, "m v=1 111000000000"), "");
    }

    #[test]
    fn state_survives_a_change_of_options() {
        let mut before = stateful("dedup", "");
        pass(
            &mut *before,
            100,
            "m,a=1 v=1,s=\"x\",u=1u 100000000000\nm,a=2 v=1 100000000000",
        );
        let mut after = stateful("dedup", "dedup_interval = '1h'");
        after.restore(before.state().unwrap());
        assert_eq!(
            pass(&mut *after, 700, "m,a=1 v=1,s=\"x\",u=1u 700000000000"),
            ""
        );
        assert_eq!(
            pass(&mut *after, 700, "m,a=2 v=2 700000000000"),
            "m,a=2 v=2 700000000000"
        );
        after.restore(serde_json::json!({ "from": "another version" }));
    }

    #[test]
    fn the_cache_is_bounded() {
        let options = DedupOptions {
            max_series: 2,
            ..DedupOptions::default()
        };
        let mut dedup = Dedup::new(&options);
        for round in 0..3 {
            let lines = "m,a=1 v=1 100000000000\nm,a=2 v=1 100000000000\nm,a=3 v=1 100000000000";
            let want = if round == 0 {
                lines
            } else {
                "m,a=3 v=1 100000000000"
            };
            assert_eq!(pass(&mut dedup, 100, lines), want);
        }
        assert_eq!((dedup.seen.len(), dedup.refused), (2, 3));
        // Room is made when what was seen is too old.
        pass(&mut dedup, 1000, "m,a=4 v=1 1000000000000");
        assert_eq!((dedup.seen.len(), dedup.refused), (1, 0));
    }
}
