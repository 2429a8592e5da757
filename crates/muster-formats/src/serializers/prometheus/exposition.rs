//! Metrics grouped into families, to be written at any time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use muster_metric::{Metric, MetricType, Timestamp, Value};

use super::TypesByName;
use super::series::{Part, Series, Values, number};
use super::text::{PrometheusText, is_legal, push_label, push_name};

/// The help that every family gets: the metrics themselves bring none.
const HELP: &str = "Metric collected by Muster.";

/// How the names of samples are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// The measurement and the field joined by `_`; the field alone if the measurement is
    /// `prometheus`. Telegraf's `metric_version = 2`, and its serializer.
    #[default]
    MeasurementAndField,
    /// The same, but for fields that say only what they are: `value`, and `counter` and `gauge`
    /// on metrics of that type, leave the measurement as name. Telegraf's `metric_version = 1`.
    Measurement,
}

/// What an [`Exposition`] does.
#[derive(Clone, Debug, Default)]
pub struct ExpositionOptions {
    /// How the names of samples are made.
    pub naming: Naming,
    /// Whether text fields become labels; otherwise they are left out.
    pub string_as_label: bool,
    /// Whether to write the metrics' times.
    pub export_timestamp: bool,
    /// Whether to leave the lines with help out.
    pub compact: bool,
    /// Whether to sort families by name and samples by labels.
    pub sort: bool,
    pub(super) types: Arc<TypesByName>,
}

/// A collection of samples as Prometheus wants to see them: families that stand together, each
/// series once with its latest value, histograms and summaries whole.
///
/// ```
/// use muster_formats::{Exposition, ExpositionOptions};
/// use muster_metric::{Batch, Timestamp};
///
/// let mut batch = Batch::new();
/// batch.metric("cpu").tag("cpu", "cpu0").field("time.user", 1.5).untimed();
///
/// let mut exposition = Exposition::new(ExpositionOptions::default());
/// let now = Timestamp::from_seconds(100);
/// for metric in batch.iter() {
///     exposition.add(metric, now);
/// }
///
/// let mut out = Vec::new();
/// exposition.write(&mut out);
/// assert!(out.ends_with(b"\n# TYPE cpu_time_user untyped\ncpu_time_user{cpu=\"cpu0\"} 1.5\n"));
///
/// assert_eq!(exposition.expire(Timestamp::from_seconds(101)), 1);
/// assert!(exposition.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    options: ExpositionOptions,
    families: Vec<Family>,
    by_name: HashMap<String, usize, RandomState>,
    /// Kept for its memory: the labels of the metric that is being added.
    labels: String,
    /// Likewise the name of the family.
    name: String,
}

#[derive(Clone, Debug)]
struct Family {
    name: String,
    kind: MetricType,
    series: Vec<Series>,
    by_labels: HashMap<String, usize, RandomState>,
}

impl Exposition {
    /// Nothing yet.
    pub fn new(options: ExpositionOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Adds the metric's numbers; `seen` is when it came, for [`expire`](Self::expire). A series
    /// that is there already gets the new value, unless it is older. Returns false if the metric
    /// has nothing that can be shown.
    ///
    /// A family keeps the type that it had first; a metric that would make a histogram or a
    /// summary of something else, or the reverse, is not shown.
    pub fn add(&mut self, metric: Metric<'_>, seen: Timestamp) -> bool {
        let bound_key = match metric.kind() {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => "",
        };
        let mut labels = std::mem::take(&mut self.labels);
        self.write_labels(metric, bound_key, &mut labels);
        let bound = metric
            .tag(bound_key)
            .and_then(|bound| bound.parse::<f64>().ok());
        let mut added = false;
        for (key, value) in metric.fields() {
            let Some(value) = number(value) else { continue };
            let Some((suffix, part)) = part(metric.kind(), key, bound) else {
                continue;
            };
            self.family_name(metric, key, suffix);
            added |= self.set(metric, &labels, part, value, seen);
        }
        self.labels = labels;
        added
    }

    /// Removes the series that came last before this time; says how many.
    pub fn expire(&mut self, before: Timestamp) -> usize {
        let mut removed = 0;
        for family in &mut self.families {
            let count = family.series.len();
            family.series.retain(|series| series.seen >= before);
            if family.series.len() == count {
                continue;
            }
            removed += count - family.series.len();
            let labels = family.series.iter().map(|series| series.labels.clone());
            family.by_labels = labels
                .enumerate()
                .map(|(at, labels)| (labels, at))
                .collect();
        }
        if removed > 0 {
            self.families.retain(|family| !family.series.is_empty());
            let names = self.families.iter().map(|family| family.name.clone());
            self.by_name = names.enumerate().map(|(at, name)| (name, at)).collect();
        }
        removed
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.families.iter().map(|family| family.series.len()).sum()
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// Appends the text.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = PrometheusText::new();
        let mut families: Vec<&Family> = self.families.iter().collect();
        if self.options.sort {
            families.sort_by(|a, b| a.name.cmp(&b.name));
        }
        for family in families {
            let help = if self.options.compact { "" } else { HELP };
            text.family(&family.name, family.kind, help);
            let mut series: Vec<&Series> = family.series.iter().collect();
            if self.options.sort {
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            for series in series {
                let timestamps = self.options.export_timestamp;
                series.write(&family.name, family.kind, timestamps, &mut text);
            }
        }
        out.extend_from_slice(text.finish().as_bytes());
    }

    /// Tags, and text fields if wanted, by key; of keys that become equal the first one counts.
    fn write_labels(&self, metric: Metric<'_>, bound_key: &str, out: &mut String) {
        out.clear();
        let mut names: Vec<Cow<'_, str>> = Vec::new();
        let tags = metric
            .tags()
            .filter(|(key, _)| bound_key.is_empty() || *key != bound_key);
        let texts = metric.fields().filter_map(|(key, value)| match value {
            Value::Text(text) if self.options.string_as_label => Some((key, text)),
            _ => None,
        });
        for (key, value) in tags
            .chain(texts)
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        {
            let name = if is_legal(key, false) {
                Cow::Borrowed(key)
            } else {
                let mut name = String::new();
                push_name(key, false, &mut name);
                Cow::Owned(name)
            };
            // Only these two mean something to the format itself.
            let reserved = !bound_key.is_empty() && name == bound_key;
            if reserved || names.contains(&name) {
                continue;
            }
            if !out.is_empty() {
                out.push(',');
            }
            push_label(&name, value, out);
            names.push(name);
        }
    }

    /// Puts the name of the family of a field into `self.name`.
    fn family_name(&mut self, metric: Metric<'_>, key: &str, suffix: &str) {
        let key = key.strip_suffix(suffix).unwrap_or(key);
        let measurement = metric.name();
        let says_what_it_is = self.options.naming == Naming::Measurement
            && match key {
                "value" => true,
                "counter" => metric.kind() == MetricType::Counter,
                "gauge" => metric.kind() == MetricType::Gauge,
                _ => false,
            };
        let (first, second) = match (measurement, key) {
            (measurement, "") => (measurement, ""),
            (measurement, _) if says_what_it_is => (measurement, ""),
            ("prometheus" | "", key) => (key, ""),
            (measurement, key) => (measurement, key),
        };
        self.name.clear();
        push_name(first, true, &mut self.name);
        if !second.is_empty() {
            self.name.push('_');
            // After the underscore a digit is legal.
            let start = self.name.len();
            push_name(second, true, &mut self.name);
            if second.as_bytes()[0].is_ascii_digit() {
                self.name.replace_range(start..=start, &second[..1]);
            }
        }
    }

    fn set(
        &mut self,
        metric: Metric<'_>,
        labels: &str,
        part: Part,
        value: f64,
        seen: Timestamp,
    ) -> bool {
        let kind = match metric.kind() {
            kind @ (MetricType::Histogram | MetricType::Summary) => kind,
            kind => self.options.types.of(&self.name, kind),
        };
        let at = match self.by_name.get(&self.name) {
            Some(at) => *at,
            None => {
                self.by_name.insert(self.name.clone(), self.families.len());
                self.families.push(Family::new(self.name.clone(), kind));
                self.families.len() - 1
            }
        };
        let family = &mut self.families[at];
        let is_whole = |kind| matches!(kind, MetricType::Histogram | MetricType::Summary);
        if family.kind != kind && (is_whole(family.kind) || is_whole(kind)) {
            return false;
        }
        let series = family.series(labels, seen);
        if series
            .time
            .is_some_and(|known| metric.time().is_some_and(|time| time < known))
        {
            return true;
        }
        series.values.set(part, value);
        series.time = metric.time();
        series.seen = seen;
        true
    }
}

impl Family {
    fn new(name: String, kind: MetricType) -> Self {
        Self {
            name,
            kind,
            series: Vec::new(),
            by_labels: HashMap::default(),
        }
    }

    fn series(&mut self, labels: &str, seen: Timestamp) -> &mut Series {
        let at = match self.by_labels.get(labels) {
            Some(at) => *at,
            None => {
                let (time, values) = (None, Values::new(self.kind));
                self.series.push(Series {
                    labels: labels.to_owned(),
                    time,
                    seen,
                    values,
                });
                self.by_labels
                    .insert(labels.to_owned(), self.series.len() - 1);
                self.series.len() - 1
            }
        };
        &mut self.series[at]
    }
}

/// What a field is of its family, and the end of its key that says so. Understands the fields of
/// both versions: `x_sum`, `x_bucket` with a tag `le`, and `sum`, `0.5`.
fn part(kind: MetricType, key: &str, bound: Option<f64>) -> Option<(&str, Part)> {
    if !matches!(kind, MetricType::Histogram | MetricType::Summary) {
        return Some(("", Part::Value));
    }
    for (suffix, part) in [("_sum", Part::Sum), ("_count", Part::Count)] {
        if key.ends_with(suffix) {
            return Some((suffix, part));
        }
        if key == &suffix[1..] {
            return Some((key, part));
        }
    }
    match (kind, bound) {
        (MetricType::Histogram, Some(bound)) if key.ends_with("_bucket") => {
            return Some(("_bucket", Part::Bound(bound)));
        }
        (MetricType::Summary, Some(bound)) => return Some(("", Part::Bound(bound))),
        _ => {}
    }
    let bound = key.parse::<f64>().ok().filter(|bound| !bound.is_nan())?;
    Some((key, Part::Bound(bound)))
}
