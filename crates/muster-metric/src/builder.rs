//! Adding a metric to a batch.

use crate::batch::{Batch, Field, Row, Run, Tag};
use crate::{MetricType, Text, Timestamp, ToText, Value};

/// A metric that is being added. Finish it with [`at`](Self::at) or [`untimed`](Self::untimed);
/// dropping it unfinished discards it.
#[must_use = "a metric joins the batch when it is finished with `at` or `untimed`"]
#[derive(Debug)]
pub struct MetricBuilder<'a> {
    batch: &'a mut Batch,
    name: Text,
    kind: MetricType,
    first_tag: usize,
    first_field: usize,
}

impl<'a> MetricBuilder<'a> {
    pub(crate) fn start(batch: &'a mut Batch, name: impl ToText) -> Self {
        batch.full = false;
        let name = name.to_text(batch);
        let (first_tag, first_field) = (batch.tags.len(), batch.fields.len());
        Self {
            batch,
            name,
            kind: MetricType::Untyped,
            first_tag,
            first_field,
        }
    }

    /// Adds a tag; a key that is there already gets the new value.
    pub fn tag(mut self, key: impl ToText, value: impl ToText) -> Self {
        self.add_tag(key, value);
        self
    }

    /// Adds a field; a key that is there already gets the new value.
    pub fn field<'v>(mut self, key: impl ToText, value: impl Into<Value<'v>>) -> Self {
        self.add_field(key, value);
        self
    }

    /// Says what the numbers mean.
    pub fn kind(mut self, kind: MetricType) -> Self {
        self.kind = kind;
        self
    }

    /// As [`tag`](Self::tag), for loops.
    pub fn add_tag(&mut self, key: impl ToText, value: impl ToText) -> &mut Self {
        let key = key.to_text(self.batch);
        let value = value.to_text(self.batch);
        self.batch.tags.push(Tag { key, value });
        self
    }

    /// As [`field`](Self::field), for loops.
    pub fn add_field<'v>(&mut self, key: impl ToText, value: impl Into<Value<'v>>) -> &mut Self {
        let key = key.to_text(self.batch);
        let value = self.batch.slot(value.into());
        let wanted = &self.batch.text[key.range()];
        let known = self.batch.fields[self.first_field..]
            .iter()
            .position(|field| {
                field.key.len == key.len && &self.batch.text[field.key.range()] == wanted
            });
        match known {
            Some(at) => self.batch.fields[self.first_field + at].value = value,
            None => self.batch.fields.push(Field { key, value }),
        }
        self
    }

    /// As [`add_field`](Self::add_field), for a key that is known to be new: not searched for.
    pub fn add_new_field<'v>(
        &mut self,
        key: impl ToText,
        value: impl Into<Value<'v>>,
    ) -> &mut Self {
        let key = key.to_text(self.batch);
        let value = self.batch.slot(value.into());
        self.batch.fields.push(Field { key, value });
        self
    }

    /// How many fields were added so far.
    pub fn field_count(&self) -> usize {
        self.batch.fields.len() - self.first_field
    }

    /// Finishes the metric with its time.
    pub fn at(self, time: Timestamp) {
        self.finish(Some(time));
    }

    /// Finishes the metric without a time: it gets that of the collection.
    pub fn untimed(self) {
        self.finish(None);
    }

    /// Finishes the metric with a time, if there is one.
    pub fn finish(mut self, time: Option<Timestamp>) {
        if self.batch.full {
            self.batch.overflowed += 1;
            return; // Drop takes the tags and fields back.
        }
        sort_tags(self.batch, self.first_tag);
        let run = |start: usize, end: usize| Run {
            start: start as u32,
            len: (end - start) as u32,
        };
        let row = Row {
            name: self.name,
            tags: run(self.first_tag, self.batch.tags.len()),
            fields: run(self.first_field, self.batch.fields.len()),
            time: time.map_or(Timestamp::NONE, Timestamp::nanos),
            kind: self.kind,
            dropped: false,
        };
        self.batch.rows.push(row);
        // What was added belongs to the row now: nothing is left for Drop to take back.
        self.first_tag = self.batch.tags.len();
        self.first_field = self.batch.fields.len();
    }
}

/// Sorts the tags from `first` on by key and keeps the last of equal ones.
pub(crate) fn sort_tags(batch: &mut Batch, first: usize) {
    let text = batch.text.as_str();
    let key = |tag: &Tag| &text[tag.key.range()];
    let tags = &mut batch.tags[first..];
    if tags.is_sorted_by(|a, b| key(a) < key(b)) {
        return;
    }
    tags.sort_by(|a, b| key(a).cmp(key(b)));
    let mut kept = 0;
    for at in 0..tags.len() {
        let last_of_its_key = tags
            .get(at + 1)
            .is_none_or(|next| key(next) != key(&tags[at]));
        if last_of_its_key {
            tags[kept] = tags[at];
            kept += 1;
        }
    }
    batch.tags.truncate(first + kept);
}

/// Of the fields from `first` on with the same key, keeps the first with the value of the last.
/// Takes time in proportion to the sorting of the keys, so it is meant for many fields.
pub(crate) fn unite_fields(batch: &mut Batch, first: usize) {
    let text = batch.text.as_bytes();
    let fields = &mut batch.fields[first..];
    let keys: Vec<Text> = fields.iter().map(|field| field.key).collect();
    let key = |at: usize| &text[keys[at].range()];
    let mut order: Vec<usize> = (0..fields.len()).collect();
    order.sort_by(|&a, &b| key(a).cmp(key(b)));
    let mut later = vec![false; fields.len()];
    for pair in order.chunk_by(|&a, &b| key(a) == key(b)) {
        // The sort is stable: positions of equal keys ascend.
        if let [head, .., last] = *pair {
            fields[head].value = fields[last].value;
            pair[1..].iter().for_each(|&at| later[at] = true);
        }
    }
    let mut kept = 0;
    for at in 0..fields.len() {
        if !later[at] {
            fields[kept] = fields[at];
            kept += 1;
        }
    }
    batch.fields.truncate(first + kept);
}

impl Drop for MetricBuilder<'_> {
    fn drop(&mut self) {
        self.batch.tags.truncate(self.first_tag);
        self.batch.fields.truncate(self.first_field);
    }
}
