//! Brings what is in ZooKeeper to what is on the board, again and again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use muster_metric::Batch;
use muster_zookeeper::{
    Connection, Error, ErrorKind, MAX_BATCH, Mode, Node, Op, OpDone, Retry, Session, SessionId,
};

use crate::publish::layout;
use crate::publish::ledger::{Ledger, Part};
use crate::publish::record::{Known, Step};
use crate::publish::rounds::{self, AUDIT};
use crate::publish::summary::Summaries;

/// So many sessions of ours are remembered, to know what they have left.
const SESSIONS: usize = 64;

/// The publisher's work.
pub(super) struct Desk {
    session: Session,
    ledger: Ledger,
    /// Nodes above instances that are there.
    folders: HashSet<String>,
    /// Nodes whose children were looked at, as they were then: what made the node, and how often they had changed.
    audited: HashMap<String, (i64, i32)>,
    /// The reporters that were there at the last look.
    reporters: HashSet<String>,
    audit_due: Instant,
    summaries: Summaries,
    connection: u64,
    sessions: Vec<SessionId>,
}

impl rounds::Desk for Desk {
    type Error = Error;

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    async fn round(&mut self, until: tokio::time::Instant) -> Result<(), Error> {
        self.ledger.take_news();
        let connected = tokio::time::timeout_at(until, self.session.connected()).await;
        let Ok(Ok(connection)) = connected else {
            return Ok(());
        };
        if connection.connections != self.connection {
            self.resume(&connection);
        }
        if self.audit_due <= Instant::now() {
            self.audit(&connection).await?;
            self.summarize(&connection).await?;
            self.audit_due = Instant::now() + AUDIT;
        }
        while let Some(chunk) = self.ledger.next(MAX_BATCH / 2) {
            self.read_unknown(&chunk, &connection).await?;
            self.write(&chunk).await?;
            // One that others write at the same moment waits for the next round.
            if self.ledger.next(1).as_deref() == Some(&chunk[..1]) {
                break;
            }
        }
        Ok(())
    }

    async fn wait_for_news(&mut self) {
        let mut state = self.session.state();
        tokio::select! {
            () = self.ledger.wait_for_news() => {}
            _ = state.changed() => {}
        }
    }

    /// `muster_sentinel_zookeeper`.
    fn write_numbers(&self, batch: &mut Batch) {
        let stats = self.session.stats();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let oldest = stats.oldest_pending.unwrap_or_default();
        let mut metric = batch.metric("muster_sentinel_zookeeper");
        metric
            .add_field("state", self.session.state().borrow().word())
            .add_field("sessions", number(stats.sessions))
            .add_field("connections", number(stats.connections))
            .add_field("rebuilds", number(stats.rebuilds))
            .add_field("panics", number(stats.panics))
            .add_field("errors", number(stats.errors.values().sum()));
        self.ledger.write_numbers(&mut metric);
        metric.add_field("oldest_pending_seconds", oldest.as_secs_f64());
        metric.untimed();
    }
}

impl Desk {
    pub(super) fn new(session: Session, ledger: Ledger) -> Self {
        Self {
            session,
            ledger,
            folders: HashSet::new(),
            audited: HashMap::new(),
            reporters: HashSet::new(),
            audit_due: Instant::now(),
            summaries: Summaries::default(),
            connection: 0,
            sessions: Vec::new(),
        }
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
        // They may have gone with the session.
        self.summaries.distrust(|_| true);
        self.folders.clear();
        self.audited.clear();
        self.audit_due = Instant::now();
        self.ledger.forget_all();
    }

    /// Looks whether the reporter's node is there and ours, and whether nodes were removed by others.
    async fn audit(&mut self, connection: &Connection) -> Result<(), Error> {
        let path = layout::reporter(&self.ledger.writer.id);
        let there = self.session.exists(&path).await?;
        if there.is_none_or(|stat| stat.owner != Some(connection.session)) {
            self.hold(&path, self.ledger.reporter(), connection).await?;
        }
        if self.has_reporter_gone().await? {
            self.ledger.forget_all();
        }
        let folders: BTreeSet<String> = self.ledger.records().map(|r| r.folder.clone()).collect();
        for folder in folders {
            let Some(names) = self.changed_children(&folder).await? else {
                continue;
            };
            self.ledger.are_gone(|record| {
                let name = record
                    .path
                    .strip_prefix(&folder)
                    .and_then(|p| p.strip_prefix('/'));
                record.folder == folder && name.is_some_and(|name| !names.contains(name))
            });
        }
        Ok(())
    }

    /// Whether another reporter has gone since the last look: what it has written may be ours to write now.
    async fn has_reporter_gone(&mut self) -> Result<bool, Error> {
        let Some(there) = self.changed_children(layout::REPORTERS).await? else {
            return Ok(false);
        };
        let before = std::mem::replace(&mut self.reporters, there);
        Ok(!before.is_subset(&self.reporters))
    }

    /// The names of a node's children, unless they are those of the last look.
    async fn changed_children(&mut self, path: &str) -> Result<Option<HashSet<String>>, Error> {
        if let Some(stat) = self.session.exists(path).await? {
            let now = (stat.created, stat.children_version);
            if self.audited.get(path) == Some(&now) {
                return Ok(None);
            }
            match self.session.children(path).await {
                Ok(names) => {
                    self.audited.insert(path.to_owned(), now);
                    return Ok(Some(names.into_iter().collect()));
                }
                Err(error) if error.kind == ErrorKind::NoNode => {}
                Err(error) => return Err(error),
            }
        }
        // Also if it was not there at the last look: it may have been made and removed since.
        self.audited.remove(path);
        self.folders.remove(path);
        Ok(Some(HashSet::new()))
    }

    /// Writes how each cluster stands in sum, where that has changed or was removed.
    async fn summarize(&mut self, connection: &Connection) -> Result<(), Error> {
        let written: Vec<String> = self.summaries.written().map(str::to_owned).collect();
        for clusters in written.chunks(MAX_BATCH) {
            let path = |cluster: &String| layout::summary(cluster, &self.ledger.writer.id);
            let nodes = self.session.read_many(clusters.iter().map(path).collect());
            for (cluster, node) in clusters.iter().zip(nodes.await?) {
                if node == Err(ErrorKind::NoNode) {
                    self.summaries.distrust(|one| one == cluster);
                }
            }
        }
        for (cluster, summary) in self.summaries.news(self.ledger.summaries()) {
            let path = layout::summary(&cluster, &self.ledger.writer.id);
            match &summary {
                Some(summary) => self.hold(&path, summary.to_json(), connection).await?,
                None => ignore(self.session.delete(&path, None).await, &ErrorKind::NoNode)?,
            }
            self.summaries.is_written(cluster, summary);
        }
        Ok(())
    }

    /// Writes a node that is there as long as our session.
    async fn hold(&self, path: &str, data: Vec<u8>, connection: &Connection) -> Result<(), Error> {
        let there = self.session.exists(path).await?;
        if there.is_some_and(|stat| stat.owner == Some(connection.session)) {
            return self.session.put(path, data, None).await.map(drop);
        }
        if there.is_some() {
            // Of an earlier session, or of another agent with the same name: the latest wins.
            ignore(self.session.delete(path, None).await, &ErrorKind::NoNode)?;
        }
        let made = self.session.create_all(path, data, Mode::Ephemeral).await;
        made.map(drop)
    }

    /// Reads nodes of which nothing is known for sure.
    async fn read_unknown(
        &mut self,
        chunk: &[Arc<str>],
        connection: &Connection,
    ) -> Result<(), Error> {
        let (unknown, paths): (Vec<_>, Vec<_>) = self.ledger.unknown(chunk).into_iter().unzip();
        if unknown.is_empty() {
            return Ok(());
        }
        let nodes = self.session.read_many(paths).await?;
        for (id, node) in unknown.iter().zip(nodes) {
            let known = match node {
                Ok(node) => self.judge(&node, connection).await?,
                Err(ErrorKind::NoNode) => Known::Absent,
                Err(kind) => {
                    self.ledger.tell(id, &format!("read its node: {kind}"));
                    Known::Theirs
                }
            };
            match known {
                Known::Theirs => self.ledger.is_theirs(id, connection.timeout),
                known => self.ledger.learn(id, known),
            }
        }
        Ok(())
    }

    /// Whose node this is.
    async fn judge(&self, node: &Node, connection: &Connection) -> Result<Known, Error> {
        let ours = Known::Ours {
            version: node.stat.version.into(),
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
        if self.ledger.mode.is_bound() {
            // A node that nobody is bound to says nothing; it is in our way.
            return Ok(Known::Left);
        }
        let Some(rival) = self.ledger.rival(&node.data) else {
            return Ok(ours);
        };
        // The name that comes first goes first, as long as its reporter is there.
        let reporter = self.session.exists(&layout::reporter(&rival)).await?;
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
            let parts = self.ledger.collect(&mut rest, MAX_BATCH);
            self.make_folders(&parts).await?;
            let ops = parts.iter().flat_map(|part| self.operations(part));
            let ops: Vec<Op> = ops.collect();
            let begun = Instant::now();
            match self.session.multi(ops).await {
                Ok(done) => {
                    if !parts.is_empty() {
                        self.ledger.took(begun.elapsed());
                    }
                    self.take_over(&parts, &done);
                }
                Err(error) => self.failed(parts, error, &mut rest)?,
            }
        }
        Ok(())
    }

    /// What is to be done for a part of a batch; as many as its step says.
    fn operations(&self, part: &Part) -> Vec<Op> {
        let (path, data) = (part.path.clone(), part.data.clone().unwrap_or_default());
        let mode = match self.ledger.mode.is_bound() {
            true => Mode::Ephemeral,
            false => Mode::Persistent,
        };
        // What does not fit was never a version of ZooKeeper's: it is no node's.
        let version = |version: i64| Some(i32::try_from(version).unwrap_or(i32::MAX));
        let create = Op::Create {
            path: path.clone(),
            data: data.clone(),
            mode,
        };
        match part.step {
            Step::Rest => Vec::new(),
            Step::Create => vec![create],
            Step::Put(expected) => vec![Op::Put {
                path,
                data,
                version: version(expected),
            }],
            Step::Replace => vec![
                Op::Delete {
                    path,
                    version: None,
                },
                create,
            ],
            Step::Delete(expected) => vec![Op::Delete {
                path,
                version: expected.and_then(version),
            }],
        }
    }

    async fn make_folders(&mut self, parts: &[Part]) -> Result<(), Error> {
        let new = parts.iter().filter(|part| part.step == Step::Create);
        let new = new.filter_map(|part| self.ledger.record(&part.id));
        let new = new.filter(|record| !self.folders.contains(&record.folder));
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
            let last = done.by_ref().take(part.step.operations()).last();
            let version = match last {
                Some(OpDone::Put(stat)) => stat.version.into(),
                // A node begins with version 0.
                _ => 0,
            };
            self.ledger.is_done(part, version);
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
                parts.iter().for_each(|part| self.ledger.forget(&part.id));
            }
            return Err(error);
        };
        let mut before = 0;
        for part in parts {
            let operations = part.step.operations();
            let is_to_blame = (before..before + operations).contains(index);
            before += operations;
            if !is_to_blame {
                rest.push(part.id);
                continue;
            }
            if let Some(record) = self.ledger.record(&part.id) {
                self.folders.remove(&record.folder);
            }
            match kind.retry() {
                Retry::Reread if **kind == ErrorKind::BadVersion => {
                    self.ledger.has_changed(&part.id);
                }
                Retry::Reread => self.ledger.forget(&part.id),
                Retry::Later | Retry::Never => {
                    self.ledger.forget(&part.id);
                    let why = format!("write its node: {kind}");
                    self.ledger.give_up(&part.id, &why);
                }
            }
        }
        Ok(())
    }
}

/// A result whose one expected error is none.
fn ignore(result: Result<(), Error>, expected: &ErrorKind) -> Result<(), Error> {
    match result {
        Err(error) if error.kind == *expected => Ok(()),
        other => other,
    }
}
