//! Reading one segment from its beginning on.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use muster_metric::Batch;

use super::codec;
use super::segment::{self, HEAD, HEADER, Header};

/// So much of a segment is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A place in a segment.
#[derive(Debug)]
pub(super) struct Reader {
    first: u64,
    file: BufReader<File>,
    /// The number of the next record's first metric; `None` if the header is damaged.
    at: Option<u64>,
    payload: Vec<u8>,
}

impl Reader {
    /// Opens the segment that begins with the metric number `first`.
    pub(super) fn open(path: &Path, first: u64) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        let whole = segment::read_header(&mut file)? == Header::First(first);
        Ok(Self {
            first,
            file,
            at: whole.then_some(first),
            payload: Vec::new(),
        })
    }

    /// Whether it reads the segment that begins with `first` and has not passed the metric `at`.
    pub(super) fn serves(&self, first: u64, at: u64) -> bool {
        self.first == first && self.at.is_some_and(|next| next <= at)
    }

    /// Adds all metrics of the record that has the metric `wanted` to a batch, and returns the
    /// number after the last of them. `None` if what lies between is damaged, or the record would go
    /// beyond `end`; the reader is of no use then.
    pub(super) fn record_with(
        &mut self,
        wanted: u64,
        end: u64,
        batch: &mut Batch,
    ) -> io::Result<Option<u64>> {
        while let Some(at) = self.at.take() {
            let Some(head) = segment::read_head(&mut self.file)? else {
                return Ok(None);
            };
            let after = at + head.count as u64;
            if after > end {
                return Ok(None);
            }
            if after <= wanted {
                if !segment::skip_payload(&mut self.file, head)? {
                    return Ok(None);
                }
                self.at = Some(after);
                continue;
            }
            if !segment::read_payload(&mut self.file, head, &mut self.payload)? {
                return Ok(None);
            }
            let rows = batch.rows();
            if codec::decode(&self.payload, head.count, batch).is_err() {
                for row in rows..batch.rows() {
                    if let Some(metric) = batch.get_mut(row) {
                        metric.discard();
                    }
                }
                return Ok(None);
            }
            self.at = Some(after);
            return Ok(Some(after));
        }
        Ok(None)
    }

    /// The length of what is whole and before the metric number `until`, 0 if not even the header is;
    /// and the number after its last metric.
    pub(super) fn walk(mut self, until: u64) -> io::Result<(u64, u64)> {
        let Some(mut at) = self.at else {
            return Ok((0, self.first));
        };
        let mut bytes = HEADER as u64;
        while at < until
            && let Some(head) = segment::read_head(&mut self.file)?
        {
            if !segment::read_payload(&mut self.file, head, &mut self.payload)? {
                break;
            }
            at += head.count as u64;
            bytes += (HEAD + head.length) as u64;
        }
        Ok((bytes, at))
    }
}
