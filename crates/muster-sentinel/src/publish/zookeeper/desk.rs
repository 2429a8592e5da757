//! Brings what is in ZooKeeper to what is on the board, again and again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_metric::Batch;
use muster_plugin::PluginError;
use muster_zookeeper::{
    Connection, Error, ErrorKind, MAX_BATCH, Mode, Node, Op, OpDone, Retry, Session, SessionId,
};

use super::AUDIT;
use super::layout::{self, ZooKeeperMode};
use super::record::{Known, Record, Step};
use super::reporter::Reporter;
use crate::board::{Board, Subscription};
use crate::document::{Document, Writer};

/// So many bytes of data go into one batch.
const BATCH_BYTES: usize = 512 << 10;

/// A document stays so long when its instance is not checked any more: an agent that stops, or a change
/// that brings the instance back, deletes nothing.
const FORGET: Duration = Duration::from_secs(10);

/// So many sessions of ours are remembered, to know what they have left.
const SESSIONS: usize = 64;

/// So many reports are kept until they are taken.
const MOST_REPORTS: usize = 16;

/// The publisher's work.
pub(super) struct Desk {
    session: Session,
    mode: ZooKeeperMode,
    board: Arc<Board>,
    news: Subscription,
    writer: Writer,
    refresh: Duration,
    records: HashMap<Arc<str>, Record>,
    /// Instances whose nodes may not be as they should.
    behind: BTreeSet<Arc<str>>,
    /// Nodes above instances that are there.
    folders: HashSet<String>,
    /// The children of those nodes as they were last: how often they have changed.
    audited: HashMap<String, i32>,
    audit_due: Instant,
    connection: u64,
    sessions: Vec<SessionId>,
    reports: Vec<PluginError>,
    written: u64,
    conflicts: u64,
    write_time: Duration,
}

/// What a batch does for one instance.
struct Part {
    id: Arc<str>,
    ops: usize,
    data: Option<Vec<u8>>,
}

impl Desk {
    pub(super) fn new(
        session: Session,
        mode: ZooKeeperMode,
        board: Arc<Board>,
        news: Subscription,
        writer: Writer,
        refresh: Duration,
    ) -> Self {
        Self {
            session,
            mode,
            board,
            news,
            writer,
            refresh,
            records: HashMap::new(),
            behind: BTreeSet::new(),
            folders: HashSet::new(),
            audited: HashMap::new(),
            audit_due: Instant::now(),
            connection: 0,
            sessions: Vec::new(),
            reports: Vec::new(),
            written: 0,
            conflicts: 0,
            write_time: Duration::ZERO,
        }
    }

    /// Waits until there is something to do, or the connection is another one.
    pub(super) async fn wait_for_news(&self) {
        let mut state = self.session.state();
        let news = async {
            let ids = self.news.changed().await;
            // They are taken in the round.
            self.news.mark(ids);
        };
        tokio::select! {
            () = news => {}
            _ = state.changed() => {}
        }
    }

    /// Problems that concern single instances.
    pub(super) fn take_reports(&mut self) -> Vec<PluginError> {
        std::mem::take(&mut self.reports)
    }

    /// Writes what is behind. Waits for a connection until `until`, but what was begun is finished.
    pub(super) async fn round(&mut self, until: tokio::time::Instant) -> Result<(), Error> {
        self.take_news();
        let connected = tokio::time::timeout_at(until, self.session.connected()).await;
        let Ok(Ok(connection)) = connected else {
            return Ok(());
        };
        if connection.connections != self.connection {
            self.resume(&connection);
        }
        if self.audit_due <= Instant::now() {
            self.audit(&connection).await?;
            self.audit_due = Instant::now() + AUDIT;
        }
        while let Some(first) = self.behind.first().cloned() {
            let chunk: Vec<Arc<str>> = self.behind.iter().take(MAX_BATCH / 2).cloned().collect();
            self.read_unknown(&chunk, &connection).await?;
            self.write(&chunk).await?;
            // One that others write at the same moment waits for the next round.
            if self.behind.first() == Some(&first) {
                break;
            }
        }
        Ok(())
    }

    fn take_news(&mut self) {
        let now = Instant::now();
        for id in self.news.take() {
            self.touch(&id, now);
        }
        let due = self.records.iter().filter(|(_, record)| record.due <= now);
        let due: Vec<Arc<str>> = due.map(|(id, _)| Arc::clone(id)).collect();
        for id in due {
            self.touch(&id, now);
        }
    }

    /// An instance's node is to be written, or looked at.
    fn touch(&mut self, id: &Arc<str>, now: Instant) {
        let slot = self.board.get(id);
        if let Some(slot) = &slot {
            let (folder, name) = (
                self.mode.folder(slot.instance()),
                self.mode.name(slot.instance()),
            );
            let record = self.records.entry(Arc::clone(id));
            let record = record.or_insert_with(|| Record::new(folder, &name, now));
            record.gone = false;
            if record.known == Known::Theirs {
                record.known = Known::Unknown;
            }
        }
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        record.dirty = true;
        record.due = now + self.refresh.mul_f64(0.8 + 0.4 * fastrand::f64());
        if slot.is_none() && !record.gone {
            record.gone = true;
            if self.mode.lifetime() == Mode::Persistent {
                record.due = now + FORGET.min(self.refresh);
                return;
            }
        }
        self.behind.insert(Arc::clone(id));
    }

    /// There is another connection: nothing is known for sure.
    fn resume(&mut self, connection: &Connection) {
        self.connection = connection.connections;
        if !self.sessions.contains(&connection.session) {
            self.sessions.push(connection.session);
            if self.sessions.len() > SESSIONS {
                self.sessions.remove(0);
            }
        }
        self.folders.clear();
        self.audited.clear();
        self.audit_due = Instant::now();
        for (id, record) in &mut self.records {
            record.known = Known::Unknown;
            self.behind.insert(Arc::clone(id));
        }
    }

    /// Looks whether the reporter's node is there and ours, and whether nodes were removed by others.
    async fn audit(&mut self, connection: &Connection) -> Result<(), Error> {
        let path = layout::reporter(&self.writer.id);
        let there = self.session.exists(&path).await?;
        if there.is_none_or(|stat| stat.owner != Some(connection.session)) {
            if there.is_some() {
                // Of an earlier session, or of another agent with the same name: the latest wins.
                ignore(self.session.delete(&path, None).await, &ErrorKind::NoNode)?;
            }
            let reporter = Reporter::here(self.writer.clone(), self.refresh).to_json();
            self.session
                .create_all(&path, reporter, Mode::Ephemeral)
                .await?;
        }
        let folders: BTreeSet<String> = self.records.values().map(|r| r.folder.clone()).collect();
        for folder in folders {
            let stat = self.session.exists(&folder).await?;
            let version = stat.map_or(-1, |stat| stat.children_version);
            if self.audited.insert(folder.clone(), version) == Some(version) {
                continue;
            }
            let names: HashSet<String> = match stat {
                Some(_) => self.session.children(&folder).await?.into_iter().collect(),
                None => HashSet::new(),
            };
            for (id, record) in &mut self.records {
                let name = record
                    .path
                    .strip_prefix(&folder)
                    .and_then(|p| p.strip_prefix('/'));
                let is_missing = name.is_some_and(|name| !names.contains(name));
                if record.folder == folder
                    && is_missing
                    && matches!(record.known, Known::Ours { .. })
                {
                    record.known = Known::Unknown;
                    self.behind.insert(Arc::clone(id));
                }
            }
        }
        Ok(())
    }

    /// Reads nodes of which nothing is known for sure.
    async fn read_unknown(
        &mut self,
        chunk: &[Arc<str>],
        connection: &Connection,
    ) -> Result<(), Error> {
        let is_unknown = |id: &&Arc<str>| {
            let record = self.records.get(*id);
            record.is_some_and(|record| record.known == Known::Unknown)
        };
        let unknown: Vec<Arc<str>> = chunk.iter().filter(is_unknown).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let path = |id: &Arc<str>| self.records.get(id).map(|record| record.path.clone());
        let paths: Vec<String> = unknown.iter().filter_map(path).collect();
        let nodes = self.session.read_many(paths).await?;
        for (id, node) in unknown.iter().zip(nodes) {
            let known = match node {
                Ok(node) => self.judge(&node, connection).await?,
                Err(ErrorKind::NoNode) => Known::Absent,
                Err(kind) => {
                    self.tell(id, &format!("read its node: {kind}"));
                    Known::Theirs
                }
            };
            if known == Known::Theirs {
                self.conflicts += 1;
                self.tell(
                    id,
                    "write its node: another reporter does, and goes before this one",
                );
            }
            if let Some(record) = self.records.get_mut(id) {
                record.known = known;
                if known == Known::Theirs {
                    // It may be left over, and end with its session.
                    record.due = record.due.min(Instant::now() + connection.timeout);
                }
            }
        }
        Ok(())
    }

    /// Whose node this is.
    async fn judge(&self, node: &Node, connection: &Connection) -> Result<Known, Error> {
        let ours = Known::Ours {
            version: node.stat.version,
        };
        if let Some(owner) = node.stat.owner {
            return Ok(if owner == connection.session {
                ours
            } else if self.sessions.contains(&owner) {
                Known::Left
            } else {
                Known::Theirs
            });
        }
        if self.mode != ZooKeeperMode::Status {
            // A node that nobody is bound to says nothing; it is in our way.
            return Ok(Known::Left);
        }
        let other = match Document::from_json(&node.data) {
            Ok(document) => document.writer.id,
            Err(_) => return Ok(ours),
        };
        if other >= self.writer.id {
            return Ok(ours);
        }
        // The name that comes first goes first, as long as its reporter is there.
        let reporter = self.session.exists(&layout::reporter(&other)).await?;
        Ok(if reporter.is_some() {
            Known::Theirs
        } else {
            ours
        })
    }

    /// Writes a chunk in as few batches as it takes.
    async fn write(&mut self, chunk: &[Arc<str>]) -> Result<(), Error> {
        let mut rest = chunk.to_vec();
        while !rest.is_empty() {
            let (ops, parts) = self.collect(&mut rest);
            self.make_folders(&parts).await?;
            let begun = Instant::now();
            match self.session.multi(ops).await {
                Ok(done) => {
                    if !parts.is_empty() {
                        self.write_time = begun.elapsed();
                    }
                    self.take_over(&parts, &done);
                }
                Err(error) => self.failed(parts, error, &mut rest)?,
            }
        }
        Ok(())
    }

    /// Takes from `rest` what fits into one batch.
    fn collect(&mut self, rest: &mut Vec<Arc<str>>) -> (Vec<Op>, Vec<Part>) {
        let (mut ops, mut parts, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(id) = rest.pop() {
            let data = match self.desired(&id) {
                Ok(data) => data,
                Err(why) => {
                    self.tell(&id, &why);
                    self.behind.remove(&id);
                    continue;
                }
            };
            let Some(record) = self.records.get(&id) else {
                self.behind.remove(&id);
                continue;
            };
            let step = match record.step(data.as_deref(), self.mode.lifetime()) {
                Step::Write(step) => step,
                Step::Rest => {
                    let is_over = record.gone && record.known == Known::Absent;
                    if is_over {
                        self.records.remove(&id);
                    }
                    // What is not known is read in the next round.
                    if self
                        .records
                        .get(&id)
                        .is_none_or(|r| r.known != Known::Unknown)
                    {
                        self.behind.remove(&id);
                    }
                    continue;
                }
            };
            bytes += data.as_ref().map_or(0, Vec::len);
            if !parts.is_empty() && (bytes > BATCH_BYTES || ops.len() + step.len() > MAX_BATCH) {
                rest.push(id);
                break;
            }
            let part = Part {
                id,
                ops: step.len(),
                data,
            };
            parts.push(part);
            ops.extend(step);
        }
        (ops, parts)
    }

    /// What an instance's node should hold.
    fn desired(&self, id: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(slot) = self.board.get(id) else {
            return Ok(None);
        };
        let body = self
            .mode
            .body(slot.instance(), &slot.status(), &self.writer);
        body.map_err(|error| format!("write {error}"))
    }

    async fn make_folders(&mut self, parts: &[Part]) -> Result<(), Error> {
        let new = parts.iter().filter_map(|part| self.records.get(&part.id));
        let new = new.filter(|r| r.known == Known::Absent && !self.folders.contains(&r.folder));
        let new: BTreeSet<String> = new.map(|record| record.folder.clone()).collect();
        for folder in new {
            let made = self
                .session
                .create_all(&folder, Vec::new(), Mode::Persistent)
                .await;
            ignore(made.map(drop), &ErrorKind::NodeExists)?;
            self.folders.insert(folder);
        }
        Ok(())
    }

    /// A batch was done.
    fn take_over(&mut self, parts: &[Part], done: &[OpDone]) {
        let mut done = done.iter();
        for part in parts {
            let last = done.by_ref().take(part.ops).last();
            self.behind.remove(&part.id);
            self.written += 1;
            let Some(record) = self.records.get_mut(&part.id) else {
                continue;
            };
            match (&part.data, last) {
                (Some(data), Some(OpDone::Put(stat))) => record.is_written(stat.version, data),
                // A node begins with version 0.
                (Some(data), _) => record.is_written(0, data),
                (None, _) if record.gone => _ = self.records.remove(&part.id),
                (None, _) => record.known = Known::Absent,
            }
        }
    }

    /// A batch was not done, or perhaps it was: what is known of its nodes is known no more. Those that
    /// were not to blame are tried again at once.
    fn failed(
        &mut self,
        parts: Vec<Part>,
        error: Error,
        rest: &mut Vec<Arc<str>>,
    ) -> Result<(), Error> {
        let ErrorKind::InBatch { index, kind } = &error.kind else {
            if error.retry() == Retry::Reread {
                self.forget(&parts);
            }
            return Err(error);
        };
        let mut before = 0;
        for part in parts {
            let is_to_blame = (before..before + part.ops).contains(index);
            before += part.ops;
            if !is_to_blame {
                rest.push(part.id);
                continue;
            }
            if let Some(record) = self.records.get_mut(&part.id) {
                record.known = Known::Unknown;
                self.folders.remove(&record.folder);
            }
            match kind.retry() {
                // Somebody else was there first: it is read and judged in the next round.
                Retry::Reread => {
                    self.conflicts += u64::from(**kind == ErrorKind::BadVersion);
                }
                Retry::Later | Retry::Never => {
                    self.tell(&part.id, &format!("write its node: {kind}"));
                    self.behind.remove(&part.id);
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, parts: &[Part]) {
        for part in parts {
            if let Some(record) = self.records.get_mut(&part.id) {
                record.known = Known::Unknown;
            }
        }
    }

    /// Tells of an instance's problem once.
    fn tell(&mut self, id: &Arc<str>, what: &str) {
        let record = self.records.get_mut(id);
        let is_new = record.is_some_and(|record| !std::mem::replace(&mut record.told, true));
        if is_new && self.reports.len() < MOST_REPORTS {
            let what = PluginError::new(format!("publish {id}")).because(what);
            self.reports.push(what);
        }
    }

    /// Appends the publisher's own numbers: `muster_sentinel_zookeeper`.
    pub(super) fn write_numbers(&self, batch: &mut Batch) {
        let stats = self.session.stats();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let oldest = stats.oldest_pending.unwrap_or_default();
        let mut metric = batch.metric("muster_sentinel_zookeeper");
        metric
            .add_field("state", self.session.state().borrow().word())
            .add_field("sessions", number(stats.sessions))
            .add_field("connections", number(stats.connections))
            .add_field("rebuilds", number(stats.rebuilds))
            .add_field("panics", number(stats.panics))
            .add_field("errors", number(stats.errors.values().sum()))
            .add_field("instances", count(self.records.len()))
            .add_field("behind", count(self.behind.len()))
            .add_field("written", number(self.written))
            .add_field("conflicts", number(self.conflicts))
            .add_field("write_seconds", self.write_time.as_secs_f64())
            .add_field("oldest_pending_seconds", oldest.as_secs_f64());
        metric.untimed();
    }
}

/// A result whose one expected error is none.
fn ignore(result: Result<(), Error>, expected: &ErrorKind) -> Result<(), Error> {
    match result {
        Err(error) if error.kind == *expected => Ok(()),
        other => other,
    }
}
