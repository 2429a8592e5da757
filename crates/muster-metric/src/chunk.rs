//! What an output is handed: selected rows of shared batches.

use std::sync::Arc;

use crate::{Batch, Metric};

/// Which rows of a batch are meant.
#[derive(Clone, Debug)]
pub enum RowSet {
    /// Rows `start..end`, dropped ones skipped.
    Range(u32, u32),
    /// These rows, ascending, none of them dropped.
    List(Arc<[u32]>, u32, u32),
}

/// Some rows of one shared batch.
#[derive(Clone, Debug)]
pub struct Chunk {
    batch: Arc<Batch>,
    rows: RowSet,
    len: usize,
}

impl Chunk {
    /// All metrics of a batch.
    pub fn all(batch: Arc<Batch>) -> Self {
        let (rows, len) = (RowSet::Range(0, batch.rows() as u32), batch.len());
        Self { batch, rows, len }
    }

    /// The metrics of a batch that lie in `rows`, which are ascending and not dropped.
    pub fn of_rows(batch: Arc<Batch>, rows: Vec<u32>) -> Self {
        let len = rows.len();
        Self {
            batch,
            rows: RowSet::List(rows.into(), 0, len as u32),
            len,
        }
    }

    /// How many metrics are meant.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The batch in which they lie.
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The metrics.
    pub fn iter(&self) -> impl Iterator<Item = Metric<'_>> {
        let (range, list) = match &self.rows {
            RowSet::Range(start, end) => (*start..*end, None),
            RowSet::List(list, start, end) => (*start..*end, Some(list)),
        };
        range.filter_map(move |at| {
            let row = list.map_or(at, |list| list[at as usize]);
            self.batch.get(row as usize)
        })
    }

    /// Splits off the first `count` metrics; what is left stays in `self`.
    #[must_use]
    pub fn take_front(&mut self, count: usize) -> Self {
        let count = count.min(self.len);
        let mut front = self.clone();
        let cut = match &self.rows {
            RowSet::List(_, start, _) => start + count as u32,
            RowSet::Range(start, _) if self.batch.rows() == self.batch.len() => {
                start + count as u32
            }
            RowSet::Range(start, end) => {
                let mut left = count;
                let mut at = *start;
                while left > 0 && at < *end {
                    left -= usize::from(self.batch.get(at as usize).is_some());
                    at += 1;
                }
                at
            }
        };
        match (&mut front.rows, &mut self.rows) {
            (RowSet::Range(_, end), RowSet::Range(start, _))
            | (RowSet::List(_, _, end), RowSet::List(_, start, _)) => {
                *end = cut;
                *start = cut;
            }
            _ => {}
        }
        front.len = count;
        self.len -= count;
        front
    }
}

/// The metrics of one write: chunks of shared batches in order.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    chunks: Vec<Chunk>,
    len: usize,
}

impl Metrics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a chunk at the end; empty ones are left out.
    pub fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push(chunk);
        }
    }

    /// How many metrics there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The metrics in order.
    pub fn iter(&self) -> impl Iterator<Item = Metric<'_>> {
        self.chunks.iter().flat_map(Chunk::iter)
    }

    /// The chunks in order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The chunks in order, to take them apart.
    pub fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// Splits into the first `count` metrics and the others.
    pub fn split_at(&self, count: usize) -> (Self, Self) {
        let (mut front, mut back) = (Self::new(), Self::new());
        let mut left = count;
        for chunk in &self.chunks {
            let mut rest = chunk.clone();
            let first = rest.take_front(left);
            left -= first.len();
            front.push(first);
            back.push(rest);
        }
        (front, back)
    }
}

impl From<Chunk> for Metrics {
    fn from(chunk: Chunk) -> Self {
        let mut metrics = Self::new();
        metrics.push(chunk);
        metrics
    }
}

impl From<Batch> for Metrics {
    fn from(batch: Batch) -> Self {
        Chunk::all(Arc::new(batch)).into()
    }
}
