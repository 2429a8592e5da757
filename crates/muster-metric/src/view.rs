//! Reading one metric of a batch.

use crate::batch::{Batch, Row};
use crate::{MetricType, SeriesKey, Timestamp, Value};

/// One metric of a [`Batch`], to read.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    batch: &'a Batch,
    row: &'a Row,
    index: usize,
}

impl<'a> Metric<'a> {
    pub(crate) fn new(batch: &'a Batch, row: &'a Row, index: usize) -> Self {
        Self { batch, row, index }
    }

    /// The batch and the row, for the parts of this crate that read them directly.
    pub(crate) fn parts(&self) -> (&'a Batch, &'a Row) {
        (self.batch, self.row)
    }

    /// The row of the batch in which this metric lies.
    pub fn row(&self) -> usize {
        self.index
    }

    /// The measurement's name.
    pub fn name(&self) -> &'a str {
        self.batch.resolve(self.row.name)
    }

    /// The tags as key and value, sorted by key, each key once.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        let batch = self.batch;
        let tags = &batch.tags[self.row.tags.range()];
        tags.iter()
            .map(move |tag| (batch.resolve(tag.key), batch.resolve(tag.value)))
    }

    /// A tag's value.
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        let tags = &self.batch.tags[self.row.tags.range()];
        let tag = tags.iter().find(|tag| self.batch.is(tag.key, key))?;
        Some(self.batch.resolve(tag.value))
    }

    /// The fields as key and value, in the order in which they were added, each key once.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> + Clone + use<'a> {
        let batch = self.batch;
        let fields = &batch.fields[self.row.fields.range()];
        fields
            .iter()
            .map(move |field| (batch.resolve(field.key), batch.value(field.value)))
    }

    /// A field's value.
    pub fn field(&self, key: &str) -> Option<Value<'a>> {
        let fields = &self.batch.fields[self.row.fields.range()];
        let field = fields.iter().find(|field| self.batch.is(field.key, key))?;
        Some(self.batch.value(field.value))
    }

    /// The time, if the metric has one yet.
    pub fn time(&self) -> Option<Timestamp> {
        (self.row.time != Timestamp::NONE).then(|| Timestamp::from_nanos(self.row.time))
    }

    /// What the numbers mean.
    pub fn kind(&self) -> MetricType {
        self.row.kind
    }

    /// The identity of the series: name and tags.
    pub fn series_key(&self) -> SeriesKey {
        SeriesKey::of(*self)
    }
}
