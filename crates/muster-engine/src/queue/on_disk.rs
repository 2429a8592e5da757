//! What a queue knows in memory of the part of it that is on disk.
//!
//! Metrics on disk are numbered as in the [`Log`]:
//!
//! ```text
//! settled | in flight, ready | on disk only | being appended, then the queue's chunks in memory
//!         ^ window           ^ cursor       ^ tail
//! ```

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_metric::{Chunk, Metrics};

use super::log::{Log, Piece};
use super::{Limits, State, Taken, weight};

/// After the disk refused something, it is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The part of a queue that is on disk.
#[derive(Debug)]
pub(super) struct OnDisk {
    /// The folder.
    pub path: PathBuf,
    /// The log, until the thread has it.
    pub log: Option<Log>,
    /// Whether new metrics go to the disk; if not, it goes when it is empty.
    pub keeping: bool,
    /// Whether the thread runs.
    pub running: bool,
    /// Whether the thread is to end.
    pub closing: Option<Closing>,
    /// Outputs that run on this queue: a removed one may not have ended when it is back.
    pub users: usize,
    /// Read back and not taken yet.
    ready: VecDeque<Chunk>,
    /// Whether what is in flight was read back.
    in_flight: bool,
    window: u64,
    cursor: u64,
    tail: u64,
    /// Behind this number the log may have what the queue still has in memory: it goes when the log is
    /// opened.
    pub cut: Option<u64>,
    /// The read position on disk.
    settled: u64,
    bytes: u64,
    /// What the thread is writing.
    appending: Vec<Chunk>,
    /// A writer waits for metrics.
    wanted: bool,
    /// What it gets; `None` in it if the disk cannot be read.
    served: Option<Option<Taken>>,
    trouble: Option<Trouble>,
    /// So often the thread is to panic between its work and the note of it.
    #[cfg(test)]
    panics: u32,
}

/// How a log is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The folder stays.
    Keep,
    /// The folder is removed if no metric waits.
    RemoveEmpty,
}

#[derive(Debug)]
struct Trouble {
    what: String,
    retry_at: Instant,
}

/// What the thread is to do.
#[derive(Debug)]
pub(super) struct Job {
    pub append: Vec<Chunk>,
    pub position: u64,
    /// From which number on, and how many.
    pub read: Option<(u64, usize)>,
    pub limits: Limits,
    /// Whether what failed may be tried again already.
    pub retry: bool,
    /// From which number on the log is cut off when it is opened.
    pub cut: Option<u64>,
}

/// What came of a job.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// So many of the chunks are on disk.
    pub appended: usize,
    pub settled: Option<u64>,
    pub first: u64,
    pub tail: u64,
    pub bytes: u64,
    pub read: Option<Piece>,
    pub unreadable: bool,
    /// Why something failed.
    pub trouble: Option<String>,
    /// Whether the log was there.
    pub tried: bool,
    /// The log was opened instead: the job is to be made anew.
    pub again: bool,
}

/// What is to be said of a job that was done.
#[derive(Debug, Default)]
pub(super) struct News {
    /// A failure that was not reported yet.
    pub trouble: Option<String>,
    /// The failure is over.
    pub recovered: bool,
    /// To be dropped outside of the lock: that may tell a source that they are safe.
    pub safe: Vec<Chunk>,
}

impl OnDisk {
    pub(super) fn new(path: PathBuf, log: Option<Log>) -> Self {
        let mut this = Self {
            path,
            log: None,
            keeping: true,
            running: false,
            closing: None,
            users: 0,
            ready: VecDeque::new(),
            in_flight: false,
            window: 0,
            cursor: 0,
            tail: 0,
            cut: None,
            settled: 0,
            bytes: 0,
            appending: Vec::new(),
            wanted: false,
            served: None,
            trouble: None,
            #[cfg(test)]
            panics: 0,
        };
        if let Some(log) = &log {
            this.adopt(log);
        }
        this.log = log;
        this
    }

    /// Takes the numbers from a log that was just opened. One that was closed meanwhile is read on
    /// from where it was read.
    fn adopt(&mut self, log: &Log) {
        self.cut = None;
        self.settled = log.position();
        self.tail = log.tail();
        self.cursor = self.cursor.clamp(self.settled, self.tail);
        self.bytes = log.bytes();
    }

    /// Metrics on disk that are not settled, but for those in flight.
    pub(super) fn waiting(&self) -> usize {
        let ready: usize = self.ready.iter().map(Chunk::len).sum();
        ready + (self.tail - self.cursor) as usize
    }

    /// Bytes on disk, for as long as metrics wait there.
    pub(super) fn bytes(&self) -> usize {
        let waits = self.in_flight || self.waiting() > 0;
        usize::try_from(self.bytes).map_or(usize::MAX, |bytes| if waits { bytes } else { 0 })
    }

    /// Whether what is in flight was read back from the disk.
    pub(super) fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// So many of those in flight are settled.
    pub(super) fn settle(&mut self, count: usize, all: bool) {
        self.window += count as u64;
        if all {
            self.in_flight = false;
        }
    }

    /// What was in flight waits again.
    pub(super) fn take_back(&mut self, metrics: Metrics) {
        self.in_flight = false;
        for chunk in metrics.into_chunks().into_iter().rev() {
            self.ready.push_front(chunk);
        }
    }

    /// Drops up to so many of the oldest that wait; says how many.
    pub(super) fn drop_oldest(&mut self, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most
            && let Some(mut front) = self.ready.pop_front()
        {
            dropped += front.take_front(most - dropped).len();
            if !front.is_empty() {
                self.ready.push_front(front);
            }
        }
        if !self.in_flight {
            self.window += dropped as u64;
        }
        let unread = (self.tail - self.cursor).min((most - dropped) as u64);
        self.cursor += unread;
        dropped + unread as usize
    }

    /// A writer wants metrics; what an earlier one wanted is forgotten.
    pub(super) fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
        self.served = None;
    }

    /// What a writer that wanted metrics gets.
    pub(super) fn served(&mut self) -> Option<Option<Taken>> {
        self.served.take()
    }

    /// The number of the first metric that is not settled. After drops it may lag behind until
    /// all that was read is settled: then some come once more after a crash.
    pub(super) fn position(&self) -> u64 {
        if self.in_flight || !self.ready.is_empty() {
            self.window
        } else {
            self.cursor
        }
    }

    /// Whether the folder goes when the thread ends.
    pub(super) fn is_removed(&self) -> bool {
        let goes = !self.keeping || self.closing == Some(Closing::RemoveEmpty);
        goes && self.is_empty()
    }

    /// Whether metrics go to memory and none is left on disk.
    fn is_drained(&self) -> bool {
        !self.keeping && self.is_empty()
    }

    /// Whether nothing is left to be done on disk.
    fn is_empty(&self) -> bool {
        self.waiting() == 0 && !self.in_flight && self.appending.is_empty()
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        // It was prepared and never used.
        if let Some(log) = self.log.take() {
            log.discard();
        }
    }
}

impl State {
    /// What the thread is to do now; `None` if nothing.
    pub(super) fn job(&mut self) -> Option<Job> {
        let limits = self.limits;
        let in_flight = !self.in_flight.is_empty();
        let disk = self.disk.as_mut()?;
        let retry = disk.closing.is_some()
            || disk
                .trouble
                .as_ref()
                .is_none_or(|trouble| trouble.retry_at <= Instant::now());
        // Metrics in flight that are not on disk would come behind those that are when they are
        // put back: these wait.
        let memory_in_flight = in_flight && !disk.in_flight;
        let append = disk.keeping && retry && !memory_in_flight && !self.chunks.is_empty();
        let position = disk.position();
        let settle = retry && position != disk.settled;
        if !(append || settle || disk.wanted) {
            return None;
        }
        if append {
            disk.appending = self.chunks.drain(..).collect();
        }
        let ready: usize = disk.ready.iter().map(Chunk::len).sum();
        let lacking = limits.batch.max(1).saturating_sub(ready);
        Some(Job {
            append: disk.appending.clone(),
            position,
            read: (disk.wanted && lacking > 0).then_some((disk.cursor, lacking)),
            limits,
            retry,
            cut: disk.cut,
        })
    }

    /// When the disk may be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let trouble = self.disk.as_ref()?.trouble.as_ref()?;
        Some(trouble.retry_at)
    }

    /// Whether the thread is to end: the folder is closed, or metrics go to memory again and none is
    /// left on disk.
    pub(super) fn is_over(&self) -> bool {
        self.disk
            .as_ref()
            .is_none_or(|disk| disk.closing.is_some() || disk.is_drained())
    }

    /// The thread ends, if that is still wanted.
    pub(super) fn end(&mut self, removed: bool) -> bool {
        let drained = self.disk.as_ref().is_some_and(|disk| disk.is_drained());
        // The last was settled while the folder was closed: it is still to be removed.
        if !self.is_over() || (drained && !removed) {
            return false;
        }
        if let Some(disk) = &mut self.disk {
            disk.running = false;
            disk.closing = None;
            if disk.is_drained() {
                self.disk = None;
            }
        }
        true
    }

    /// The thread has opened the log.
    pub(super) fn adopt(&mut self, log: &Log) {
        if let Some(disk) = &mut self.disk {
            self.metrics -= disk.waiting();
            disk.adopt(log);
            self.metrics += disk.waiting();
            self.drop_excess();
        }
    }

    /// Takes over what came of a job, and serves a writer that waits.
    pub(super) fn done(&mut self, job: &Job, done: Done) -> News {
        let mut news = News::default();
        let Some(disk) = &mut self.disk else {
            return news;
        };
        #[cfg(test)]
        disk.panic_if_told();
        let mut appending = std::mem::take(&mut disk.appending);
        for chunk in appending.split_off(done.appended).into_iter().rev() {
            self.chunks.push_front(chunk);
        }
        if done.tried {
            (disk.tail, disk.bytes) = (done.tail, done.bytes);
            disk.settled = done.settled.unwrap_or(disk.settled);
            disk.cursor_to(done.first, &mut self.metrics, &mut self.dropped);
        }
        for chunk in &appending {
            self.bytes -= weight(chunk).min(self.bytes);
        }
        news.safe = appending;
        if let Some(mut piece) = done.read {
            disk.cursor_to(piece.first, &mut self.metrics, &mut self.dropped);
            // Some may have been dropped meanwhile.
            let gone = usize::try_from(disk.cursor - piece.first).unwrap_or(usize::MAX);
            let end = piece.end();
            drop(piece.metrics.take_front(gone));
            if !piece.metrics.is_empty() {
                if !disk.in_flight && disk.ready.is_empty() {
                    disk.window = disk.cursor;
                }
                disk.ready.push_back(piece.metrics);
                disk.cursor = end;
            }
        }
        match done.trouble {
            Some(what) => {
                let known = disk.trouble.as_ref().is_some_and(|t| t.what == what);
                news.trouble = (!known).then(|| what.clone());
                let retry_at = Instant::now() + RETRY_AFTER;
                disk.trouble = Some(Trouble { what, retry_at });
            }
            None if job.retry && done.tried => news.recovered = disk.trouble.take().is_some(),
            None => {}
        }
        self.drop_excess();
        if !done.again {
            self.serve(done.unreadable);
        }
        news
    }

    fn serve(&mut self, unreadable: bool) {
        let Some(disk) = self.disk.as_mut().filter(|disk| disk.wanted) else {
            return;
        };
        if unreadable && disk.ready.is_empty() && disk.cursor < disk.tail {
            disk.wanted = false;
            disk.served = Some(None);
            return;
        }
        // What is on disk comes first.
        let from_disk = !disk.ready.is_empty();
        disk.in_flight = from_disk;
        let taken = if from_disk {
            super::take_front(&mut disk.ready, self.limits.batch)
        } else if disk.cursor == disk.tail {
            super::take_front(&mut self.chunks, self.limits.batch)
        } else {
            Metrics::new()
        };
        let taken = self.send_off(taken);
        // Last: a writer that waits is served by the next thread if this one dies here.
        if let Some(disk) = &mut self.disk {
            disk.wanted = false;
            disk.served = Some(Some(taken));
        }
    }

    /// The thread died in the midst of a job: what it was appending is in memory again, to be appended
    /// once more. With an open log some of it may be on disk already.
    pub(super) fn recover(&mut self, was_open: bool) {
        if let Some(disk) = &mut self.disk {
            disk.cursor = disk.cursor.min(disk.tail);
            if was_open {
                disk.cut = Some(disk.tail);
            }
            for chunk in disk.appending.drain(..).rev() {
                self.chunks.push_front(chunk);
            }
        }
        self.count_anew();
    }

    /// Gives the disk up: what is there is for the next start of the output.
    pub(super) fn abandon(&mut self) {
        if let Some(mut disk) = self.disk.take() {
            if disk.in_flight {
                self.in_flight = Metrics::new();
            }
            for chunk in disk.appending.drain(..).rev() {
                self.chunks.push_front(chunk);
            }
        }
        self.count_anew();
    }

    /// Counts what waits: a thread that died may have left it half changed.
    fn count_anew(&mut self) {
        let from_disk = self.disk.as_ref().is_some_and(|disk| disk.in_flight);
        let waiting = self.disk.as_ref().map_or(0, |disk| disk.waiting());
        let memory: usize = self.chunks.iter().map(Chunk::len).sum();
        self.metrics = waiting + self.in_flight.len() + memory;
        let in_flight = self.in_flight.chunks().iter().filter(|_| !from_disk);
        self.bytes = self.chunks.iter().chain(in_flight).map(weight).sum();
    }
}

impl OnDisk {
    /// What comes before is gone from the disk: too old, or damaged.
    fn cursor_to(&mut self, first: u64, metrics: &mut usize, dropped: &mut u64) {
        let gone = first.saturating_sub(self.cursor);
        self.cursor += gone;
        *dropped += gone;
        *metrics = metrics.saturating_sub(gone as usize);
    }
}

#[cfg(test)]
mod tests;
