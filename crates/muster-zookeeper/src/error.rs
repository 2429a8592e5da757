//! What can go wrong with an operation, and what to do about it.

use std::fmt;
use std::time::Duration;

/// An operation that did not succeed. Its message completes "failed to ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{verb} {path}: {kind}")]
pub struct Error {
    /// What was to be done.
    pub(crate) verb: &'static str,
    /// The path of the (first) node.
    pub(crate) path: String,
    /// Why it was not.
    pub kind: ErrorKind,
}

impl Error {
    /// What was to be done, as a verb.
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// The path of the node; of the first one if there were several.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What to do about it.
    pub fn retry(&self) -> Retry {
        self.kind.retry()
    }
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing was done, and the same request will fail again.
    Never,
    /// Nothing was done; the same request may succeed later.
    Later,
    /// It is not known whether it was done: read first, then decide.
    Reread,
}

/// Why an operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no connection; nothing was sent.
    #[error("there is no connection to ZooKeeper")]
    NotConnected,
    /// Too many operations or bytes were on their way for all of the time allowed; nothing was sent.
    #[error("too many operations are on their way")]
    Busy,
    /// The request is larger than ZooKeeper takes; nothing was sent. (ZooKeeper would drop the
    /// connection without an answer.)
    #[error("the request has {bytes} bytes, and ZooKeeper takes at most {limit}")]
    TooLarge {
        /// The request's bytes.
        bytes: usize,
        /// The most that is sent.
        limit: usize,
    },
    /// More operations in one request than [`MAX_BATCH`](crate::MAX_BATCH); nothing was sent.
    #[error("{0} operations in one request are too many")]
    TooMany(usize),
    /// The path is no path of a node; nothing was sent.
    #[error("{0}")]
    BadPath(&'static str),
    /// There was no answer in time. Whether it was done is not known.
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    /// The connection was lost before the answer came. Whether it was done is not known.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The server said that the session is over; it was not done.
    #[error("the session has expired")]
    Expired,
    /// The session was stopped by its owner.
    #[error("the session was stopped")]
    Stopped,
    /// There is no such node (or, for a create, none above it).
    #[error("there is no such node")]
    NoNode,
    /// There is one already.
    #[error("the node exists")]
    NodeExists,
    /// The node has children.
    #[error("the node has children")]
    NotEmpty,
    /// The node has another version than expected: somebody else has written it.
    #[error("the node has another version")]
    BadVersion,
    /// The node's access list does not allow it.
    #[error("access is denied")]
    NoAuth,
    /// The node above is ephemeral and can have no children.
    #[error("the node above is ephemeral")]
    EphemeralParent,
    /// A quota of the server is used up.
    #[error("the quota is used up")]
    QuotaExceeded,
    /// The server has too much to do; it was not done.
    #[error("the server has too much to do")]
    Throttled,
    /// The server (or its version) cannot do this.
    #[error("the server cannot do this: {0}")]
    Unsupported(String),
    /// One operation of a batch failed, so none was done.
    #[error("operation {index} of the batch: {kind}")]
    InBatch {
        /// Which one, from 0.
        index: usize,
        /// Why.
        kind: Box<Self>,
    },
    /// The client is in a state that it should not be in; its runtime is thrown away. Whether the
    /// operation was done is not known.
    #[error("the client is broken: {0}")]
    Client(String),
}

impl ErrorKind {
    /// What to do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotConnected | Self::Busy | Self::Throttled | Self::Expired => Retry::Later,
            Self::Timeout(_) | Self::ConnectionLost | Self::Client(_) => Retry::Reread,
            Self::BadVersion | Self::NodeExists | Self::NoNode => Retry::Reread,
            Self::InBatch { kind, .. } => kind.retry(),
            _ => Retry::Never,
        }
    }

    /// A short name for counters.
    pub fn code(&self) -> &'static str {
        CODES[self.number()]
    }

    pub(crate) fn number(&self) -> usize {
        match self {
            Self::NotConnected => 0,
            Self::Busy => 1,
            Self::TooLarge { .. } => 2,
            Self::TooMany(_) => 3,
            Self::BadPath(_) => 4,
            Self::Timeout(_) => 5,
            Self::ConnectionLost => 6,
            Self::Expired => 7,
            Self::Stopped => 8,
            Self::NoNode => 9,
            Self::NodeExists => 10,
            Self::NotEmpty => 11,
            Self::BadVersion => 12,
            Self::NoAuth => 13,
            Self::EphemeralParent => 14,
            Self::QuotaExceeded => 15,
            Self::Throttled => 16,
            Self::Unsupported(_) => 17,
            Self::InBatch { kind, .. } => kind.number(),
            Self::Client(_) => 18,
        }
    }

    /// Whether the runtime of the client must be thrown away because of it.
    pub(crate) fn is_poison(&self) -> bool {
        matches!(self, Self::Client(_))
    }
}

/// The names of errors in counters, by their number.
pub(crate) const CODES: [&str; 19] = [
    "not_connected",
    "busy",
    "too_large",
    "too_many",
    "bad_path",
    "timeout",
    "connection_lost",
    "expired",
    "stopped",
    "no_node",
    "node_exists",
    "not_empty",
    "bad_version",
    "no_auth",
    "ephemeral_parent",
    "quota_exceeded",
    "throttled",
    "unsupported",
    "client",
];

impl From<zookeeper_client::Error> for ErrorKind {
    fn from(error: zookeeper_client::Error) -> Self {
        use zookeeper_client::Error as Theirs;
        match error {
            Theirs::NoNode => Self::NoNode,
            Theirs::NodeExists => Self::NodeExists,
            Theirs::NotEmpty => Self::NotEmpty,
            Theirs::BadVersion => Self::BadVersion,
            Theirs::NoAuth => Self::NoAuth,
            Theirs::NoChildrenForEphemerals => Self::EphemeralParent,
            Theirs::QuotaExceeded => Self::QuotaExceeded,
            Theirs::Throttled => Self::Throttled,
            // What was on its way when the connection broke gets the socket's own error.
            Theirs::ConnectionLoss | Theirs::Custom(_) => Self::ConnectionLost,
            Theirs::SessionExpired => Self::Expired,
            Theirs::Unimplemented
            | Theirs::InvalidAcl
            | Theirs::NotReadOnly
            | Theirs::ReconfigDisabled
            | Theirs::MarshallingError
            | Theirs::BadArguments(_)
            | Theirs::UnexpectedErrorCode(_) => Self::Unsupported(error.to_string()),
            other => Self::Client(other.to_string()),
        }
    }
}

impl From<zookeeper_client::MultiWriteError> for ErrorKind {
    fn from(error: zookeeper_client::MultiWriteError) -> Self {
        use zookeeper_client::MultiWriteError as Theirs;
        match error {
            Theirs::RequestFailed { source } => source.into(),
            Theirs::OperationFailed { index, source } => Self::InBatch {
                index,
                kind: Box::new(source.into()),
            },
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "do not try again",
            Self::Later => "try again later",
            Self::Reread => "read the node, then decide",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_code_and_advice() {
        let client = ErrorKind::Client(String::new());
        assert_eq!(client.number() + 1, CODES.len());
        assert_eq!(client.code(), "client");
        assert_eq!(ErrorKind::Stopped.code(), "stopped");
        assert_eq!(ErrorKind::Unsupported(String::new()).code(), "unsupported");
        let inner = ErrorKind::InBatch {
            index: 3,
            kind: Box::new(ErrorKind::BadVersion),
        };
        assert_eq!(
            (inner.code(), inner.retry()),
            ("bad_version", Retry::Reread)
        );
        assert_eq!(ErrorKind::NotConnected.retry(), Retry::Later);
        assert_eq!(ErrorKind::NoAuth.retry(), Retry::Never);
        let error = Error {
            verb: "write",
            path: "/a".into(),
            kind: inner,
        };
        let text = "write /a: operation 3 of the batch: the node has another version";
        assert_eq!(error.to_string(), text);
    }
}
