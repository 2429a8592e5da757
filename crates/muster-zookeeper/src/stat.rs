//! What ZooKeeper knows of a node beside its data.

use std::fmt;

/// The number of a session. Shown as ZooKeeper shows it, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What ZooKeeper knows of a node beside its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created the node. Grows with every transaction of the ensemble, so it
    /// serves as a fencing token.
    pub created: i64,
    /// The transaction that last wrote its data.
    pub modified: i64,
    /// When it was created, by the leader's clock, in milliseconds since 1970.
    pub created_ms: i64,
    /// When its data was last written, by the leader's clock, in milliseconds since 1970.
    pub modified_ms: i64,
    /// How often its data was written since it was created; what a write compares with.
    pub version: i32,
    /// How often children were added or removed.
    pub children_version: i32,
    /// The session that an ephemeral node ends with; `None` for others.
    pub owner: Option<SessionId>,
    /// The length of its data in bytes.
    pub length: usize,
    /// How many children it has.
    pub children: usize,
}

/// A node: its data and what ZooKeeper knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The data.
    pub data: Vec<u8>,
    /// The rest.
    pub stat: Stat,
}

impl From<(Vec<u8>, zookeeper_client::Stat)> for Node {
    fn from((data, stat): (Vec<u8>, zookeeper_client::Stat)) -> Self {
        Self {
            data,
            stat: stat.into(),
        }
    }
}

impl From<zookeeper_client::Stat> for Stat {
    fn from(stat: zookeeper_client::Stat) -> Self {
        let count = |n: i32| usize::try_from(n).unwrap_or(0);
        Self {
            created: stat.czxid,
            modified: stat.mzxid,
            created_ms: stat.ctime,
            modified_ms: stat.mtime,
            version: stat.version,
            children_version: stat.cversion,
            owner: (stat.ephemeral_owner != 0).then_some(SessionId(stat.ephemeral_owner)),
            length: count(stat.data_length),
            children: count(stat.num_children),
        }
    }
}
