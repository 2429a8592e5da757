//! What a goroutine waits for, told by the words and the frames that Go shows.

use super::WaitClass::{self, *};

/// The class that a wait reason says; for `semacquire`, by which Go up to 1.19 means all locks,
/// the frames decide.
pub(crate) fn by_reason<'a>(reason: &str, frames: impl IntoIterator<Item = &'a str>) -> WaitClass {
    match reason {
        "chan send" => Send,
        "chan receive" => Receive,
        "chan send (nil chan)" | "chan receive (nil chan)" => NilChannel,
        "select" => Select,
        "select (no cases)" => EmptySelect,
        "sync.Mutex.Lock" => Mutex,
        "sync.RWMutex.Lock" | "sync.RWMutex.RLock" => RwMutex,
        "sync.WaitGroup.Wait" => WaitGroup,
        "sync.Cond.Wait" => Cond,
        "semacquire" | "semarelease" => match by_visible_frames(frames) {
            Unknown => Semaphore,
            class => class,
        },
        "sleep" => Sleep,
        "IO wait" => IoWait,
        "syscall" | "waiting for cgo callback" => Syscall,
        "runnable" => Runnable,
        "running" | "preempted" => Running,
        "idle"
        | "dead"
        | "copystack"
        | "finalizer wait"
        | "cleanup wait"
        | "force gc (idle)"
        | "GOMAXPROCS updater (idle)"
        | "trace reader (blocked)"
        | "wait for GC cycle"
        | "dumping heap"
        | "garbage collection"
        | "panicwait"
        | "debug call"
        | "stopping the world"
        | "flushing proc caches"
        | "trace goroutine status"
        | "trace proc status"
        | "page trace flush"
        | "coroutine"
        | "timer goroutine (idle)" => Runtime,
        _ if reason.starts_with("GC ") || reason.starts_with("synctest.") => Runtime,
        _ => Unknown,
    }
}

/// The class that all frames of a stack tell, those of the runtime included, leaf first.
pub(crate) fn by_all_frames(names: &[&str]) -> WaitClass {
    let mut parked = false;
    for name in names {
        let Some(private) = name.strip_prefix("runtime.") else {
            // Only the runtime's own frames are above the ones that say `sync` or `syscall`.
            return match by_visible_frames(names.iter().copied()) {
                Unknown if !parked => Running,
                Unknown if semaphore(name) => Semaphore,
                class => class,
            };
        };
        match private {
            "chansend" | "chansend1" => return Send,
            "chanrecv" | "chanrecv1" | "chanrecv2" => return Receive,
            "selectgo" => return Select,
            "block" => return EmptySelect,
            "netpollblock" => return IoWait,
            "notetsleepg" | "cgocall" | "cgocallbackg" | "cgocallbackg1" => return Syscall,
            "gopark" | "goparkunlock" | "semacquire1" | "semacquire" | "semacquireRWMutexR"
            | "semacquireRWMutex" => parked = true,
            // What the runtime parks for its own ends, if nothing of the program's is above.
            "goexit" | "main" => {}
            _ if parked => return Runtime,
            _ => {}
        }
    }
    if parked { Runtime } else { Running }
}

/// The class that the frames tell which Go does not hide, leaf first: locks, sleep, I/O.
pub(crate) fn by_visible_frames<'a>(names: impl IntoIterator<Item = &'a str>) -> WaitClass {
    for name in names {
        match name {
            "time.Sleep" => return Sleep,
            "internal/poll.runtime_pollWait" => return IoWait,
            "sync.runtime_notifyListWait" => return Cond,
            "sync.runtime_SemacquireWaitGroup" => return WaitGroup,
            "sync.runtime_SemacquireRWMutex" | "sync.runtime_SemacquireRWMutexR" => return RwMutex,
            _ if name.starts_with("syscall.")
                || name.starts_with("internal/runtime/syscall")
                || name.starts_with("runtime/internal/syscall") =>
            {
                return Syscall;
            }
            _ if semaphore(name) || super::names::is_hidden(name) => {}
            _ if name.starts_with("sync.(*Mutex).")
                || name.starts_with("internal/sync.(*Mutex).")
                || name.starts_with("internal/poll.(*fdMutex).") =>
            {
                return Mutex;
            }
            _ if name.starts_with("sync.(*RWMutex).") => return RwMutex,
            _ if name.starts_with("sync.(*WaitGroup).") => return WaitGroup,
            _ if name.starts_with("sync.(*Cond).") => return Cond,
            _ => return Unknown,
        }
    }
    Unknown
}

/// The names under which packages call the runtime's semaphores.
fn semaphore(name: &str) -> bool {
    name.starts_with("sync.runtime_Semacquire")
        || name.starts_with("internal/sync.runtime_Semacquire")
        || name == "internal/poll.runtime_Semacquire"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_classes() {
        let check = |reason, frames: &[&str], want| {
            assert_eq!(by_reason(reason, frames.iter().copied()), want, "{reason}");
        };
        check("chan send", &[], Send);
        check("chan receive (nil chan)", &[], NilChannel);
        check("GC worker (idle)", &[], Runtime);
        check("no such reason", &["sync.(*Mutex).Lock"], Unknown);
        check("semacquire", &["main.f"], Semaphore);
        check(
            "semacquire",
            &[
                "sync.runtime_SemacquireMutex",
                "sync.(*RWMutex).RLock",
                "main.f",
            ],
            RwMutex,
        );
        check(
            "semacquire",
            &["sync.runtime_Semacquire", "sync.(*WaitGroup).Wait"],
            WaitGroup,
        );
    }

    #[test]
    fn frames_have_classes() {
        let check = |names: &[&str], want| {
            assert_eq!(by_all_frames(names), want, "{names:?}");
        };
        check(
            &[
                "runtime.gopark",
                "runtime.chansend",
                "runtime.chansend1",
                "main.f",
            ],
            Send,
        );
        check(
            &[
                "runtime.gopark",
                "runtime.chanrecv",
                "runtime.chanrecv2",
                "main.f",
            ],
            Receive,
        );
        check(&["runtime.gopark", "runtime.selectgo", "main.f"], Select);
        check(&["runtime.gopark", "runtime.block", "main.f"], EmptySelect);
        check(&["runtime.gopark", "time.Sleep", "main.f"], Sleep);
        check(&["runtime.gopark", "main.f"], Unknown);
        check(&["main.f", "sync.(*Mutex).Lock"], Running);
        check(&["runtime.memmove", "main.f"], Running);
        check(&["runtime.notetsleepg", "os/signal.signal_recv"], Syscall);
        check(&["syscall.Syscall6", "os.(*File).Read"], Syscall);
        check(
            &["runtime.gopark", "runtime.bgsweep", "runtime.goexit"],
            Runtime,
        );
        check(
            &[
                "runtime.gopark",
                "internal/poll.runtime_Semacquire",
                "main.f",
            ],
            Semaphore,
        );
        check(&[], Running);
    }
}
