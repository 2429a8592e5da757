//! Several writes in one request: all are done, or none.

use zookeeper_client::{Client, CreateMode, MultiWriteResult};

use crate::request::{Mode, frame_bytes};
use crate::shared::Shared;
use crate::{ErrorKind, Stat, path};

/// The most operations of one batch.
pub const MAX_BATCH: usize = 100;

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes a node; the node above must be there.
    Create {
        /// Its path.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// How long it lives.
        mode: Mode,
    },
    /// Writes a node that is there.
    Put {
        /// Its path.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// The version that it must have; `None` for any.
        version: Option<i32>,
    },
    /// Deletes a node that has no children.
    Delete {
        /// Its path.
        path: String,
        /// The version that it must have; `None` for any.
        version: Option<i32>,
    },
    /// Does nothing, but the node must have this version.
    Check {
        /// Its path.
        path: String,
        /// The version.
        version: i32,
    },
}

/// What one write of a batch has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpDone {
    /// The node was made. Some servers do not say what it is like.
    Created(Option<Stat>),
    /// The node was written.
    Put(Stat),
    /// The node was deleted.
    Deleted,
    /// The node has the version.
    Checked,
}

impl Op {
    /// The path of the node.
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Put { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. } => path,
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::Create { data, .. } | Self::Put { data, .. } => data,
            Self::Delete { .. } | Self::Check { .. } => &[],
        }
    }
}

/// The bytes of a batch in the worst case, if it may be sent.
pub(crate) fn check(shared: &Shared, ops: &[Op]) -> Result<usize, ErrorKind> {
    if ops.len() > MAX_BATCH {
        return Err(ErrorKind::TooMany(ops.len()));
    }
    let mut bytes = 0;
    for op in ops {
        path::check(op.path()).map_err(ErrorKind::BadPath)?;
        bytes += frame_bytes(shared, op.path(), op.data());
    }
    Ok(bytes)
}

pub(crate) async fn commit(
    shared: &Shared,
    client: &Client,
    ops: &[Op],
) -> Result<Vec<OpDone>, ErrorKind> {
    let mut writer = client.new_multi_writer();
    for op in ops {
        match op {
            Op::Create { path, data, mode } => {
                let options = CreateMode::from(*mode).with_acls(shared.acl());
                writer.add_create(path, data, &options)?;
            }
            Op::Put {
                path,
                data,
                version,
            } => writer.add_set_data(path, data, *version)?,
            Op::Delete { path, version } => writer.add_delete(path, *version)?,
            Op::Check { path, version } => writer.add_check_version(path, *version)?,
        }
    }
    let done = writer.commit().await?;
    Ok(done.into_iter().map(OpDone::from).collect())
}

impl From<MultiWriteResult> for OpDone {
    fn from(result: MultiWriteResult) -> Self {
        match result {
            MultiWriteResult::Create { stat, .. } => {
                Self::Created((!stat.is_invalid()).then(|| stat.into()))
            }
            MultiWriteResult::SetData { stat } => Self::Put(stat.into()),
            MultiWriteResult::Delete => Self::Deleted,
            _ => Self::Checked,
        }
    }
}
