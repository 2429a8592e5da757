//! What is known of an instance, in words that programs and people read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_metric::Timestamp;

use crate::words::words;

words! {
    /// What is being checked.
    pub enum CheckKind {
        /// A Redis server, by its own protocol.
        Redis = "redis",
        /// Whether a connection can be opened.
        Tcp = "tcp",
        /// Whether an HTTP service answers.
        Http = "http",
        /// Whether a command succeeds.
        Exec = "exec",
    }
}

words! {
    /// Where an instance stands.
    pub enum State {
        /// Nothing is known, or nothing any more.
        Unknown = "unknown",
        /// It works.
        Up = "up",
        /// It was up or degraded; the last checks failed, too few yet for a verdict.
        Suspect = "suspect",
        /// It lives, but does not serve as it should.
        Degraded = "degraded",
        /// It was down or degraded; the last checks went well, too few yet for a verdict.
        Rising = "rising",
        /// It does not answer.
        Down = "down",
        /// It goes down and up so often that its verdict is not worth acting on.
        Flapping = "flapping",
    }
}

impl State {
    /// The state as a number, for graphs: 0 unknown, 1 up, 2 suspect, 3 degraded, 4 rising, 5 down,
    /// 6 flapping.
    pub const fn code(self) -> i64 {
        self as i64
    }
}

words! {
    /// What was concluded last from enough checks; it changes more slowly than the state.
    pub enum Verdict {
        /// Nothing is known.
        Unknown = "unknown",
        /// It works.
        Up = "up",
        /// It lives, but does not serve as it should.
        Degraded = "degraded",
        /// It does not answer.
        Down = "down",
    }
}

words! {
    /// Why the state is what it is.
    pub enum Reason {
        /// All is well.
        Ok = "ok",
        /// There was no check yet.
        Pending = "pending",
        /// Nobody listens there.
        Refused = "refused",
        /// No connection came about in time.
        Timeout = "timeout",
        /// The connection stands, and no answer comes in time.
        Hung = "hung",
        /// The connection was broken off.
        Reset = "reset",
        /// The connection was closed before the answer.
        Closed = "closed",
        /// The host cannot be reached.
        Unreachable = "unreachable",
        /// What came is not the protocol that was expected.
        Protocol = "protocol",
        /// The service answered with a failure (a command's exit code, an HTTP status).
        Failed = "failed",
        /// A script keeps Redis busy.
        Busy = "busy",
        /// Name or password are wrong or missing, or may not do what the check does.
        Auth = "auth",
        /// Redis takes no more clients.
        Maxclients = "maxclients",
        /// Redis cannot save its data and refuses writes.
        Persist = "persist",
        /// A replica has lost its master.
        Masterdown = "masterdown",
        /// Redis loads its data.
        Loading = "loading",
        /// Redis refuses clients from elsewhere (protected mode).
        Protected = "protected",
        /// TLS could not be agreed upon.
        Tls = "tls",
        /// Redis answered with an error that is none of these.
        Error = "error",
        /// Our own side lacks what the check needs (open files, memory, ports, a route).
        Local = "local",
        /// The host's name could not be resolved.
        Dns = "dns",
        /// The check panicked.
        Panic = "panic",
        /// The checking program itself stood still.
        Tilt = "tilt",
        /// The checking program has stopped: nobody looks any more.
        Stopped = "sentinel_stopped",
        /// A reason that this version does not know.
        Other = "other",
    }
}

/// What a check's result says of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It works.
    Ok,
    /// It lives, but does not serve as it should.
    Degraded,
    /// It does not answer.
    Fail,
    /// Nothing: the fault is on our side.
    Local,
}

impl Reason {
    /// What a result with this reason says of the instance.
    pub const fn class(self) -> Class {
        match self {
            Self::Ok => Class::Ok,
            Self::Refused
            | Self::Timeout
            | Self::Hung
            | Self::Reset
            | Self::Closed
            | Self::Unreachable
            | Self::Protocol
            | Self::Failed => Class::Fail,
            Self::Busy
            | Self::Auth
            | Self::Maxclients
            | Self::Persist
            | Self::Masterdown
            | Self::Loading
            | Self::Protected
            | Self::Tls
            | Self::Error => Class::Degraded,
            Self::Pending
            | Self::Local
            | Self::Dns
            | Self::Panic
            | Self::Tilt
            | Self::Stopped
            | Self::Other => Class::Local,
        }
    }
}

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A port of a host.
    Tcp {
        /// The host's name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Socket(PathBuf),
    /// A URL, or the name of a command.
    Named(String),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// One thing that is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// What it is.
    pub kind: CheckKind,
    /// The group of instances that it belongs to; may be empty.
    pub cluster: String,
    /// Where it is.
    pub target: Target,
}

impl Instance {
    /// The instance's ID: kind and place (`redis:127.0.0.1:6379`). The cluster is not part of it,
    /// so that an instance that is named in two clusters is still checked once.
    pub fn id(&self) -> Arc<str> {
        format!("{}:{}", self.kind, self.target).into()
    }
}

/// What the instance says of itself. Empty where it was not asked or has not answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `master` or `slave`, in Redis' own words.
    pub role: String,
    /// Changes with every start of the server.
    pub run_id: String,
    /// The server's version.
    pub redis_version: String,
}

/// How a replica stands to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// Whether the link to the master is up.
    pub link: bool,
    /// How long nothing has come over the link, or how long it has been down.
    pub lag: Option<Duration>,
    /// How far the replica has got, in bytes of the replication stream.
    pub offset: Option<u64>,
}

/// How far a server has got with loading its data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loading {
    /// How long it will take yet, as the server guesses.
    pub eta: Option<Duration>,
    /// The part that is loaded, in percent.
    pub percent: Option<f64>,
}

/// All that is known of an instance at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// What was concluded last.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The reason in the words of the server or the system, at most 200 bytes.
    pub detail: Option<Arc<str>>,
    /// Since when the verdict (or flapping) holds.
    pub since: Timestamp,
    /// When the last check ended; `None` before the first.
    pub checked: Option<Timestamp>,
    /// Counts the checks.
    pub seq: u64,
    /// How long the answer took, if one came.
    pub rtt: Option<Duration>,
    /// So many checks in a row went well.
    pub oks: u32,
    /// So many checks in a row failed.
    pub fails: u32,
    /// How often it went down or came back within the last hour.
    pub flaps: u32,
    /// What it says of itself.
    pub facts: Arc<Facts>,
    /// How it stands to its master, if it is a replica and was asked.
    pub replication: Option<Replication>,
    /// How far it has got with loading, if it loads.
    pub loading: Option<Loading>,
    /// How often it is checked.
    pub interval: Duration,
    /// Whether the checking program stood still lately: the verdict is frozen meanwhile.
    pub tilt: bool,
}

impl Status {
    /// What is known before the first check.
    pub fn pending(at: Timestamp, interval: Duration) -> Self {
        Self {
            state: State::Unknown,
            verdict: Verdict::Unknown,
            reason: Reason::Pending,
            detail: None,
            since: at,
            checked: None,
            seq: 0,
            rtt: None,
            oks: 0,
            fails: 0,
            flaps: 0,
            facts: Arc::default(),
            replication: None,
            loading: None,
            interval,
            tilt: false,
        }
    }

    /// Nobody looks any more.
    pub(crate) fn end(&mut self, at: Timestamp) {
        (self.state, self.verdict) = (State::Unknown, Verdict::Unknown);
        (self.reason, self.detail) = (Reason::Stopped, None);
        self.since = at;
    }

    /// For how long a reader may take the status as current: three intervals, at least 3 s.
    pub fn ttl(&self) -> Duration {
        patience(self.interval)
    }

    /// Whether it is up as far as is known: the verdict is up, suspect or not.
    pub fn is_up(&self) -> bool {
        self.verdict == Verdict::Up && self.state != State::Flapping
    }

    /// Whether `other` says something else that must be told at once: not the numbers that change
    /// with every check.
    pub fn differs(&self, other: &Self) -> bool {
        let key = |s: &Self| (s.state, s.verdict, s.reason, s.tilt);
        let link = |s: &Self| s.replication.map(|replication| replication.link);
        key(self) != key(other) || self.facts != other.facts || link(self) != link(other)
    }
}

/// A check at this interval stands still if nothing has come of it for so long.
pub(crate) fn patience(interval: Duration) -> Duration {
    (interval * 3).max(Duration::from_secs(3))
}

/// A change of state or reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// The state before.
    pub from: State,
    /// The state since then.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// The reason in the words of the server or the system.
    pub detail: Option<Arc<str>>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why it is as it is; says also what that means ([`Reason::class`]).
    pub reason: Reason,
    /// The reason in the words of the server or the system.
    pub detail: Option<Arc<str>>,
}

/// The most bytes of a detail.
const MOST_DETAIL: usize = 200;

impl Outcome {
    /// It works.
    pub const OK: Self = Self {
        reason: Reason::Ok,
        detail: None,
    };

    /// An outcome with its reason in the words of the server or the system. Longer ones are cut at
    /// 200 bytes.
    pub fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref().trim();
        let mut end = detail.len().min(MOST_DETAIL);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            reason,
            detail: (end > 0).then(|| detail[..end].into()),
        }
    }
}

/// All that one check brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What it found.
    pub outcome: Outcome,
    /// How long the answer took, if one came.
    pub rtt: Option<Duration>,
    /// What the instance says of itself, if it was asked and has answered.
    pub facts: Option<Facts>,
    /// How it stands to its master, if it is a replica and was asked.
    pub replication: Option<Replication>,
    /// How far it has got with loading, if it loads and was asked.
    pub loading: Option<Loading>,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            rtt: None,
            facts: None,
            replication: None,
            loading: None,
        }
    }
}
