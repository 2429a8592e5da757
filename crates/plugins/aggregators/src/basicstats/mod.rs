//! `aggregators.basicstats`: count, mean, deviation, difference and rate of each numeric field, as
//! `<field>_<statistic>`.
//!
//! `s2` and `stdev` are those of a sample. Differences, rates, percentage and interval are taken
//! between the first and the last metric of the window. All that needs two values is left out
//! when there was only one; the non-negative ones are left out when the value fell.

mod stats;

#[cfg(test)]
mod tests;

use muster_metric::{Batch, Metric, Timestamp};
use muster_options::{JsonSchema, Options};
use muster_plugin::{Aggregator, Build, FormatUse, PluginRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::series::{Series, number};
use stats::Stats;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "basicstats",
    summary: "count, mean, deviation, difference, rate and the like of each field",
    options: StatsOptions::describe,
    format: FormatUse::None,
    build: Build::Aggregator(|cx| {
        let options = StatsOptions::parse(cx.options())?;
        Ok(Box::new(BasicStats {
            stats: options.stats,
            series: Series::new(options.max_series),
        }))
    }),
};

/// Which statistics are given out.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct StatsOptions {
    /// The statistics.
    stats: Vec<Stat>,
    /// The most series in a window; metrics of further ones are left out.
    max_series: u32,
}

impl Default for StatsOptions {
    fn default() -> Self {
        let stats = vec![
            Stat::Count,
            Stat::Min,
            Stat::Max,
            Stat::Mean,
            Stat::S2,
            Stat::Stdev,
        ];
        Self {
            stats,
            max_series: crate::MAX_SERIES,
        }
    }
}

/// A statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Stat {
    /// How many values there were.
    Count,
    /// The last value less the first.
    Diff,
    /// The difference by second.
    Rate,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The mean.
    Mean,
    /// The difference, if it is not negative.
    NonNegativeDiff,
    /// The rate, if it is not negative.
    NonNegativeRate,
    /// The difference in percent of the first value.
    PercentChange,
    /// The nanoseconds between the first value and the last.
    Interval,
    /// The variance.
    #[serde(alias = "variance")]
    S2,
    /// The standard deviation.
    Stdev,
    /// The sum.
    Sum,
    /// The last value.
    Last,
    /// The first value.
    First,
}

/// A field and its values so far.
type Fields = Vec<(Box<str>, Stats)>;

#[derive(Debug)]
struct BasicStats {
    stats: Vec<Stat>,
    series: Series<Fields>,
}

/// The name of the statistic's field, and its value, if there is one.
fn statistic(stat: Stat, stats: &Stats) -> (&'static str, Option<Number>) {
    let pair = stats.count > 1.0;
    let rose = pair && stats.diff() >= 0.0;
    let float = |wanted: bool, value: f64| wanted.then_some(Number::Float(value));
    match stat {
        Stat::Count => ("count", float(true, stats.count)),
        Stat::Min => ("min", float(true, stats.min)),
        Stat::Max => ("max", float(true, stats.max)),
        Stat::Mean => ("mean", float(true, stats.mean)),
        Stat::Sum => ("sum", float(true, stats.sum)),
        Stat::Last => ("last", float(true, stats.last)),
        Stat::First => ("first", float(true, stats.first)),
        Stat::S2 => ("s2", float(pair, stats.variance())),
        Stat::Stdev => ("stdev", float(pair, stats.variance().sqrt())),
        Stat::Diff => ("diff", float(pair, stats.diff())),
        Stat::NonNegativeDiff => ("non_negative_diff", float(rose, stats.diff())),
        Stat::Rate => ("rate", float(pair, stats.rate())),
        Stat::NonNegativeRate => ("non_negative_rate", float(rose, stats.rate())),
        Stat::PercentChange => (
            "percent_change",
            float(pair, stats.diff() / stats.first * 100.0),
        ),
        Stat::Interval => ("interval", pair.then_some(Number::Int(stats.interval()))),
    }
}

/// A statistic's value.
#[derive(Clone, Copy, Debug)]
enum Number {
    Float(f64),
    Int(i64),
}

impl Aggregator for BasicStats {
    fn add(&mut self, metric: Metric<'_>) {
        let Some(fields) = self.series.of(metric, 0, Fields::new) else {
            return;
        };
        let time = metric.time().map_or(0, Timestamp::nanos);
        for (key, value) in metric.fields() {
            let Some(value) = number(value) else { continue };
            match fields.iter_mut().find(|(field, _)| **field == *key) {
                Some((_, stats)) => stats.add(value, time),
                None => fields.push((key.into(), Stats::new(value, time))),
            }
        }
    }

    fn push(&mut self, batch: &mut Batch) {
        self.series.take_refused(ROW.name);
        for entry in self.series.iter() {
            let mut metric = entry.metric(batch);
            for (field, stats) in &entry.kept {
                for stat in &self.stats {
                    let (name, value) = statistic(*stat, stats);
                    match value {
                        Some(Number::Float(value)) => {
                            metric.add_field(format!("{field}_{name}"), value)
                        }
                        Some(Number::Int(value)) => {
                            metric.add_field(format!("{field}_{name}"), value)
                        }
                        None => continue,
                    };
                }
            }
            // Without fields it is dropped unfinished.
            if metric.field_count() > 0 {
                metric.untimed();
            }
        }
    }

    fn reset(&mut self) {
        self.series.clear();
    }

    fn state(&self) -> Option<Value> {
        let field = |(field, stats): &(Box<str>, Stats)| {
            Value::from(vec![Value::from(&**field), stats.save()])
        };
        Some(
            self.series
                .save(|fields| fields.iter().map(field).collect()),
        )
    }

    fn restore(&mut self, state: Value) {
        let field = |saved: &Value| Some((saved[0].as_str()?.into(), Stats::load(&saved[1])?));
        self.series.load(&state, |saved| {
            saved.as_array()?.iter().map(field).collect()
        });
    }
}
