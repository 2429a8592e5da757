//! A program that reads what ZooKeeper says, with a session of its own.

use std::sync::Arc;
use std::time::Duration;

use muster_sentinel::document::{Document, Writer};
use muster_sentinel::{Slot, Target};
use muster_tasks::Group;
use muster_zookeeper::{Options, Session};

pub(crate) struct Reader {
    pub(crate) session: Session,
}

/// The node of an instance.
pub(crate) fn path(slot: &Slot) -> String {
    let instance = slot.instance();
    let Target::Tcp { host, port } = &instance.target else {
        panic!("all have a port");
    };
    format!("/v1/{}/{}/{host}:{port}", instance.kind, instance.cluster)
}

impl Reader {
    /// A fresh client that has just begun, and tries often.
    pub(crate) fn start(group: &Group, servers: &[String], root: &str) -> Self {
        let servers = format!("{}/{root}", servers.join(","));
        let mut options = Options::new(servers.parse().unwrap());
        options.session_timeout = Duration::from_secs(4);
        options.operation_timeout = Duration::from_secs(2);
        options.pauses.first = Duration::from_millis(5);
        options.pauses.longest = Duration::from_millis(20);
        Self {
            session: Session::start(group, options).unwrap(),
        }
    }

    /// Waits until the servers answer.
    pub(crate) async fn answered(&self) {
        loop {
            self.session.connected().await.unwrap();
            if self.session.sync().await.is_ok() && self.session.exists("/").await.is_ok() {
                return;
            }
        }
    }

    /// Reads all until there is nothing wrong.
    pub(crate) async fn until_right(&self, slots: &[Arc<Slot>]) {
        loop {
            self.session.connected().await.unwrap();
            if self
                .wrong(slots)
                .await
                .is_some_and(|wrong| wrong.is_empty())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What is not as it is on the board; `None` if it cannot be read.
    pub(crate) async fn wrong(&self, slots: &[Arc<Slot>]) -> Option<Vec<String>> {
        let reporters = self.session.children("/v1/reporters").await.ok()?;
        let nodes = self
            .session
            .read_many(slots.iter().map(|slot| path(slot)).collect());
        let nodes = nodes.await.ok()?;
        let mut wrong = Vec::new();
        if reporters.is_empty() {
            wrong.push("nobody reports".to_owned());
        }
        for (slot, node) in slots.iter().zip(nodes) {
            let should = Document::new(&slot.instance(), &slot.status(), &Writer::default());
            let is = node.map(|node| Document::from_json(&node.data).unwrap());
            let key = |document: &Document| (document.state, document.reason, document.since_ms);
            if is.as_ref().map(key) != Ok(key(&should)) {
                wrong.push(format!("{}: {is:?}", slot.id()));
            }
        }
        Some(wrong)
    }
}
