//! From lines to metrics.

use muster_metric::{Batch, MetricType, Text, Timestamp};

use super::family::{Families, Family, Role};
use super::line::{Bad, Comment, Label, Sample, comment, sample};
use super::{Dialect, MAX_LINE_BYTES, Version, number};
use crate::{Problem, Report};

/// A series of more values, in version 1, is several metrics.
const MAX_SERIES_FIELDS: usize = 1024;

/// Reads a text once, with what it has to remember between lines.
#[derive(Debug)]
pub(super) struct Reader<'a, 'b> {
    dialect: Dialect,
    version: Version,
    ignore_time: bool,
    batch: &'b mut Batch,
    families: Families<'a>,
    labels: Vec<Label<'a>>,
    group: Group<'a>,
    texts: Texts<'a>,
}

/// A series whose values stand on several lines that follow each other.
#[derive(Debug, Default)]
struct Group<'a> {
    family: Family<'a>,
    labels: Vec<Label<'a>>,
    time: Option<i64>,
    fields: Vec<(Text, f64)>,
}

/// Texts that went into the batch lately: neighbouring lines share most of theirs.
#[derive(Debug, Default)]
struct Texts<'a> {
    /// By purpose: metric name, field name, unit, the key of the unit.
    slots: [Option<(&'a str, Text)>; 4],
    /// By position: a label's key and its value without escapes.
    keys: Vec<(&'a str, Text)>,
    values: Vec<(&'a str, Text)>,
    /// The tags of the metric that is being made.
    tags: Vec<(Text, Text)>,
}

const METRIC: usize = 0;
const FIELD: usize = 1;
const UNIT: usize = 2;
const UNIT_KEY: usize = 3;

impl<'a, 'b> Reader<'a, 'b> {
    pub(super) fn new(
        dialect: Dialect,
        version: Version,
        ignore_time: bool,
        batch: &'b mut Batch,
    ) -> Self {
        Self {
            dialect,
            version,
            ignore_time,
            batch,
            families: Families::new(dialect),
            labels: Vec::new(),
            group: Group::default(),
            texts: Texts::default(),
        }
    }

    pub(super) fn run(mut self, text: &'a str, report: &mut Report) {
        let mut rest = text;
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let end = memchr::memchr(b'\n', rest.as_bytes());
            let (line, after) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, ""),
            };
            rest = after;
            match self.line(line) {
                Ok(true) => {}
                Ok(false) => break,
                Err((at, message)) => {
                    report.note(Problem::new(number, at as u64 + 1, message));
                }
            }
        }
        self.close_group();
    }

    /// False at the end mark.
    fn line(&mut self, line: &'a str) -> Result<bool, Bad> {
        let bytes = line.as_bytes();
        let is_space = |b: &&u8| matches!(b, b' ' | b'\t' | b'\r');
        let indent = bytes.iter().take_while(is_space).count();
        let after = bytes[indent..].iter().rev().take_while(is_space).count();
        let trimmed = &line[indent..line.len() - after];
        if trimmed.is_empty() {
            return Ok(true);
        }
        if line.len() > MAX_LINE_BYTES {
            return Err((0, format!("the line has more than {MAX_LINE_BYTES} bytes")));
        }
        if trimmed.starts_with('#') {
            match comment(trimmed) {
                Comment::Type { family, kind } => {
                    if !self.families.set_kind(family, kind) {
                        let kind = crate::format::excerpt(kind);
                        return Err((indent, format!("there is no type {kind}")));
                    }
                }
                Comment::Unit { family, unit } => self.families.set_unit(family, unit),
                Comment::End if self.dialect == Dialect::OpenMetrics => return Ok(false),
                Comment::End | Comment::Other => {}
            }
            return Ok(true);
        }
        let mut labels = std::mem::take(&mut self.labels);
        let result = sample(trimmed, self.dialect, &mut labels)
            .and_then(|sample| self.sample(sample, &mut labels));
        self.labels = labels;
        result
            .map(|()| true)
            .map_err(|(at, message)| (indent + at, message))
    }

    fn sample(&mut self, mut sample: Sample<'a>, labels: &mut Vec<Label<'a>>) -> Result<(), Bad> {
        if self.ignore_time {
            sample.time = None;
        }
        // To Prometheus an empty label is as good as none.
        labels.retain(|label| !label.raw.is_empty());
        let (family, role) = self.families.of(sample.name);
        match (role, self.version) {
            (Role::Value | Role::Info, version) => {
                self.close_group();
                // Telegraf has no metric for a value that is not there.
                if !sample.value.is_nan() {
                    self.plain(family, role, version, sample, labels);
                }
            }
            (Role::Part(_), Version::V2) => {
                let name = self.texts.slot(FIELD, sample.name, self.batch);
                self.join(family, labels, sample.time, name, sample.value);
            }
            (Role::Part(part), Version::V1) => {
                let name = self.texts.slot(FIELD, part, self.batch);
                self.join(family, labels, sample.time, name, sample.value);
            }
            (Role::Bucket, version) => self.bound("le", version, family, sample, labels)?,
            (Role::Quantile, version) => self.bound("quantile", version, family, sample, labels)?,
        }
        Ok(())
    }

    /// A counter, a gauge or anything else that is one value.
    fn plain(
        &mut self,
        family: Family<'a>,
        role: Role,
        version: Version,
        sample: Sample<'a>,
        labels: &[Label<'a>],
    ) {
        let kind = family.kind.metric_type();
        let (metric, field) = match (version, role) {
            (Version::V1, Role::Info) => (family.name, "info"),
            (Version::V1, _) => (
                family.name,
                match kind {
                    MetricType::Counter => "counter",
                    MetricType::Gauge => "gauge",
                    _ => "value",
                },
            ),
            (Version::V2, Role::Info) => ("prometheus", sample.name),
            (Version::V2, _) => ("prometheus", family.name),
        };
        let metric = self.texts.slot(METRIC, metric, self.batch);
        let field = self.texts.slot(FIELD, field, self.batch);
        self.texts.tags(family, labels, self.batch);
        let mut builder = self.batch.metric(metric).kind(kind);
        for (key, value) in &self.texts.tags {
            builder.add_tag(*key, *value);
        }
        builder.add_new_field(field, sample.value);
        builder.finish(sample.time.map(Timestamp::from_nanos));
    }

    /// A bucket or a quantile: a metric with the bound as tag, or a field of its series.
    fn bound(
        &mut self,
        key: &str,
        version: Version,
        family: Family<'a>,
        sample: Sample<'a>,
        labels: &mut Vec<Label<'a>>,
    ) -> Result<(), Bad> {
        let Some(at) = labels.iter().position(|label| label.key == key) else {
            return Err((0, format!("there is no label \"{key}\"")));
        };
        let label = labels.remove(at);
        let Some(bound) = number::canonical(label.raw) else {
            let raw = crate::format::excerpt(label.raw);
            return Err((0, format!("label \"{key}\": {raw} is no number")));
        };
        match version {
            Version::V1 => {
                let is_nothing = key == "quantile" && sample.value.is_nan();
                if !is_nothing {
                    let name = self.batch.text(&bound);
                    self.join(family, labels, sample.time, name, sample.value);
                }
            }
            Version::V2 => {
                self.close_group();
                let metric = self.texts.slot(METRIC, "prometheus", self.batch);
                let field = self.texts.slot(FIELD, sample.name, self.batch);
                self.texts.tags(family, labels, self.batch);
                let kind = family.kind.metric_type();
                let mut builder = self.batch.metric(metric).kind(kind);
                for (key, value) in &self.texts.tags {
                    builder.add_tag(*key, *value);
                }
                builder.add_tag(label.key, bound);
                builder.add_new_field(field, sample.value);
                builder.finish(sample.time.map(Timestamp::from_nanos));
            }
        }
        Ok(())
    }

    /// Adds a field to the series, or begins another one.
    fn join(
        &mut self,
        family: Family<'a>,
        labels: &[Label<'a>],
        time: Option<i64>,
        name: Text,
        value: f64,
    ) {
        let group = &self.group;
        let same = !group.fields.is_empty()
            && group.fields.len() < MAX_SERIES_FIELDS
            && group.family == family
            && group.time == time
            && group.labels == labels;
        if !same {
            self.close_group();
            self.group.family = family;
            self.group.time = time;
            self.group.labels.clear();
            self.group.labels.extend_from_slice(labels);
        }
        self.group.fields.push((name, value));
    }

    fn close_group(&mut self) {
        if self.group.fields.is_empty() {
            return;
        }
        let (family, time) = (self.group.family, self.group.time);
        let metric = match self.version {
            Version::V1 => family.name,
            Version::V2 => "prometheus",
        };
        let metric = self.texts.slot(METRIC, metric, self.batch);
        self.texts.tags(family, &self.group.labels, self.batch);
        let mut builder = self.batch.metric(metric).kind(family.kind.metric_type());
        for (key, value) in &self.texts.tags {
            builder.add_tag(*key, *value);
        }
        for (name, value) in self.group.fields.drain(..) {
            builder.add_field(name, value);
        }
        builder.finish(time.map(Timestamp::from_nanos));
    }
}

impl<'a> Texts<'a> {
    fn slot(&mut self, slot: usize, wanted: &'a str, batch: &mut Batch) -> Text {
        match self.slots[slot] {
            Some((known, text)) if known == wanted => text,
            _ => {
                let text = batch.text(wanted);
                self.slots[slot] = Some((wanted, text));
                text
            }
        }
    }

    /// Makes the tags of the next metric.
    fn tags(&mut self, family: Family<'a>, labels: &[Label<'a>], batch: &mut Batch) {
        self.tags.clear();
        for (at, label) in labels.iter().enumerate() {
            let key = shared(&mut self.keys, at, label.key, batch);
            let value = if label.escaped {
                batch.text(&label.value())
            } else {
                shared(&mut self.values, at, label.raw, batch)
            };
            self.tags.push((key, value));
        }
        if !family.unit.is_empty() {
            let key = self.slot(UNIT_KEY, "unit", batch);
            let unit = self.slot(UNIT, family.unit, batch);
            self.tags.push((key, unit));
        }
    }
}

/// The text that stood in the same position of the line before, if it is the same.
fn shared<'a>(
    known: &mut Vec<(&'a str, Text)>,
    at: usize,
    wanted: &'a str,
    batch: &mut Batch,
) -> Text {
    if let Some((known, text)) = known.get(at)
        && *known == wanted
    {
        return *text;
    }
    let text = batch.text(wanted);
    if at < known.len() {
        known[at] = (wanted, text);
    } else {
        // Positions are filled in order, but for values with escapes.
        known.resize(at, ("", batch.text("")));
        known.push((wanted, text));
    }
    text
}
