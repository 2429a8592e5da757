//! The fleet as ZooKeeper or etcd has it: for people and programs that read what reporters write.

mod etcd;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_zookeeper::{Error, ErrorKind, Event, MAX_BATCH, Session, Watch};

pub use self::etcd::EtcdFleetWatch;

use crate::document::Document;
use crate::publish::{REPORTERS, Reporter, VERSIONED};
use crate::status::CheckKind;

/// The fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// The reporters that are there, by name.
    pub reporters: BTreeMap<String, Reporter>,
    /// The instances, by their path below the root.
    pub members: BTreeMap<String, Member>,
}

/// One instance as somebody reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What was reported.
    pub document: Document,
    /// When it was written, in milliseconds since 1970: by the servers' clock where they say it (ZooKeeper), else when its
    /// last check ended, by the reporter's clock (etcd).
    pub written_ms: i64,
}

/// Whether a report still says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It does.
    Fresh,
    /// Its reporter is not there: nobody looks, and what is shown is the last that is known.
    NoReporter,
    /// Its reporter is there, but has not written it for this long: the check or the reporter hangs.
    Late(Duration),
}

impl Fleet {
    /// Whether the report of a member still says something; `now_ms` is the present time in milliseconds since 1970,
    /// by a clock that goes with the servers'.
    pub fn freshness(&self, member: &Member, now_ms: i64) -> Freshness {
        let writer = &member.document.writer;
        let reporter = self.reporters.get(&writer.id);
        if reporter.is_none_or(|reporter| reporter.writer != *writer) {
            return Freshness::NoReporter;
        }
        let age = u64::try_from(now_ms - member.written_ms).unwrap_or(0);
        if age > member.document.ttl_ms {
            Freshness::Late(Duration::from_millis(age))
        } else {
            Freshness::Fresh
        }
    }
}

/// Follows the fleet in ZooKeeper.
#[derive(Debug)]
pub struct FleetWatch {
    session: Session,
    watch: Watch,
    fleet: Arc<Fleet>,
    /// Everything must be read.
    resync: bool,
    /// Nodes that must be read.
    changed: Vec<String>,
}

impl FleetWatch {
    /// Follows the fleet through a session whose root is that of the reporters.
    ///
    /// # Errors
    /// If the session has too many watches.
    pub fn new(session: Session) -> Result<Self, Error> {
        Ok(Self {
            watch: session.watch(VERSIONED)?,
            session,
            fleet: Arc::default(),
            resync: false,
            changed: Vec::new(),
        })
    }

    /// The fleet as it was read last; empty before the first [`next`](Self::next).
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The fleet after the next change; waits for one. The first comes as soon as everything is read. `None` for
    /// ever when the session was stopped. While there is no connection it waits, and then gives what is there.
    ///
    /// # Errors
    /// If something cannot be read for good, as without permission. It is read again with the next call.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not read yet is read with the next call.
    pub async fn next(&mut self) -> Result<Option<Arc<Fleet>>, Error> {
        while !self.resync && self.changed.is_empty() {
            match self.watch.next().await {
                Some(event) => self.note(event),
                None => return Ok(None),
            }
        }
        loop {
            if self.session.connected().await.is_err() {
                return Ok(None);
            }
            match self.read().await {
                Ok(fleet) => {
                    self.fleet = Arc::new(fleet);
                    (self.resync, self.changed) = (false, Vec::new());
                    return Ok(Some(Arc::clone(&self.fleet)));
                }
                Err(error) if error.retry() == muster_zookeeper::Retry::Never => return Err(error),
                // A server that is busy is left alone for a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Resync => self.resync = true,
            Event::Changed(path) => self.changed.push(path),
        }
    }

    async fn read(&mut self) -> Result<Fleet, Error> {
        // What else is known to have changed is read with it.
        while self.changed.len() < MAX_BATCH
            && let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, self.watch.next()).await
        {
            self.note(event);
        }
        let (mut fleet, paths) = if self.resync {
            (Fleet::default(), self.all_paths().await?)
        } else {
            ((*self.fleet).clone(), self.changed.clone())
        };
        for chunk in paths.chunks(MAX_BATCH) {
            let nodes = self.session.read_many(chunk.to_vec()).await?;
            for (path, node) in chunk.iter().zip(nodes) {
                let node = node.ok();
                let written_ms = node.as_ref().map(|node| node.stat.modified_ms);
                fleet.put(
                    path,
                    node.as_ref().map(|node| node.data.as_slice()),
                    written_ms,
                );
            }
        }
        Ok(fleet)
    }

    /// The nodes of all reporters and instances.
    async fn all_paths(&self) -> Result<Vec<String>, Error> {
        let mut paths = self.below(REPORTERS).await?;
        for kind in CheckKind::ALL {
            for cluster in self.below(&format!("{VERSIONED}/{kind}")).await? {
                paths.extend(self.below(&cluster).await?);
            }
        }
        Ok(paths)
    }

    async fn below(&self, path: &str) -> Result<Vec<String>, Error> {
        match self.session.children(path).await {
            Ok(names) => Ok(names.iter().map(|name| format!("{path}/{name}")).collect()),
            Err(error) if error.kind == ErrorKind::NoNode => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Fleet {
    /// Takes what was read at a path, and when that was written if that is known; what is no report there is
    /// left out.
    fn put(&mut self, path: &str, data: Option<&[u8]>, written_ms: Option<i64>) {
        let below = path.strip_prefix(VERSIONED).unwrap_or_default();
        let mut names = below.split('/').skip(1);
        let (kind, cluster, name) = (names.next(), names.next(), names.next());
        match (kind, cluster, name) {
            (Some("reporters"), Some(name), None) => {
                let read = |data| serde_json::from_slice::<Reporter>(data).ok();
                match data.and_then(read) {
                    Some(reporter) => {
                        self.reporters.insert(reporter.writer.id.clone(), reporter);
                    }
                    None => self.reporters.retain(|_, r| !is_named(r, name)),
                }
            }
            (Some(kind), Some(_), Some(_)) if kind.parse::<CheckKind>().is_ok() => {
                let document = data.and_then(|data| Document::from_json(data).ok());
                match document {
                    Some(document) => {
                        let written_ms = written_ms.unwrap_or(document.checked_ms);
                        let member = Member {
                            document,
                            written_ms,
                        };
                        self.members.insert(path.to_owned(), member);
                    }
                    None => _ = self.members.remove(path),
                }
            }
            _ => {}
        }
    }
}

fn is_named(reporter: &Reporter, name: &str) -> bool {
    crate::publish::reporter_path(&reporter.writer.id).ends_with(&format!("/{name}"))
}
