//! The fleet as etcd has it.

use std::sync::Arc;
use std::time::Duration;

use muster_etcd::{Client, Error, Event, Range, Retry, Watch};

use super::Fleet;
use crate::publish::VERSIONED;

/// So many changes are taken at once.
const MOST_AT_ONCE: usize = 1024;

/// A server that cannot answer is left alone for so long.
const PAUSE: Duration = Duration::from_millis(50);

/// Follows the fleet in etcd.
#[derive(Debug)]
pub struct EtcdFleetWatch {
    client: Client,
    root: String,
    watch: Watch,
    fleet: Arc<Fleet>,
    /// Everything must be read.
    resync: bool,
    /// What has happened until this revision was read.
    revision: i64,
}

impl EtcdFleetWatch {
    /// Follows the fleet of the reporters with this root.
    pub fn new(client: Client, root: &str) -> Self {
        Self {
            watch: client.watch(range(root)),
            root: root.to_owned(),
            client,
            fleet: Arc::default(),
            resync: false,
            revision: 0,
        }
    }

    /// The fleet as it was read last; empty before the first [`next`](Self::next).
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The fleet after the next change; waits for one. The first comes as soon as everything is read. While no server
    /// answers it waits.
    ///
    /// # Errors
    /// If something cannot be read for good, as without permission. It is read again with the next call.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not read yet is read with the next call.
    pub async fn next(&mut self) -> Result<Arc<Fleet>, Error> {
        if !self.resync {
            let event = self.watch.next().await?;
            self.take(event);
        }
        // What else has happened already comes with it.
        for _ in 0..MOST_AT_ONCE {
            let Ok(event) = tokio::time::timeout(Duration::ZERO, self.watch.next()).await else {
                break;
            };
            self.take(event?);
        }
        while self.resync {
            match self.client.get_all(&range(&self.root)).await {
                Ok(got) => {
                    let mut fleet = Fleet::default();
                    for kv in &got.kvs {
                        if let Some(path) = path(&self.root, &kv.key) {
                            fleet.put(path, Some(&kv.value), None);
                        }
                    }
                    (self.fleet, self.revision) = (Arc::new(fleet), got.revision);
                    self.resync = false;
                }
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        Ok(Arc::clone(&self.fleet))
    }

    fn take(&mut self, event: Event) {
        let (key, data, revision) = match &event {
            Event::Resync { .. } => {
                self.resync = true;
                return;
            }
            Event::Put(kv) => (&kv.key, Some(kv.value.as_slice()), kv.modified),
            Event::Deleted { key, revision } => (key, None, *revision),
        };
        if revision <= self.revision {
            return;
        }
        if let Some(path) = path(&self.root, key) {
            Arc::make_mut(&mut self.fleet).put(path, data, None);
        }
    }
}

fn range(root: &str) -> Range {
    Range::prefix(format!("{root}{VERSIONED}/"))
}

/// A key's path below the root.
fn path<'k>(root: &str, key: &'k [u8]) -> Option<&'k str> {
    std::str::from_utf8(key).ok()?.strip_prefix(root)
}
