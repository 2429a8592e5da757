//! What goroutines wait for.

use std::fmt;

/// The kind of thing that a goroutine waits for, or that it does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitClass {
    /// Sends on a channel.
    Send,
    /// Receives from a channel, `range` over one included.
    Receive,
    /// Sends on or receives from a channel that is nil: never ends. The [reason] says which.
    /// Only dumps can tell it; elsewhere it is [`Send`](Self::Send) or [`Receive`](Self::Receive).
    ///
    /// [reason]: super::Group::reason
    NilChannel,
    /// A `select` with cases.
    Select,
    /// A `select {}`: never ends.
    EmptySelect,
    /// A `sync.Mutex`.
    Mutex,
    /// A `sync.RWMutex`, to read or to write.
    RwMutex,
    /// A `sync.WaitGroup`.
    WaitGroup,
    /// A `sync.Cond`.
    Cond,
    /// A semaphore of the runtime, of which it cannot be said what it stands for.
    Semaphore,
    /// The network, or another file that the runtime polls.
    IoWait,
    /// `time.Sleep`.
    Sleep,
    /// A system call or a C function.
    Syscall,
    /// Could run, but has no processor yet. Only dumps can tell it from running.
    Runnable,
    /// Runs. In a binary profile also: could run.
    Running,
    /// Something of the runtime's own: garbage collection, a finalizer, tracing, `synctest`.
    Runtime,
    /// Not known: `debug=1` hides what tells it, or the words are new.
    Unknown,
}

impl WaitClass {
    /// Whether only another goroutine can end the wait: the classes in which leaks are.
    pub fn is_blocked_on_goroutine(self) -> bool {
        matches!(
            self,
            Self::Send
                | Self::Receive
                | Self::NilChannel
                | Self::Select
                | Self::EmptySelect
                | Self::Mutex
                | Self::RwMutex
                | Self::WaitGroup
                | Self::Cond
                | Self::Semaphore
        )
    }

    /// Whether nothing can ever end the wait.
    pub fn never_ends(self) -> bool {
        matches!(self, Self::NilChannel | Self::EmptySelect)
    }

    /// A lower-case phrase for people; stable, so also for machine output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "channel send",
            Self::Receive => "channel receive",
            Self::NilChannel => "nil channel",
            Self::Select => "select",
            Self::EmptySelect => "empty select",
            Self::Mutex => "mutex",
            Self::RwMutex => "rwmutex",
            Self::WaitGroup => "wait group",
            Self::Cond => "condition variable",
            Self::Semaphore => "semaphore",
            Self::IoWait => "I/O wait",
            Self::Sleep => "sleep",
            Self::Syscall => "system call",
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Runtime => "runtime",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for WaitClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
