//! Brings what is in etcd to what is on the board, again and again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_etcd::{
    Client, Compare, Condition, Error, ErrorKind, Event, Get, KeyValue, Lease, LeaseId, Op, OpDone,
    Range, Retry, Txn,
};
use muster_metric::Batch;
use tokio::sync::mpsc;

use crate::document::Document;
use crate::publish::layout::{self, REPORTERS};
use crate::publish::ledger::{Ledger, Part};
use crate::publish::record::{Known, Step};
use crate::publish::rounds::{self, AUDIT};
use crate::publish::summary::Summaries;

/// So many instances are written at once.
const BATCH: usize = 100;

/// So many leases of ours are remembered, to know what they have left.
const LEASES: usize = 64;

/// The lease is kept alive so many times within its life.
const BEATS: u32 = 4;

/// The publisher's work.
pub(super) struct Desk {
    client: Client,
    root: String,
    ttl: Duration,
    ledger: Ledger,
    /// Keys that were deleted.
    events: mpsc::Receiver<Event>,
    /// One that was received and not dealt with yet.
    event: Option<Event>,
    lease: Option<Lease>,
    /// When the lease is to be kept alive.
    beat: Instant,
    leases: Vec<LeaseId>,
    granted: u64,
    audit_due: Instant,
    summaries: Summaries,
    errors: u64,
    is_failing: bool,
}

impl rounds::Desk for Desk {
    type Error = Error;

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    async fn round(&mut self, _until: tokio::time::Instant) -> Result<(), Error> {
        self.ledger.take_news();
        self.take_events();
        let done = self.work().await;
        self.is_failing = done.is_err();
        if let Err(error) = &done {
            self.errors += 1;
            if error.kind == ErrorKind::LeaseNotFound {
                self.lease = None;
            }
        }
        done
    }

    async fn wait_for_news(&mut self) {
        tokio::select! {
            () = self.ledger.wait_for_news() => {}
            Some(event) = self.events.recv() => self.event = Some(event),
        }
    }

    /// `muster_sentinel_etcd`.
    fn write_numbers(&self, batch: &mut Batch) {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let state = match (self.is_failing, self.lease) {
            (true, _) => "failing",
            (false, None) => "connecting",
            (false, Some(_)) => "connected",
        };
        let mut metric = batch.metric("muster_sentinel_etcd");
        metric
            .add_field("state", state)
            .add_field("leases", number(self.granted))
            .add_field("errors", number(self.errors));
        self.ledger.write_numbers(&mut metric);
        metric.untimed();
    }
}

impl Desk {
    pub(super) fn new(
        client: Client,
        root: String,
        ttl: Duration,
        ledger: Ledger,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        Self {
            client,
            root,
            ttl,
            ledger,
            events,
            event: None,
            lease: None,
            beat: Instant::now(),
            leases: Vec::new(),
            granted: 0,
            audit_due: Instant::now(),
            summaries: Summaries::default(),
            errors: 0,
            is_failing: false,
        }
    }

    /// All keys below a root.
    pub(super) fn all_keys(root: &str) -> Range {
        Range::prefix(format!("{root}/"))
    }

    /// What is bound to the lease is deleted, within this time.
    pub(super) async fn stop(self, within: Duration) -> Result<(), Error> {
        match self.lease {
            Some(lease) => self.client.with_timeout(within).revoke(lease.id).await,
            None => Ok(()),
        }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Keys of ours that others have deleted are read again.
    fn take_events(&mut self) {
        let mut deleted: HashMap<String, i64> = HashMap::new();
        let mut event = self.event.take();
        while let Some(next) = event.or_else(|| self.events.try_recv().ok()) {
            event = None;
            match next {
                Event::Deleted { key, revision } => {
                    let path = String::from_utf8(key).unwrap_or_default();
                    if let Some(path) = path.strip_prefix(&self.root) {
                        deleted.insert(path.to_owned(), revision);
                    }
                }
                Event::Resync { .. } => {
                    self.ledger.forget_all();
                    self.summaries.distrust(|_| true);
                    self.audit_due = Instant::now();
                }
                Event::Put(_) => {}
            }
        }
        if deleted.is_empty() {
            return;
        }
        let writer = &self.ledger.writer.id;
        if deleted.contains_key(&layout::reporter(writer)) {
            self.audit_due = Instant::now();
        }
        self.summaries
            .distrust(|cluster| deleted.contains_key(&layout::summary(cluster, writer)));
        self.ledger.are_gone(|record| {
            let revision = deleted.get(&record.path);
            // One that was written since is there.
            matches!((revision, record.known), (Some(&at), Known::Ours { version }) if version < at)
        });
    }

    async fn work(&mut self) -> Result<(), Error> {
        let lease = self.keep_lease().await?;
        if self.audit_due <= Instant::now() {
            self.audit(lease).await?;
            self.summarize(lease).await?;
            self.audit_due = Instant::now() + AUDIT;
        }
        while let Some(chunk) = self.ledger.next(BATCH) {
            let lease = self.keep_lease().await?;
            self.read_unknown(&chunk, lease).await?;
            self.write(&chunk, lease).await?;
            // One that others write at the same moment waits for the next round.
            if self.ledger.next(1).as_deref() == Some(&chunk[..1]) {
                break;
            }
        }
        Ok(())
    }

    /// The lease, kept alive if it is time for it; a new one, if there is none any more.
    async fn keep_lease(&mut self) -> Result<Lease, Error> {
        let now = Instant::now();
        if let Some(lease) = &mut self.lease {
            if now < self.beat {
                return Ok(*lease);
            }
            match self.client.keep_alive(lease.id).await {
                Ok(ttl) => {
                    lease.ttl = ttl;
                    self.beat = now + ttl / BEATS;
                    return Ok(*lease);
                }
                Err(error) if error.kind == ErrorKind::LeaseNotFound => self.lease = None,
                Err(error) => return Err(error),
            }
        }
        let now = Instant::now();
        let lease = self.client.grant(self.ttl).await?;
        self.lease = Some(lease);
        self.granted += 1;
        self.beat = now + lease.ttl / BEATS;
        self.leases.push(lease.id);
        if self.leases.len() > LEASES {
            self.leases.remove(0);
        }
        // What was bound to the one before is gone, or will be.
        self.ledger.forget_all();
        self.summaries.distrust(|_| true);
        self.audit_due = now;
        Ok(lease)
    }

    /// Looks whether the reporter's key is there and bound to our lease.
    async fn audit(&mut self, lease: Lease) -> Result<(), Error> {
        let key = self.key(&layout::reporter(&self.ledger.writer.id));
        let read = self.client.get(Get::key(key.as_str()).keys_only()).await?;
        let bound = read.kvs.first().and_then(|kv| kv.lease);
        if bound != Some(lease.id) {
            // Of an earlier lease, or of another agent with the same name: the latest wins.
            let reporter = self.ledger.reporter();
            self.client.put(key, reporter, Some(lease.id)).await?;
        }
        Ok(())
    }

    /// Writes how each cluster stands in sum, where that has changed.
    async fn summarize(&mut self, lease: Lease) -> Result<(), Error> {
        for (cluster, summary) in self.summaries.news(self.ledger.summaries()) {
            let key = self.key(&layout::summary(&cluster, &self.ledger.writer.id));
            if let Some(summary) = &summary {
                let json = summary.to_json();
                self.client.put(key, json, Some(lease.id)).await?;
            } else {
                self.client.delete(&Range::key(key)).await?;
            }
            self.summaries.is_written(cluster, summary);
        }
        Ok(())
    }

    /// Reads keys of which nothing is known for sure, and which reporters there are.
    async fn read_unknown(&mut self, chunk: &[Arc<str>], lease: Lease) -> Result<(), Error> {
        let unknown = self.ledger.unknown(chunk);
        if unknown.is_empty() {
            return Ok(());
        }
        let reporters = Range::prefix(self.key(REPORTERS) + "/");
        let mut then = vec![Op::Get(Get::of(reporters).keys_only())];
        then.extend(
            unknown
                .iter()
                .map(|(_, path)| Op::Get(Get::key(self.key(path)))),
        );
        let txn = Txn {
            then,
            ..Txn::default()
        };
        let mut found = self.client.txn(&txn).await?.done.into_iter().map(found);
        let reporters = found.next().unwrap_or_default();
        let reporters: HashSet<Vec<u8>> = reporters.into_iter().map(|kv| kv.key).collect();
        for ((id, _), mut kvs) in unknown.iter().zip(found) {
            let Some(kv) = kvs.pop() else {
                self.ledger.learn(id, Known::Absent);
                continue;
            };
            let ours = Known::Ours {
                version: kv.modified,
            };
            match self.judge(&kv, lease, &reporters) {
                Judgement::Ours => self.ledger.learn(id, ours),
                Judgement::OursElsewhere => self.ledger.is_bound_elsewhere(id, kv.modified),
                Judgement::Theirs => self.ledger.is_theirs(id, lease.ttl),
            }
        }
        Ok(())
    }

    /// Whose key this is.
    fn judge(&self, kv: &KeyValue, lease: Lease, reporters: &HashSet<Vec<u8>>) -> Judgement {
        if !self.ledger.mode.is_bound() {
            // The name that comes first goes first, as long as its reporter is there.
            let reporter = self.ledger.rival(&kv.value);
            let reporter = reporter.map(|rival| self.key(&layout::reporter(&rival)));
            return match (reporter, kv.lease) {
                (Some(key), _) if reporters.contains(key.as_bytes()) => Judgement::Theirs,
                (_, Some(_)) => Judgement::OursElsewhere,
                (_, None) => Judgement::Ours,
            };
        }
        match kv.lease {
            Some(bound) if bound == lease.id => Judgement::Ours,
            Some(bound) if !self.leases.contains(&bound) && !self.is_written_by_us(kv) => {
                Judgement::Theirs
            }
            // A key that nobody is bound to says nothing; it is in our way.
            _ => Judgement::OursElsewhere,
        }
    }

    /// Whether a document is of this reporter: of its predecessor, if it was killed.
    fn is_written_by_us(&self, kv: &KeyValue) -> bool {
        let document = Document::from_json(&kv.value);
        document.is_ok_and(|document| document.writer.id == self.ledger.writer.id)
    }

    /// Writes a chunk in as few transactions as it takes.
    async fn write(&mut self, chunk: &[Arc<str>], lease: Lease) -> Result<(), Error> {
        let mut rest = chunk.to_vec();
        while !rest.is_empty() {
            let parts = self.ledger.collect(&mut rest, BATCH);
            // No key may be written twice in a transaction: instances of two kinds may share one.
            let mut keys = HashSet::new();
            let (parts, twice): (Vec<Part>, Vec<Part>) = parts
                .into_iter()
                .partition(|part| keys.insert(part.path.clone()));
            rest.extend(twice.into_iter().map(|part| part.id));
            if parts.is_empty() {
                continue;
            }
            let begun = Instant::now();
            let done = self.client.txn(&self.transaction(&parts, lease)).await;
            if let Err(error) = &done
                && error.retry() == Retry::Reread
            {
                // Perhaps it was done.
                parts.iter().for_each(|part| self.ledger.forget(&part.id));
            }
            let done = done?;
            self.ledger.took(begun.elapsed());
            if done.held {
                parts
                    .iter()
                    .for_each(|part| self.ledger.is_done(part, done.revision));
            } else {
                self.not_held(parts, done.done, &mut rest);
            }
        }
        Ok(())
    }

    /// Writes all parts, if each key still has the version that we know; else reads these versions.
    fn transaction(&self, parts: &[Part], lease: Lease) -> Txn {
        let lease = self.ledger.mode.is_bound().then_some(lease.id);
        let mut txn = Txn::default();
        for part in parts {
            let key = self.key(&part.path);
            let condition = condition(part.step);
            let compare = condition.map(|is| Compare::new(key.as_str(), is));
            txn.compares.extend(compare);
            txn.otherwise
                .push(Op::Get(Get::key(key.as_str()).keys_only()));
            txn.then.push(match &part.data {
                Some(data) => Op::put(key, data.as_slice(), lease),
                None => Op::Delete(Range::key(key)),
            });
        }
        txn
    }

    /// Some keys have another version than we know: those are read and judged in the next round, the others are tried
    /// again at once.
    fn not_held(&mut self, parts: Vec<Part>, read: Vec<OpDone>, rest: &mut Vec<Arc<str>>) {
        for (part, read) in parts.into_iter().zip(read) {
            let version = found(read).pop().map(|kv| kv.modified);
            match (condition(part.step), version) {
                (None, _) | (Some(Condition::Absent), None) => rest.push(part.id),
                (Some(Condition::Modified(known)), Some(now)) if known == now => rest.push(part.id),
                // Somebody has written it.
                (_, Some(_)) => self.ledger.has_changed(&part.id),
                // Somebody has deleted it.
                (_, None) => self.ledger.forget(&part.id),
            }
        }
    }
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Ours,
    /// Ours, and to be written because it is bound to something else than it should be.
    OursElsewhere,
    /// Somebody else's, who goes before us.
    Theirs,
}

/// What must hold of a key so that the step is still right.
fn condition(step: Step) -> Option<Condition> {
    match step {
        Step::Create => Some(Condition::Absent),
        Step::Put(version) | Step::Delete(Some(version)) => Some(Condition::Modified(version)),
        Step::Rest | Step::Replace | Step::Delete(None) => None,
    }
}

/// What an operation has read.
fn found(done: OpDone) -> Vec<KeyValue> {
    match done {
        OpDone::Got(kvs) => kvs,
        OpDone::Put | OpDone::Deleted(_) => Vec::new(),
    }
}
