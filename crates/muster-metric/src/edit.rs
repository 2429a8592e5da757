//! Editing one metric of a batch in place.

use crate::batch::{Batch, Field, Row, Tag};
use crate::{Metric, MetricType, Text, Timestamp, ToText, Value};

/// One metric of a [`Batch`], to edit. Other metrics of the batch are never touched.
#[derive(Debug)]
pub struct MetricMut<'a> {
    batch: &'a mut Batch,
    index: usize,
}

impl<'a> MetricMut<'a> {
    pub(crate) fn new(batch: &'a mut Batch, index: usize) -> Self {
        Self { batch, index }
    }

    fn row(&self) -> &Row {
        &self.batch.rows[self.index]
    }

    fn row_mut(&mut self) -> &mut Row {
        &mut self.batch.rows[self.index]
    }

    /// The metric as it is now, to read.
    pub fn view(&self) -> Metric<'_> {
        Metric::new(self.batch, self.row(), self.index)
    }

    /// The row of the batch in which this metric lies.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The measurement's name.
    pub fn name(&self) -> &str {
        self.batch.resolve(self.row().name)
    }

    /// Renames the measurement.
    pub fn set_name(&mut self, name: impl ToText) {
        let name = name.to_text(self.batch);
        self.row_mut().name = name;
    }

    /// Sets the time.
    pub fn set_time(&mut self, time: Timestamp) {
        self.row_mut().time = time.nanos();
    }

    /// Sets what the numbers mean.
    pub fn set_kind(&mut self, kind: MetricType) {
        self.row_mut().kind = kind;
    }

    /// Drops the metric from the batch.
    pub fn discard(self) {
        self.batch.drop_row(self.index);
    }

    /// Writes text into the batch, to use it several times by its place.
    pub fn text(&mut self, text: &str) -> Text {
        self.batch.text(text)
    }

    // --- tags ---

    /// How many tags there are.
    pub fn tag_count(&self) -> usize {
        self.row().tags.len as usize
    }

    /// The tag at a position, in the order of the keys.
    ///
    /// # Panics
    /// If `at` is not below [`tag_count`](Self::tag_count).
    pub fn tag_at(&self, at: usize) -> (&str, &str) {
        let tag = self.batch.tags[self.row().tags.range()][at];
        (self.batch.resolve(tag.key), self.batch.resolve(tag.value))
    }

    /// A tag's value.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.find_tag(key).map(|at| self.tag_at(at).1)
    }

    /// Sets a tag, replacing the value of one with the same key.
    pub fn set_tag(&mut self, key: impl ToText, value: impl ToText) {
        let key = key.to_text(self.batch);
        let value = value.to_text(self.batch);
        match self.tag_position(self.batch.resolve(key)) {
            Ok(at) => {
                let start = self.row().tags.start as usize;
                self.batch.tags[start + at].value = value;
            }
            Err(at) => self.insert_tag(at, Tag { key, value }),
        }
    }

    /// Sets a tag unless there is one with the same key. Returns whether it was set.
    pub fn set_tag_if_absent(&mut self, key: impl ToText, value: impl ToText) -> bool {
        let key = key.to_text(self.batch);
        match self.tag_position(self.batch.resolve(key)) {
            Ok(_) => false,
            Err(at) => {
                let value = value.to_text(self.batch);
                self.insert_tag(at, Tag { key, value });
                true
            }
        }
    }

    /// Replaces the value of the tag at a position.
    ///
    /// # Panics
    /// If `at` is not below [`tag_count`](Self::tag_count).
    pub fn set_tag_value_at(&mut self, at: usize, value: impl ToText) {
        let value = value.to_text(self.batch);
        let range = self.row().tags.range();
        self.batch.tags[range][at].value = value;
    }

    /// Removes a tag. Returns whether it was there.
    pub fn remove_tag(&mut self, key: &str) -> bool {
        let Some(at) = self.find_tag(key) else {
            return false;
        };
        let range = self.row().tags.range();
        self.batch.tags[range].copy_within(at + 1.., at);
        self.row_mut().tags.len -= 1;
        true
    }

    /// Gives a tag another key, replacing a tag that had that one. Returns whether the tag was
    /// there.
    pub fn rename_tag(&mut self, from: &str, to: impl ToText) -> bool {
        let Some(at) = self.find_tag(from) else {
            return false;
        };
        let key = to.to_text(self.batch);
        let place = self.tag_position(self.batch.resolve(key));
        let range = self.row().tags.range();
        let tags = &mut self.batch.tags[range];
        let value = tags[at].value;
        match place {
            Ok(same) if same == at => {}
            Ok(other) => {
                tags[other].value = value;
                tags.copy_within(at + 1.., at);
                self.row_mut().tags.len -= 1;
            }
            // The tags between the old and the new place move up or down by one.
            Err(place) => {
                let place = if place > at {
                    tags[at..place].rotate_left(1);
                    place - 1
                } else {
                    tags[place..=at].rotate_right(1);
                    place
                };
                tags[place] = Tag { key, value };
            }
        }
        true
    }

    /// Keeps the tags for which `keep` is true.
    pub fn retain_tags(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let range = self.row().tags.range();
        let text = self.batch.text.as_str();
        let tags = &mut self.batch.tags[range];
        let mut kept = 0;
        for at in 0..tags.len() {
            if keep(&text[tags[at].key.range()], &text[tags[at].value.range()]) {
                tags[kept] = tags[at];
                kept += 1;
            }
        }
        self.row_mut().tags.len = kept as u32;
    }

    /// Where a tag is. Most keys are told apart by their lengths, which is less work than to search
    /// by order.
    fn find_tag(&self, key: &str) -> Option<usize> {
        let tags = &self.batch.tags[self.row().tags.range()];
        tags.iter().position(|tag| self.batch.is(tag.key, key))
    }

    /// Where a tag is, or where it would have to be.
    fn tag_position(&self, key: &str) -> Result<usize, usize> {
        let tags = &self.batch.tags[self.row().tags.range()];
        tags.binary_search_by(|tag| self.batch.resolve(tag.key).cmp(key))
    }

    fn insert_tag(&mut self, at: usize, tag: Tag) {
        let run = self.row().tags;
        if run.end() != self.batch.tags.len() {
            let start = self.batch.tags.len();
            self.batch.tags.extend_from_within(run.range());
            self.row_mut().tags.start = start as u32;
        }
        let start = self.row().tags.start as usize;
        self.batch.tags.insert(start + at, tag);
        self.row_mut().tags.len += 1;
    }

    // --- fields ---

    /// How many fields there are.
    pub fn field_count(&self) -> usize {
        self.row().fields.len as usize
    }

    /// The field at a position, in the order in which they were added.
    ///
    /// # Panics
    /// If `at` is not below [`field_count`](Self::field_count).
    pub fn field_at(&self, at: usize) -> (&str, Value<'_>) {
        let field = self.batch.fields[self.row().fields.range()][at];
        (self.batch.resolve(field.key), self.batch.value(field.value))
    }

    /// A field's value.
    pub fn field(&self, key: &str) -> Option<Value<'_>> {
        self.field_position(key).map(|at| self.field_at(at).1)
    }

    /// Sets a field, replacing the value of one with the same key.
    pub fn set_field<'v>(&mut self, key: impl ToText, value: impl Into<Value<'v>>) {
        let key = key.to_text(self.batch);
        let value = self.batch.slot(value.into());
        match self.field_position(self.batch.resolve(key)) {
            Some(at) => {
                let range = self.row().fields.range();
                self.batch.fields[range][at].value = value;
            }
            None => {
                let run = self.row().fields;
                if run.end() != self.batch.fields.len() {
                    let start = self.batch.fields.len();
                    self.batch.fields.extend_from_within(run.range());
                    self.row_mut().fields.start = start as u32;
                }
                self.batch.fields.push(Field { key, value });
                self.row_mut().fields.len += 1;
            }
        }
    }

    /// Replaces the value of the field at a position.
    ///
    /// # Panics
    /// If `at` is not below [`field_count`](Self::field_count).
    pub fn set_field_value_at<'v>(&mut self, at: usize, value: impl Into<Value<'v>>) {
        let value = self.batch.slot(value.into());
        let range = self.row().fields.range();
        self.batch.fields[range][at].value = value;
    }

    /// Removes a field. Returns whether it was there.
    pub fn remove_field(&mut self, key: &str) -> bool {
        let Some(at) = self.field_position(key) else {
            return false;
        };
        self.remove_field_at(at);
        true
    }

    fn remove_field_at(&mut self, at: usize) {
        let range = self.row().fields.range();
        self.batch.fields[range].copy_within(at + 1.., at);
        self.row_mut().fields.len -= 1;
    }

    /// Gives a field another key in its place, removing a field that had that one. Returns
    /// whether the field was there.
    pub fn rename_field(&mut self, from: &str, to: impl ToText) -> bool {
        let Some(at) = self.field_position(from) else {
            return false;
        };
        let key = to.to_text(self.batch);
        let other = self.field_position(self.batch.resolve(key));
        let range = self.row().fields.range();
        self.batch.fields[range][at].key = key;
        if let Some(other) = other.filter(|other| *other != at) {
            self.remove_field_at(other);
        }
        true
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain_fields(&mut self, mut keep: impl FnMut(&str, Value<'_>) -> bool) {
        let range = self.row().fields.range();
        let mut kept = range.start;
        for at in range.clone() {
            let field = self.batch.fields[at];
            if keep(self.batch.resolve(field.key), self.batch.value(field.value)) {
                self.batch.fields[kept] = field;
                kept += 1;
            }
        }
        self.row_mut().fields.len = (kept - range.start) as u32;
    }

    fn field_position(&self, key: &str) -> Option<usize> {
        let fields = &self.batch.fields[self.row().fields.range()];
        fields
            .iter()
            .position(|field| self.batch.is(field.key, key))
    }
}
