//! What can go wrong with a call, and what to do about it.

use std::time::Duration;

/// A call that did not succeed. Its message completes "failed to ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {kind}")]
pub struct Error {
    /// What was to be done, with the key.
    pub(crate) what: String,
    /// Why it was not.
    pub kind: ErrorKind,
}

impl Error {
    /// What to do about it.
    pub fn retry(&self) -> Retry {
        self.kind.retry()
    }
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing was done, and the same call will fail again.
    Never,
    /// Nothing was done; the same call may succeed later.
    Later,
    /// It is not known whether it was done: read first, then decide.
    Reread,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was given is wrong (a certificate, a name); nothing was sent.
    #[error("{0}")]
    Setup(String),
    /// No server could be reached; nothing was sent.
    #[error("no server can be reached: {0}")]
    Unreachable(String),
    /// There was no answer in time. Whether it was done is not known.
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    /// The connection was lost before the answer came. Whether it was done is not known.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server has no leader, or could not agree with the others in time. Whether it was done is
    /// not known.
    #[error("the servers cannot do it now: {0}")]
    Unavailable(String),
    /// What came is no answer of etcd. Whether it was done is not known.
    #[error("the answer is not etcd's: {0}")]
    BadAnswer(String),
    /// The request is larger than etcd takes; nothing was sent.
    #[error("the request has {bytes} bytes, and etcd takes at most {limit}")]
    TooLarge {
        /// The request's bytes.
        bytes: usize,
        /// The most that is sent.
        limit: usize,
    },
    /// More operations in one transaction than [`MAX_OPS`](crate::MAX_OPS); nothing was sent.
    #[error("{0} operations in one transaction are too many")]
    TooMany(usize),
    /// The answer is larger than [`MAX_ANSWER`](crate::MAX_ANSWER). For reads: ask for less at once.
    #[error("the answer has more than {0} bytes")]
    AnswerTooLarge(usize),
    /// The lease is not there (any more).
    #[error("the lease is over")]
    LeaseNotFound,
    /// Name and password are wrong, or missing.
    #[error("the login is refused: {0}")]
    Login(String),
    /// The token is not taken any more.
    #[error("the token is refused: {0}")]
    Token(String),
    /// The user may not do this with this key.
    #[error("access is denied")]
    Denied,
    /// The revision is older than what the servers have kept.
    #[error("the revision is compacted")]
    Compacted,
    /// The servers have used up their space and take no more writes until somebody makes room.
    #[error("the servers' space is used up")]
    NoSpace,
    /// The servers have too much to do; it was not done.
    #[error("the servers have too much to do")]
    Busy,
    /// The server refused it; it was not done.
    #[error("the server refuses it: {0}")]
    Refused(String),
}

impl ErrorKind {
    /// What to do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable(_)
            | Self::NoSpace
            | Self::Busy
            | Self::LeaseNotFound
            | Self::Token(_) => Retry::Later,
            Self::Timeout(_) | Self::Lost(_) | Self::Unavailable(_) | Self::BadAnswer(_) => {
                Retry::Reread
            }
            _ => Retry::Never,
        }
    }

    /// Whether another server may do better.
    pub(crate) fn is_of_the_server(&self) -> bool {
        matches!(self, Self::Unreachable(_)) || self.retry() == Retry::Reread
    }

    /// What a gRPC status with its message means.
    pub(crate) fn of_status(code: u32, message: &str) -> Self {
        let text = message.to_owned();
        let says = |part: &str| message.contains(part);
        match code {
            _ if says("requested lease not found") => Self::LeaseNotFound,
            _ if says("has been compacted") => Self::Compacted,
            _ if says("database space exceeded") => Self::NoSpace,
            _ if says("permission denied") => Self::Denied,
            _ if says("invalid user ID or password") => Self::Login(text),
            // The last one: rights were changed since the token was given.
            _ if says("invalid auth token")
                || says("user name is empty")
                || says("revision in header is old") =>
            {
                Self::Token(text)
            }
            1 | 4 | 13 | 14 | 15 => Self::Unavailable(text),
            8 => Self::Busy,
            16 => Self::Token(text),
            _ => Self::Refused(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let check = |code: u32, message: &str, retry: Retry, part: &str| {
            let kind = ErrorKind::of_status(code, message);
            assert_eq!(kind.retry(), retry, "{message}");
            assert!(kind.to_string().contains(part), "{kind}");
        };
        let lease = "etcdserver: requested lease not found";
        check(5, lease, Retry::Later, "lease is over");
        let old = "etcdserver: mvcc: required revision has been compacted";
        check(11, old, Retry::Never, "compacted");
        let full = "etcdserver: mvcc: database space exceeded";
        check(8, full, Retry::Later, "used up");
        check(8, "etcdserver: too many requests", Retry::Later, "too much");
        check(7, "etcdserver: permission denied", Retry::Never, "denied");
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        check(3, wrong, Retry::Never, "login is refused");
        check(16, "etcdserver: invalid auth token", Retry::Later, "token");
        check(3, "etcdserver: user name is empty", Retry::Later, "token");
        check(14, "etcdserver: no leader", Retry::Reread, "no leader");
        check(
            3,
            "etcdserver: key is not provided",
            Retry::Never,
            "not provided",
        );
    }
}
