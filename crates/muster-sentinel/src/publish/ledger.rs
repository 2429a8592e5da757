//! What a publisher with a store of keys must keep in mind, whatever the store: which instance's key is behind,
//! what is known of each, and whom it was told of.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_metric::MetricBuilder;
use muster_plugin::PluginError;
use muster_tasks::{PanicInfo, catch_panic_sync};

use super::layout::{self, PublishMode};
use super::record::{Known, Record, Step};
use super::reporter::Reporter;
use super::summary::Summary;
use crate::board::{Board, Interest, Subscription};
use crate::document::{Document, Writer};
use crate::status::Instance;
#[cfg(feature = "testing")]
use crate::testing::Point;

/// So many bytes of data go into one batch.
const BATCH_BYTES: usize = 512 << 10;

/// A document stays so long when its instance is not checked any more: an agent that stops, or a change
/// that brings the instance back, deletes nothing.
const FORGET: Duration = Duration::from_secs(10);

/// An instance whose document could not be made is tried again after this.
const PANIC_PAUSE: Duration = Duration::from_millis(250);

/// So many reports are kept until they are taken.
const MOST_REPORTS: usize = 16;

/// What is behind, and what is known.
pub(super) struct Ledger {
    pub(super) mode: PublishMode,
    pub(super) writer: Writer,
    refresh: Duration,
    /// Its end has come: nothing is known of instances any more.
    is_over: bool,
    board: Arc<Board>,
    news: Subscription,
    /// By instance; what is left of one that is elsewhere, by its path.
    records: HashMap<Arc<str>, Record>,
    /// Instances whose keys may not be as they should.
    behind: BTreeSet<Arc<str>>,
    reports: Vec<PluginError>,
    written: u64,
    conflicts: u64,
    panics: u64,
    write_time: Duration,
}

/// What a batch does for one instance.
pub(super) struct Part {
    pub(super) id: Arc<str>,
    pub(super) path: String,
    pub(super) step: Step,
    /// What the key is to hold; `None` if it is to be deleted.
    pub(super) data: Option<Vec<u8>>,
}

impl Ledger {
    pub(super) fn new(
        mode: PublishMode,
        board: Arc<Board>,
        news: Subscription,
        writer: Writer,
        refresh: Duration,
    ) -> Self {
        Self {
            mode,
            writer,
            refresh,
            is_over: false,
            board,
            news,
            records: HashMap::new(),
            behind: BTreeSet::new(),
            reports: Vec::new(),
            written: 0,
            conflicts: 0,
            panics: 0,
            write_time: Duration::ZERO,
        }
    }

    /// Waits until something has changed on the board.
    pub(super) async fn wait_for_news(&self) {
        let ids = self.news.changed().await;
        // They are taken in the round.
        self.news.mark(ids);
    }

    /// What the reporter's key holds.
    pub(super) fn reporter(&self) -> Vec<u8> {
        Reporter::here(self.writer.clone(), self.refresh).to_json()
    }

    /// Problems that concern single instances.
    pub(super) fn take_reports(&mut self) -> Vec<PluginError> {
        std::mem::take(&mut self.reports)
    }

    /// Takes what has changed on the board, and what is due.
    pub(super) fn take_news(&mut self) {
        let now = Instant::now();
        let news = self.news.take();
        #[cfg(feature = "testing")]
        self.board.faults().reach(Point::Publish);
        for id in news {
            self.touch(&id, now);
        }
        let due = self.records.iter().filter(|(_, record)| record.due <= now);
        let due: Vec<Arc<str>> = due.map(|(id, _)| Arc::clone(id)).collect();
        for id in due {
            self.touch(&id, now);
        }
    }

    /// An instance's key is to be written, or looked at.
    fn touch(&mut self, id: &Arc<str>, now: Instant) {
        let slot = self.board.get(id);
        if let Some(slot) = &slot {
            let record = self.record_of(id, &slot.instance(), now);
            record.gone = false;
            if record.known == Known::Theirs {
                record.known = Known::Unknown;
            }
        }
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        if slot.is_none() && record.known == Known::Theirs {
            // It is not ours to delete, also when its writer is away for a moment.
            self.records.remove(id);
            self.behind.remove(id);
            return;
        }
        record.dirty = true;
        record.due = now + self.refresh.mul_f64(0.8 + 0.4 * fastrand::f64());
        if slot.is_none() && !record.gone {
            record.gone = true;
            if !self.mode.is_bound() {
                record.due = now + FORGET.min(self.refresh);
                return;
            }
        }
        self.behind.insert(Arc::clone(id));
    }

    /// The record of an instance that is on the board. If its key is to be elsewhere, as in another cluster, a new
    /// record begins, and the old one goes on until its key is deleted: under the key's path, which is no instance's ID.
    fn record_of(&mut self, id: &Arc<str>, instance: &Instance, now: Instant) -> &mut Record {
        let new = Record::new(self.mode.folder(instance), &self.mode.name(instance), now);
        let mut known = self.records.remove(id);
        if let Some(mut old) = known.take_if(|known| known.path != new.path) {
            old.gone = true;
            let path: Arc<str> = old.path.as_str().into();
            self.behind.insert(Arc::clone(&path));
            self.records.insert(path, old);
        }
        if known.is_none() {
            // It may come back to a key that is not deleted yet.
            self.behind.remove(new.path.as_str());
            known = self.records.remove(new.path.as_str());
        }
        let record = self.records.entry(Arc::clone(id));
        record.or_insert(known.unwrap_or(new))
    }

    /// Panics on request.
    #[cfg(feature = "testing")]
    pub(super) fn faults(&self) -> &crate::testing::Faults {
        self.board.faults()
    }

    /// Its owner has panicked: what was taken from the board may not have been taken note of.
    pub(super) fn distrust(&mut self) {
        self.panics += 1;
        self.forget_all();
        let on_board = self.board.slots();
        self.news
            .mark(on_board.iter().map(|slot| Arc::clone(slot.id())));
        self.news.mark(self.records.keys().cloned());
    }

    /// Nobody looks any more: what is written says so from now on.
    pub(super) fn end(&mut self) {
        self.is_over = true;
        let ids: Vec<Arc<str>> = self.records.keys().cloned().collect();
        let now = Instant::now();
        ids.iter().for_each(|id| self.touch(id, now));
    }

    /// How the instances stand that are ours to write, by cluster; `None` where it must be read first whose they are.
    /// No cluster where only those are written that are up.
    pub(super) fn summaries(&self) -> BTreeMap<String, Option<Summary>> {
        let mut all = BTreeMap::<String, Option<Summary>>::new();
        if self.mode.is_bound() {
            return all;
        }
        for (id, record) in &self.records {
            let is_ours = matches!(record.known, Known::Ours { .. });
            if (is_ours || record.known == Known::Unknown)
                && let Some(slot) = self.board.get(id)
            {
                let summary = all.entry(layout::cluster_of(&slot.instance())).or_default();
                if is_ours {
                    let summary = summary.get_or_insert_with(|| Summary::new(&self.writer));
                    summary.add(&slot.status());
                }
            }
        }
        all
    }

    /// Nothing is known for sure any more.
    pub(super) fn forget_all(&mut self) {
        for (id, record) in &mut self.records {
            record.known = Known::Unknown;
            self.behind.insert(Arc::clone(id));
        }
    }

    /// Nothing is known for sure of this instance's key.
    pub(super) fn forget(&mut self, id: &Arc<str>) {
        if let Some(record) = self.records.get_mut(id) {
            record.known = Known::Unknown;
            self.behind.insert(Arc::clone(id));
        }
    }

    /// Those of our keys that are not there any more are read again.
    pub(super) fn are_gone(&mut self, is_gone: impl Fn(&Record) -> bool) {
        for (id, record) in &mut self.records {
            if matches!(record.known, Known::Ours { .. }) && is_gone(record) {
                record.known = Known::Unknown;
                self.behind.insert(Arc::clone(id));
            }
        }
    }

    /// The next instances that are behind, at most so many; `None` if there are none.
    pub(super) fn next(&self, most: usize) -> Option<Vec<Arc<str>>> {
        let chunk: Vec<Arc<str>> = self.behind.iter().take(most).cloned().collect();
        (!chunk.is_empty()).then_some(chunk)
    }

    /// What is known of an instance's key.
    pub(super) fn record(&self, id: &str) -> Option<&Record> {
        self.records.get(id)
    }

    /// All of it.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Those instances of which nothing is known for sure, with their keys.
    pub(super) fn unknown(&self, chunk: &[Arc<str>]) -> Vec<(Arc<str>, String)> {
        let is_unknown = |id: &Arc<str>| {
            let record = self.records.get(id)?;
            let is_unknown = record.known == Known::Unknown;
            is_unknown.then(|| (Arc::clone(id), record.path.clone()))
        };
        chunk.iter().filter_map(is_unknown).collect()
    }

    /// The writer of a document who may go before this one: the name that comes first does.
    pub(super) fn rival(&self, document: &[u8]) -> Option<String> {
        let writer = Document::from_json(document).ok()?.writer.id;
        (writer < self.writer.id).then_some(writer)
    }

    /// An instance's key was read.
    pub(super) fn learn(&mut self, id: &Arc<str>, known: Known) {
        if let Some(record) = self.records.get_mut(id) {
            record.known = known;
        }
    }

    /// An instance's key was read, and another reporter writes it, who goes first. It may be left over, and go within
    /// this time.
    pub(super) fn is_theirs(&mut self, id: &Arc<str>, look_again: Duration) {
        self.conflicts += 1;
        let why = "write its key: another reporter does, and goes before this one";
        self.tell(id, why);
        if let Some(record) = self.records.get_mut(id) {
            record.known = Known::Theirs;
            record.due = record.due.min(Instant::now() + look_again);
        }
    }

    /// An instance's key was read; it is ours, but bound to what is over.
    pub(super) fn is_bound_elsewhere(&mut self, id: &Arc<str>, version: i64) {
        if let Some(record) = self.records.get_mut(id) {
            record.known = Known::Ours { version };
            record.is_bound_elsewhere();
        }
    }

    /// Somebody else has written at the same moment: it is read and judged in the next round.
    pub(super) fn has_changed(&mut self, id: &Arc<str>) {
        self.conflicts += 1;
        self.forget(id);
    }

    /// Takes from `rest` what fits into one batch of so many operations.
    pub(super) fn collect(&mut self, rest: &mut Vec<Arc<str>>, most: usize) -> Vec<Part> {
        let (mut parts, mut operations, mut bytes) = (Vec::new(), 0, 0);
        while let Some(id) = rest.pop() {
            let is_unchecked = self.is_unchecked(&id);
            // One instance that cannot be written does not keep the others from it.
            let data = match catch_panic_sync(|| self.desired(&id)) {
                Ok(Ok(data)) => data,
                Ok(Err(why)) => {
                    self.give_up(&id, &why);
                    continue;
                }
                Err(panic) => {
                    self.panicked(&id, &panic);
                    continue;
                }
            };
            let Some(record) = self.records.get(&id) else {
                self.behind.remove(&id);
                continue;
            };
            let step = match record.known {
                // What is there was found by a check, if only by one before a restart.
                Known::Ours { .. } if is_unchecked => Step::Rest,
                _ => record.step(data.as_deref()),
            };
            if step == Step::Rest {
                self.rest(&id);
                continue;
            }
            bytes += data.as_ref().map_or(0, Vec::len);
            operations += step.operations();
            if !parts.is_empty() && (bytes > BATCH_BYTES || operations > most) {
                rest.push(id);
                break;
            }
            parts.push(Part {
                path: record.path.clone(),
                id,
                step,
                data,
            });
        }
        parts
    }

    /// There is nothing to be done for an instance.
    fn rest(&mut self, id: &Arc<str>) {
        let Some(record) = self.records.get(id) else {
            return;
        };
        match record.known {
            // It is read in the next round.
            Known::Unknown => return,
            Known::Absent | Known::Theirs if record.gone => _ = self.records.remove(id),
            _ => {}
        }
        self.behind.remove(id);
    }

    /// Whether nothing is known of an instance yet. Its key is made if there is none, and rests otherwise.
    fn is_unchecked(&self, id: &str) -> bool {
        let slot = self.board.get(id);
        !self.is_over && slot.is_some_and(|slot| slot.status().checked.is_none())
    }

    /// What an instance's key should hold.
    fn desired(&self, id: &str) -> Result<Option<Vec<u8>>, String> {
        #[cfg(feature = "testing")]
        self.board.faults().reach(Point::Document);
        let Some(slot) = self.board.get(id) else {
            return Ok(None);
        };
        let mut status = slot.status();
        if self.is_over {
            status.end(self.board.clock().now().wall);
        }
        // Who writes after every check lets nothing rest.
        let refresh = match self.news.interest() {
            Interest::Changes => self.refresh,
            Interest::EveryCheck => Duration::ZERO,
        };
        let body = self
            .mode
            .body(&slot.instance(), &status, &self.writer, refresh);
        body.map_err(|error| format!("write {error}"))
    }

    /// A part of a batch was done; its key has this version now.
    pub(super) fn is_done(&mut self, part: &Part, version: i64) {
        #[cfg(feature = "testing")]
        self.board.faults().reach(Point::Written);
        self.behind.remove(&part.id);
        self.written += 1;
        let Some(record) = self.records.get_mut(&part.id) else {
            return;
        };
        match &part.data {
            Some(data) => record.is_written(version, data),
            None if record.gone => _ = self.records.remove(&part.id),
            None => record.known = Known::Absent,
        }
    }

    /// A batch took so long.
    pub(super) fn took(&mut self, time: Duration) {
        self.write_time = time;
    }

    /// An instance's key cannot be written; it is tried again when it is due.
    pub(super) fn give_up(&mut self, id: &Arc<str>, why: &str) {
        self.tell(id, why);
        self.behind.remove(id);
    }

    /// What an instance's key should hold could not be made.
    fn panicked(&mut self, id: &Arc<str>, panic: &PanicInfo) {
        self.panics += 1;
        tracing::error!(instance = %id, "its document {panic}");
        self.give_up(id, &format!("write its document: it {panic}"));
        if let Some(record) = self.records.get_mut(id) {
            record.due = record.due.min(Instant::now() + PANIC_PAUSE);
        }
    }

    /// Tells of an instance's problem once.
    pub(super) fn tell(&mut self, id: &Arc<str>, what: &str) {
        let record = self.records.get_mut(id);
        let is_new = record.is_some_and(|record| !std::mem::replace(&mut record.told, true));
        if is_new && self.reports.len() < MOST_REPORTS {
            let what = PluginError::new(format!("publish {id}")).because(what);
            self.reports.push(what);
        }
    }

    /// Appends the numbers that all publishers have.
    pub(super) fn write_numbers(&self, metric: &mut MetricBuilder<'_>) {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metric
            .add_field("instances", count(self.records.len()))
            .add_field("behind", count(self.behind.len()))
            .add_field("written", number(self.written))
            .add_field("conflicts", number(self.conflicts))
            .add_field("publisher_panics", number(self.panics))
            .add_field("write_seconds", self.write_time.as_secs_f64());
    }
}
