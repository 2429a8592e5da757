//! `processors.topk`: lets only the metrics of the greatest (or least) groups pass, once a period.
//!
//! Metrics are held and grouped by name and tags. When a batch comes after the period is over, the
//! values of each field are aggregated by group, and for each field all metrics of the first `k`
//! groups pass; a group is passed once, however often it is chosen. A metric that has none of the
//! fields is dropped, and a group without numbers in a field is not ranked for that field.
//!
//! At most `max_metrics` are held; what comes beyond is dropped and counted in the log. What is
//! held survives a change of options, and is ranked and passed when the processor ends.

mod rank;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use muster_metric::{Batch, Metric, Timestamp};
use muster_options::{Globs, JsonSchema, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Selected, StatefulProcessor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pattern::globs;
use crate::saved;
use rank::{Aggregation, Stats};

pub(crate) const ROW: PluginRow = PluginRow {
    name: "topk",
    summary: "lets the greatest or least series of a period pass",
    options: TopkOptions::describe,
    format: FormatUse::None,
    build: Build::StatefulProcessor(build),
};

/// What is ranked, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TopkOptions {
    /// How long metrics are held before they are ranked.
    period: muster_options::Duration,
    /// How many groups pass for each field.
    k: u32,
    /// Keys of tags, with wildcards, by which metrics are grouped, beside their names.
    group_by: Vec<String>,
    /// The fields to rank by, each on its own.
    fields: Vec<String>,
    /// What a group's value is, of all values of the field in the group.
    aggregation: Aggregation,
    /// Let the least groups pass, not the greatest.
    bottomk: bool,
    /// A tag that says by which name and tags the metric was grouped; none by default.
    add_groupby_tag: String,
    /// For these of the fields, the group's place is added as the field `<field>_topk_rank`.
    add_rank_fields: Vec<String>,
    /// For these of the fields, the group's value is added as the field `<field>_topk_aggregate`.
    add_aggregate_fields: Vec<String>,
    /// The most metrics that are held.
    max_metrics: u32,
}

impl Default for TopkOptions {
    fn default() -> Self {
        Self {
            period: muster_options::Duration::from_secs(10),
            k: 10,
            group_by: vec!["*".to_owned()],
            fields: vec!["value".to_owned()],
            aggregation: Aggregation::Mean,
            bottomk: false,
            add_groupby_tag: String::new(),
            add_rank_fields: Vec::new(),
            add_aggregate_fields: Vec::new(),
            max_metrics: 100_000,
        }
    }
}

/// A field to rank by.
#[derive(Debug)]
struct Field {
    key: String,
    /// The names of the fields that are added.
    rank: Option<String>,
    aggregate: Option<String>,
}

/// The metrics of one name and the same grouping tags.
#[derive(Debug)]
struct Group {
    key: String,
    rows: Vec<usize>,
    /// For each field to rank by.
    stats: Vec<Stats>,
}

#[derive(Debug)]
struct Topk {
    period: Duration,
    k: usize,
    group_by: Globs,
    fields: Vec<Field>,
    aggregation: Aggregation,
    bottom: bool,
    group_tag: String,
    max_metrics: usize,
    held: Batch,
    groups: Vec<Group>,
    by_key: HashMap<String, usize, foldhash::fast::RandomState>,
    since: Option<Timestamp>,
    refused: u64,
}

fn build(cx: &BuildContext) -> Built<Box<dyn StatefulProcessor>> {
    let options = TopkOptions::parse(cx.options())?;
    let group_by = globs("group_by", &options.group_by).map_err(|error| vec![error])?;
    let named = |key: &String, list: &[String], suffix: &str| {
        list.contains(key).then(|| format!("{key}_topk_{suffix}"))
    };
    let field = |key: &String| Field {
        key: key.clone(),
        rank: named(key, &options.add_rank_fields, "rank"),
        aggregate: named(key, &options.add_aggregate_fields, "aggregate"),
    };
    Ok(Box::new(Topk {
        period: options.period.get(),
        k: options.k as usize,
        group_by,
        fields: options.fields.iter().map(field).collect(),
        aggregation: options.aggregation,
        bottom: options.bottomk,
        group_tag: options.add_groupby_tag,
        max_metrics: options.max_metrics as usize,
        held: Batch::new(),
        groups: Vec::new(),
        by_key: HashMap::default(),
        since: None,
        refused: 0,
    }))
}

impl Topk {
    fn write_group_key(&self, metric: Metric<'_>, key: &mut String) {
        key.clear();
        key.push_str(metric.name());
        key.push('&');
        for (tag, value) in metric.tags().filter(|(tag, _)| self.group_by.matches(tag)) {
            for part in [tag, "=", value, "&"] {
                key.push_str(part);
            }
        }
    }

    fn hold(&mut self, metric: Metric<'_>, key: &mut String) {
        if !self
            .fields
            .iter()
            .any(|field| metric.field(&field.key).is_some())
        {
            return;
        }
        if self.held.len() >= self.max_metrics {
            self.refused += 1;
            return;
        }
        self.write_group_key(metric, key);
        let at = match self.by_key.get(key.as_str()) {
            Some(at) => *at,
            None => {
                let stats = vec![Stats::default(); self.fields.len()];
                self.groups.push(Group {
                    key: key.clone(),
                    rows: Vec::new(),
                    stats,
                });
                self.by_key.insert(key.clone(), self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        let row = self.held.rows();
        self.held.push(metric);
        let group = &mut self.groups[at];
        group.rows.push(row);
        for (field, stats) in self.fields.iter().zip(&mut group.stats) {
            if let Some(value) = metric.field(&field.key) {
                stats.add(value);
            }
        }
    }

    /// Appends the metrics of the chosen groups to `out` and forgets all that is held.
    fn pass(&mut self, out: &mut Batch) {
        let mut chosen: Vec<usize> = Vec::new();
        for (at, field) in self.fields.iter().enumerate() {
            let values = self
                .groups
                .iter()
                .map(|group| group.stats[at].get(self.aggregation));
            for (place, (index, value)) in rank::first(values, self.k, self.bottom)
                .into_iter()
                .enumerate()
            {
                for row in &self.groups[index].rows {
                    let Some(mut metric) = self.held.get_mut(*row) else {
                        continue;
                    };
                    if let Some(name) = &field.aggregate {
                        metric.set_field(name, value);
                    }
                    if let Some(name) = &field.rank {
                        metric.set_field(name, place as i64 + 1);
                    }
                }
                if !chosen.contains(&index) {
                    chosen.push(index);
                }
            }
        }
        for index in chosen {
            let group = &self.groups[index];
            for row in &group.rows {
                if !self.group_tag.is_empty()
                    && let Some(mut metric) = self.held.get_mut(*row)
                {
                    metric.set_tag(&self.group_tag, &group.key);
                }
                if let Some(metric) = self.held.get(*row) {
                    out.push(metric);
                }
            }
        }
        self.held.clear();
        self.groups.clear();
        self.by_key.clear();
        if self.refused > 0 {
            let (refused, max_metrics) = (self.refused, self.max_metrics);
            tracing::warn!(
                refused,
                max_metrics,
                "topk dropped metrics beyond those it can hold"
            );
            self.refused = 0;
        }
    }
}

impl StatefulProcessor for Topk {
    fn apply(&mut self, metrics: &mut Selected<'_>, cx: &ProcessContext) {
        let mut key = String::new();
        metrics.for_each(|metric| {
            self.hold(metric.view(), &mut key);
            metric.discard();
        });
        let since = *self.since.get_or_insert(cx.now);
        // A clock that was set back begins a new period.
        if cx.now >= since.saturating_add(self.period) || cx.now < since {
            self.pass(metrics.batch());
            self.since = Some(cx.now);
        }
    }

    fn finish(&mut self, batch: &mut Batch) {
        self.pass(batch);
    }

    fn state(&self) -> Option<Value> {
        Some(serde_json::json!({
            "since": self.since.map(Timestamp::nanos),
            "metrics": saved::save(self.held.iter()),
        }))
    }

    fn restore(&mut self, state: Value) {
        self.since = state["since"]
            .as_i64()
            .map(Timestamp::from_nanos)
            .or(self.since);
        let mut batch = Batch::new();
        saved::load(&state["metrics"], &mut batch);
        let mut key = String::new();
        for metric in batch.iter() {
            self.hold(metric, &mut key);
        }
    }
}
