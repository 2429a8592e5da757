//! The batch: one string of text and rows that point into it.

use std::any::Any;
use std::sync::Arc;

use crate::value::Slot;
use crate::{Metric, MetricBuilder, MetricMut, MetricType, Text, Timestamp, Value};

/// The most text that one batch holds. A metric that would go past it is discarded and counted
/// ([`Batch::overflowed`]).
pub const MAX_TEXT_BYTES: usize = 1 << 30;

/// A run of tags or fields in the batch's shared vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Run {
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }

    pub(crate) fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(crate) key: Text,
    pub(crate) value: Text,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) key: Text,
    pub(crate) value: Slot,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: Text,
    pub(crate) tags: Run,
    pub(crate) fields: Run,
    pub(crate) time: i64,
    pub(crate) kind: MetricType,
    pub(crate) dropped: bool,
}

/// How much a batch holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    text: usize,
    tags: usize,
    fields: usize,
    rows: usize,
}

/// Many metrics in one arena.
///
/// Rows keep their index for the life of the batch; a dropped row stays in place and is skipped.
/// Text only grows: editing a metric appends the new text and changes where the row points.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) text: String,
    pub(crate) tags: Vec<Tag>,
    pub(crate) fields: Vec<Field>,
    pub(crate) rows: Vec<Row>,
    pub(crate) dropped: usize,
    pub(crate) overflowed: u64,
    pub(crate) full: bool,
    guard: Option<Arc<dyn Any + Send + Sync>>,
}

impl Batch {
    /// An empty batch. Allocates nothing until it is filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for about `metrics` metrics and `text` bytes of text.
    pub fn with_capacity(metrics: usize, text: usize) -> Self {
        Self {
            text: String::with_capacity(text.min(MAX_TEXT_BYTES)),
            tags: Vec::with_capacity(metrics.saturating_mul(2)),
            fields: Vec::with_capacity(metrics.saturating_mul(2)),
            rows: Vec::with_capacity(metrics),
            ..Self::default()
        }
    }

    /// An empty batch with room for what another one held, and a little text more.
    pub fn with_room(room: Room) -> Self {
        Self {
            text: String::with_capacity(room.text + room.text / 16),
            tags: Vec::with_capacity(room.tags),
            fields: Vec::with_capacity(room.fields),
            rows: Vec::with_capacity(room.rows),
            ..Self::default()
        }
    }

    /// How much room what the batch holds takes, for the next one like it.
    pub fn room(&self) -> Room {
        Room {
            text: self.text.len(),
            tags: self.tags.len(),
            fields: self.fields.len(),
            rows: self.rows.len(),
        }
    }

    /// Starts a metric; it joins the batch when the builder is finished with
    /// [`at`](MetricBuilder::at) or [`untimed`](MetricBuilder::untimed).
    pub fn metric(&mut self, name: impl crate::ToText) -> MetricBuilder<'_> {
        MetricBuilder::start(self, name)
    }

    /// Writes text that several metrics of this batch will share, and says where it is.
    pub fn text(&mut self, text: &str) -> Text {
        if text.is_empty() {
            return Text::EMPTY;
        }
        let start = self.text.len();
        if text.len() > MAX_TEXT_BYTES - start.min(MAX_TEXT_BYTES) {
            self.full = true;
            return Text::EMPTY;
        }
        self.text.push_str(text);
        Text {
            start: start as u32,
            len: text.len() as u32,
        }
    }

    /// The text at a place of this batch.
    ///
    /// # Panics
    /// If `text` came from another batch and lies outside of this one.
    pub fn resolve(&self, text: Text) -> &str {
        &self.text[text.range()]
    }

    /// Whether the text at a place of this batch is this one: mostly decided by the lengths.
    pub(crate) fn is(&self, place: Text, text: &str) -> bool {
        place.len as usize == text.len() && self.text.as_bytes()[place.range()] == *text.as_bytes()
    }

    /// How many metrics there are, dropped ones not counted.
    pub fn len(&self) -> usize {
        self.rows.len() - self.dropped
    }

    /// Whether no metric is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows there are, dropped ones included: the bound of row indices.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Metrics discarded because the batch's text was full.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The metrics, in the order in which they were added, dropped ones left out.
    pub fn iter(&self) -> impl Iterator<Item = Metric<'_>> + Clone {
        (0..self.rows.len()).filter_map(|row| self.get(row))
    }

    /// The metric in a row; `None` if the row was dropped or does not exist.
    pub fn get(&self, row: usize) -> Option<Metric<'_>> {
        self.rows
            .get(row)
            .filter(|r| !r.dropped)
            .map(|r| Metric::new(self, r, row))
    }

    /// The metric in a row, to edit; `None` if the row was dropped or does not exist.
    pub fn get_mut(&mut self, row: usize) -> Option<MetricMut<'_>> {
        let live = self.rows.get(row).is_some_and(|r| !r.dropped);
        live.then(|| MetricMut::new(self, row))
    }

    /// Calls `edit` for each metric. Metrics added meanwhile are not visited.
    pub fn for_each_mut(&mut self, mut edit: impl FnMut(MetricMut<'_>)) {
        for row in 0..self.rows.len() {
            if let Some(metric) = self.get_mut(row) {
                edit(metric);
            }
        }
    }

    /// Drops the metrics for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(Metric<'_>) -> bool) {
        for row in 0..self.rows.len() {
            if self.get(row).is_some_and(|m| !keep(m)) {
                self.drop_row(row);
            }
        }
    }

    /// Adds a copy of the metric in `row` and returns the copy's row; `None` if there is no such
    /// metric. Text is shared; tags and fields are copied, so the two can be edited apart.
    pub fn duplicate(&mut self, row: usize) -> Option<usize> {
        let mut copy = *self.rows.get(row).filter(|r| !r.dropped)?;
        let tags = self.tags.len();
        self.tags.extend_from_within(copy.tags.range());
        copy.tags.start = tags as u32;
        let fields = self.fields.len();
        self.fields.extend_from_within(copy.fields.range());
        copy.fields.start = fields as u32;
        self.rows.push(copy);
        Some(self.rows.len() - 1)
    }

    /// Appends a copy of a metric of this or another batch.
    pub fn push(&mut self, metric: Metric<'_>) {
        let mut copy = self.metric(metric.name()).kind(metric.kind());
        for (key, value) in metric.tags() {
            copy.add_tag(key, value);
        }
        for (key, value) in metric.fields() {
            copy.add_new_field(key, value);
        }
        copy.finish(metric.time());
    }

    /// Gives every metric that has no time this one.
    pub fn stamp(&mut self, time: Timestamp) {
        for row in &mut self.rows {
            if row.time == Timestamp::NONE {
                row.time = time.nanos();
            }
        }
    }

    /// Removes everything; keeps the memory for reuse.
    pub fn clear(&mut self) {
        self.text.clear();
        self.tags.clear();
        self.fields.clear();
        self.rows.clear();
        self.dropped = 0;
        self.overflowed = 0;
        self.full = false;
        self.guard = None;
    }

    /// Attaches something whose drop tells the source that the batch is dealt with: it is dropped
    /// when this batch and all its clones are, that is, when every output has written, rejected
    /// or discarded it.
    pub fn attach(&mut self, guard: Arc<dyn Any + Send + Sync>) {
        self.guard = Some(guard);
    }

    /// Attaches to this batch what is attached to `source`, from which its metrics were copied.
    pub fn attach_as(&mut self, source: &Self) {
        self.guard.clone_from(&source.guard);
    }

    /// Bytes of memory that the batch holds.
    pub fn memory(&self) -> usize {
        self.text.capacity()
            + self.tags.capacity() * size_of::<Tag>()
            + self.fields.capacity() * size_of::<Field>()
            + self.rows.capacity() * size_of::<Row>()
            + size_of::<Self>()
    }

    pub(crate) fn drop_row(&mut self, row: usize) {
        if let Some(row) = self.rows.get_mut(row)
            && !row.dropped
        {
            row.dropped = true;
            self.dropped += 1;
        }
    }

    pub(crate) fn slot(&mut self, value: Value<'_>) -> Slot {
        match value {
            Value::Float(v) => Slot::Float(v),
            Value::Int(v) => Slot::Int(v),
            Value::Uint(v) => Slot::Uint(v),
            Value::Bool(v) => Slot::Bool(v),
            Value::Text(v) => Slot::Text(self.text(v)),
        }
    }

    pub(crate) fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Float(v) => Value::Float(v),
            Slot::Int(v) => Value::Int(v),
            Slot::Uint(v) => Value::Uint(v),
            Slot::Bool(v) => Value::Bool(v),
            Slot::Text(v) => Value::Text(self.resolve(v)),
        }
    }
}
