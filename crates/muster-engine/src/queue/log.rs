//! The log of an output's metrics: a folder of segments and a read position.
//!
//! Metrics are numbered from 0 in the order in which they came. Segments are files that are named
//! after the number of their first metric, and are only appended to; one is removed when all of it
//! is settled, or when the log would become larger than it may be. All calls block on the disk.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_metric::{Batch, Chunk};

use super::codec;
use super::position::Position;
use super::reader::Reader;
use super::segment::{self, HEADER, Header};

/// A record takes no more metrics when it has so many of them, or so many bytes.
const RECORD_METRICS: u32 = 1000;
const RECORD_BYTES: usize = 256 << 10;

/// The largest segment. A smaller log has smaller ones, a sixteenth of what it may be.
const SEGMENT_BYTES: u64 = 64 << 20;
const SEGMENTS: u64 = 16;

/// Reading ends at so many bytes of metrics, however many are wanted.
const READ_BYTES: usize = 8 << 20;

const EXTENSION: &str = "metrics";

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Something else has it.
    #[error("use the buffer {0}: another agent or output has it")]
    Taken(PathBuf),
    /// It was written by another version.
    #[error(
        "read the buffer {path}: its format is version {found}, this program knows version {known}; use the newer program",
        known = segment::VERSION
    )]
    Version {
        /// The folder.
        path: PathBuf,
        /// The version of its format.
        found: u32,
    },
    /// The disk refuses.
    #[error("open the buffer {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How large a log becomes and how safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The most bytes on disk. One metric that is larger is kept nevertheless.
    pub bytes: u64,
    /// Whether what was written must survive the machine, not only the process.
    pub sync: bool,
}

/// A log that this process has for itself until it is dropped.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// The folder itself, locked.
    lock: File,
    /// Whether the folder was not there before.
    made: bool,
    segments: VecDeque<Segment>,
    /// The last segment, to append to it; none if the next metrics begin another one.
    active: Option<File>,
    /// Whether the folder has names that may not be on the disk yet.
    renamed: bool,
    tail: u64,
    bytes: u64,
    position: Position,
    bounds: Bounds,
    reader: Option<Reader>,
    record: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u64,
    bytes: u64,
}

/// Metrics that were read back.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The number of the first one; beyond the one asked for if what lies between is gone.
    pub first: u64,
    /// The metrics, without a gap.
    pub metrics: Chunk,
}

impl Piece {
    /// The number after the last one.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.metrics.len() as u64
    }
}

/// A place in a log to go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    last: Option<Segment>,
    tail: u64,
}

impl Log {
    /// Opens the log in a folder, which is made if it is not there. Cuts a torn tail back to the
    /// last whole record.
    pub(crate) fn open(folder: &Path, bounds: Bounds) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io {
            path: folder.to_owned(),
            source,
        };
        let made = make_private(folder).map_err(failed)?;
        let lock = File::open(folder).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Taken(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let position = Position::open(&folder.join("position")).map_err(failed)?;
        let segments = list(folder).map_err(failed)?;
        let mut log = Self {
            folder: folder.to_owned(),
            lock,
            made,
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            tail: position.get(),
            segments: segments.into(),
            active: None,
            renamed: true,
            position,
            bounds,
            reader: None,
            record: Vec::new(),
        };
        for at in 0..log.segments.len() {
            let path = log.path(log.segments[at].first);
            let header = File::open(path).and_then(|mut file| segment::read_header(&mut file));
            if let Header::Version(found) = header.map_err(failed)? {
                let path = folder.to_owned();
                return Err(OpenError::Version { path, found });
            }
        }
        log.find_tail().map_err(failed)?;
        Ok(log)
    }

    /// Opens the log like [`open`](Self::open) and takes back the metrics from number `tail` on: whole
    /// calls of [`append`](Self::append), and nobody knows of them.
    pub(crate) fn open_until(
        folder: &Path,
        bounds: Bounds,
        tail: Option<u64>,
    ) -> Result<Self, OpenError> {
        let mut log = Self::open(folder, bounds)?;
        if let Some(tail) = tail {
            log.cut(tail).map_err(|source| OpenError::Io {
                path: folder.to_owned(),
                source,
            })?;
        }
        Ok(log)
    }

    fn cut(&mut self, tail: u64) -> io::Result<()> {
        if self.tail <= tail {
            return Ok(());
        }
        let last = self.segments.iter().rev().find(|last| last.first < tail);
        let last = match last.map(|last| last.first) {
            Some(first) => {
                let (bytes, _) = Reader::open(&self.path(first), first)?.walk(tail)?;
                let bytes = bytes.max(HEADER as u64);
                Some(Segment { first, bytes })
            }
            None => None,
        };
        self.go_back(Mark { last, tail });
        Ok(())
    }

    /// Finds the end of the last segment and cuts off what is torn.
    fn find_tail(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.back().copied() else {
            return Ok(());
        };
        let path = self.path(last.first);
        let (end, tail) = Reader::open(&path, last.first)?.walk(u64::MAX)?;
        if end < last.bytes {
            tracing::warn!(
                "the last {} bytes of {} were not written whole and are cut off",
                last.bytes - end,
                path.display()
            );
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(end)?;
        if end == 0 {
            (&file).write_all(&segment::header(last.first))?;
        }
        let bytes = end.max(HEADER as u64);
        self.bytes = self.bytes + bytes - last.bytes;
        if let Some(last) = self.segments.back_mut() {
            last.bytes = bytes;
        }
        // Behind metrics that were settled and then lost there are no others: the next metrics
        // get numbers that are not settled.
        let lost_settled = self.position.get() > tail;
        self.tail = tail.max(self.position.get());
        self.active = (!lost_settled).then_some(file);
        Ok(())
    }

    /// The number of the first metric that is not settled.
    pub(crate) fn position(&self) -> u64 {
        self.position.get().max(self.first())
    }

    /// The number of the first metric that is there.
    pub(crate) fn first(&self) -> u64 {
        self.segments.front().map_or(self.tail, |front| front.first)
    }

    /// The number of the next metric.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Changes how large and how safe it is.
    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Appends metrics, all or none of them. Drops the oldest if the log becomes too large.
    pub(crate) fn append(&mut self, metrics: &Chunk) -> io::Result<()> {
        let mark = self.mark();
        self.append_records(metrics)
            .inspect_err(|_| self.go_back(mark))
    }

    fn append_records(&mut self, metrics: &Chunk) -> io::Result<()> {
        let largest = RECORD_BYTES.min(self.segment_bytes() as usize);
        let mut record = std::mem::take(&mut self.record);
        let mut count = 0;
        segment::begin_record(&mut record);
        let mut written = Ok(());
        for metric in metrics.iter() {
            codec::encode(metric, &mut record);
            count += 1;
            if count == RECORD_METRICS || record.len() >= largest {
                written = self.append_record(&mut record, count);
                if written.is_err() {
                    break;
                }
                count = 0;
                segment::begin_record(&mut record);
            }
        }
        if count > 0 && written.is_ok() {
            written = self.append_record(&mut record, count);
        }
        record.clear();
        record.shrink_to(2 * RECORD_BYTES);
        self.record = record;
        written
    }

    fn append_record(&mut self, record: &mut [u8], count: u32) -> io::Result<()> {
        segment::end_record(record, count)?;
        let bytes = record.len() as u64;
        let full = |last: &Segment| last.bytes + bytes > self.segment_bytes();
        if self.segments.back().is_none_or(full) || self.active.is_none() {
            self.begin_segment()?;
        }
        while self.bytes + bytes > self.bounds.bytes && self.segments.len() > 1 {
            self.remove_first()?;
        }
        let (Some(mut file), Some(last)) = (self.active.as_ref(), self.segments.back_mut()) else {
            return Err(io::Error::other("no segment to append to"));
        };
        file.write_all(record)?;
        last.bytes += bytes;
        self.bytes += bytes;
        self.tail += u64::from(count);
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        if let Some(full) = self.active.take()
            && self.bounds.sync
        {
            full.sync_data()?;
        }
        let first = self.tail;
        let path = self.path(first);
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        if let Err(error) = file.write_all(&segment::header(first)) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        // A segment of this name that could not be cut back is replaced.
        if self.segments.back().is_some_and(|last| last.first == first) {
            self.bytes -= self.segments.pop_back().map_or(0, |last| last.bytes);
            self.reader = None;
        }
        let bytes = HEADER as u64;
        self.segments.push_back(Segment { first, bytes });
        self.bytes += bytes;
        self.active = Some(file);
        self.renamed = true;
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        (self.bounds.bytes / SEGMENTS).min(SEGMENT_BYTES)
    }

    /// The place up to which it is written now.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            last: self.segments.back().copied(),
            tail: self.tail,
        }
    }

    /// Takes back what was appended since the mark, as far as the disk lets it: what it keeps
    /// nevertheless is never read.
    pub(crate) fn go_back(&mut self, mark: Mark) {
        let last_first = mark.last.map(|last| last.first);
        while let Some(last) = self.segments.back().copied() {
            if last_first.is_some_and(|first| last.first <= first) {
                break;
            }
            let _ = fs::remove_file(self.path(last.first));
            self.segments.pop_back();
            self.bytes -= last.bytes;
            self.active = None;
        }
        self.tail = mark.tail;
        let (Some(before), Some(last)) = (mark.last, self.segments.back_mut()) else {
            return;
        };
        self.bytes = self.bytes + before.bytes - last.bytes;
        *last = before;
        let cut = OpenOptions::new()
            .append(true)
            .open(self.folder.join(name(before.first)))
            .and_then(|file| file.set_len(before.bytes).map(|()| file));
        self.active = cut.ok();
    }

    /// Waits until the disk has everything.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(active) = &self.active {
            active.sync_data()?;
        }
        if self.renamed {
            self.lock.sync_all()?;
            self.renamed = false;
        }
        Ok(())
    }

    /// What comes before `position` is settled: it is not read again, and goes as soon as all of
    /// its segment is settled.
    pub(crate) fn settle(&mut self, position: u64) -> io::Result<()> {
        if position > self.position.get() {
            self.position.set(position)?;
            if self.bounds.sync {
                self.position.sync()?;
            }
        }
        while self
            .segments
            .get(1)
            .is_some_and(|next| next.first <= position)
        {
            self.remove_first()?;
        }
        Ok(())
    }

    /// Reads about `count` metrics from number `from` on: whole records, fewer if they are large or
    /// some cannot be read. What is damaged is left out and reported.
    pub(crate) fn read(&mut self, from: u64, count: usize) -> io::Result<Piece> {
        let mut at = from.max(self.first());
        let mut batch = Batch::new();
        let mut skipped = 0;
        while at < self.tail && batch.len() - skipped < count && batch.memory() < READ_BYTES {
            let before = batch.len();
            let Some(end) = self.read_record(at, &mut batch)? else {
                let next = self.after_segment_of(at);
                if before > 0 {
                    break; // What was read so far has no gap; the damage comes first next time.
                }
                tracing::error!(
                    "the buffer {} is damaged: {} metrics are lost",
                    self.folder.display(),
                    next - at
                );
                at = next;
                continue;
            };
            if before == 0 {
                skipped = batch.len() - (end - at) as usize;
            }
            at = end;
        }
        let mut metrics = Chunk::all(batch.into());
        drop(metrics.take_front(skipped));
        let first = at - metrics.len() as u64;
        Ok(Piece { first, metrics })
    }

    /// Reads the record with the metric `at`; `None` if it is damaged.
    fn read_record(&mut self, at: u64, batch: &mut Batch) -> io::Result<Option<u64>> {
        let segment = self.segments.iter().rev().find(|s| s.first <= at);
        let Some(first) = segment.map(|segment| segment.first) else {
            return Ok(None);
        };
        let mut reader = match self.reader.take() {
            Some(reader) if reader.serves(first, at) => reader,
            _ => Reader::open(&self.path(first), first)?,
        };
        let end = self.after_segment_of(at);
        let read = reader.record_with(at, end, batch)?;
        self.reader = read.is_some().then_some(reader);
        Ok(read)
    }

    /// The number of the first metric behind the segment that has the metric `at`.
    fn after_segment_of(&self, at: u64) -> u64 {
        let next = self.segments.iter().find(|segment| segment.first > at);
        next.map_or(self.tail, |next| next.first)
    }

    fn remove_first(&mut self) -> io::Result<()> {
        let Some(front) = self.segments.front().copied() else {
            return Ok(());
        };
        match fs::remove_file(self.path(front.first)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.segments.pop_front();
        self.bytes -= front.bytes;
        Ok(())
    }

    /// Closes the log, and removes its folder if nothing waits in it.
    pub(crate) fn remove_if_empty(self) {
        if self.position() < self.tail {
            return;
        }
        if let Err(error) = self.remove() {
            tracing::warn!(
                "failed to remove the empty buffer {}: {error}",
                self.folder.display()
            );
        }
    }

    /// Closes a log that was opened and then not used: leaves nothing that was not there.
    pub(crate) fn discard(self) {
        if self.made {
            self.remove_if_empty();
        }
    }

    fn remove(&self) -> io::Result<()> {
        for segment in &self.segments {
            fs::remove_file(self.path(segment.first))?;
        }
        fs::remove_file(self.folder.join("position"))?;
        fs::remove_dir(&self.folder)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, first: u64) -> PathBuf {
        self.folder.join(name(first))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A process that another thread is just starting has a copy of the file until it runs its
        // program: closing the file alone would leave the folder locked that long.
        let _ = self.lock.unlock();
    }
}

fn name(first: u64) -> String {
    format!("{first:020}.{EXTENSION}")
}

/// The segments in a folder, in order.
fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
        let first = number.and_then(|number| number.strip_suffix('.')?.parse().ok());
        if let Some(first) = first {
            let bytes = entry.metadata()?.len();
            segments.push(Segment { first, bytes });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

/// Makes a folder that only this user can read; true if it was not there.
fn make_private(folder: &Path) -> io::Result<bool> {
    if folder.is_dir() {
        return Ok(false);
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
