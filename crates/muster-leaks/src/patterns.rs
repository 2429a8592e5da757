//! Causes that a stack gives away, and what to look at where it does not.

use crate::profile::{Stack, WaitClass};

/// A stack whose growth has one known cause.
struct Pattern {
    /// Functions that must all be on the stack.
    functions: &'static [&'static str],
    cause: &'static str,
    next: &'static str,
}

const PATTERNS: &[Pattern] = &[
    Pattern {
        functions: &["net/http.(*persistConn).readLoop"],
        cause: "an HTTP client's answers are not read to the end and closed, or each request has a Transport of its own",
        next: "where http.Get, Client.Do and the like are called: `defer response.Body.Close()`, read the body, share one Client",
    },
    Pattern {
        functions: &["net/http.(*persistConn).writeLoop"],
        cause: "an HTTP client's answers are not read to the end and closed, or each request has a Transport of its own",
        next: "where http.Get, Client.Do and the like are called: `defer response.Body.Close()`, read the body, share one Client",
    },
    Pattern {
        functions: &["context.(*cancelCtx).propagateCancel.func"],
        cause: "contexts are derived from one of a type of your own and never cancelled",
        next: "the `cancel` functions of WithCancel, WithTimeout and WithDeadline: each must be called",
    },
    Pattern {
        functions: &["os/exec.(*Cmd).watchCtx"],
        cause: "commands are started and never waited for",
        next: "where Cmd.Start is called: Cmd.Wait must follow on every path",
    },
    Pattern {
        functions: &["os/exec.(*Cmd).Start.func"],
        cause: "commands are started and never waited for",
        next: "where Cmd.Start is called: Cmd.Wait must follow on every path",
    },
    Pattern {
        functions: &["database/sql.(*DB).connectionOpener"],
        cause: "databases are opened and never closed",
        next: "where sql.Open is called: one DB for the whole process, or DB.Close",
    },
    Pattern {
        functions: &["database/sql.(*Tx).awaitDone"],
        cause: "transactions are neither committed nor rolled back",
        next: "where Begin and BeginTx are called: `defer tx.Rollback()`",
    },
    Pattern {
        functions: &["database/sql.(*Rows).awaitDone"],
        cause: "rows are neither read to the end nor closed",
        next: "where Query and QueryContext are called: `defer rows.Close()`",
    },
    Pattern {
        functions: &[
            "google.golang.org/grpc/internal/transport.(*loopyWriter).run",
            "google.golang.org/grpc/internal/transport.newHTTP2Client",
        ],
        cause: "gRPC client connections are made and never closed",
        next: "where grpc.NewClient and grpc.Dial are called: share one ClientConn, or Close it",
    },
    Pattern {
        functions: &["google.golang.org/grpc.newClientStreamWithParams.func"],
        cause: "gRPC streams are neither read to the end nor cancelled",
        next: "where the streams are opened: read until an error, or cancel the context",
    },
    Pattern {
        functions: &["golang.org/x/sync/semaphore.(*Weighted).Acquire"],
        cause: "a semaphore is acquired more often than it is released",
        next: "the paths between Acquire and Release, and who holds it now",
    },
    Pattern {
        functions: &["golang.org/x/sync/singleflight.(*Group).Do"],
        cause: "many wait for one call of a singleflight group that does not return",
        next: "the one goroutine that is inside the function given to Do",
    },
    Pattern {
        functions: &["golang.org/x/sync/errgroup.(*Group).Wait"],
        cause: "a function of an errgroup does not return",
        next: "the goroutines that errgroup.(*Group).Go started: one of them is stuck",
    },
    Pattern {
        functions: &["golang.org/x/sync/errgroup.(*Group).Go"],
        cause: "an errgroup with a limit is full: its functions do not return",
        next: "the goroutines that errgroup.(*Group).Go started",
    },
];

/// What a stack gives away: the cause and what to look at next.
pub(crate) fn cause(stack: &Stack) -> Option<(&'static str, &'static str)> {
    let on_stack = |name: &&str| stack.iter().any(|frame| frame.function.starts_with(*name));
    PATTERNS
        .iter()
        .find(|pattern| pattern.functions.iter().all(on_stack))
        .map(|pattern| (pattern.cause, pattern.next))
}

/// What a class of wait means for people.
pub(crate) fn waits_for(class: WaitClass, nil: bool) -> &'static str {
    match class {
        WaitClass::Send if nil => "a send on a nil channel, which never ends",
        WaitClass::Receive if nil => "a receive from a nil channel, which never ends",
        WaitClass::Send => "a send that nobody receives",
        WaitClass::Receive => "a receive for which nothing is sent and the channel is not closed",
        WaitClass::NilChannel => "a nil channel, which never ends",
        WaitClass::Select => "a select of which no case becomes ready",
        WaitClass::EmptySelect => "a select without cases, which never ends",
        WaitClass::Mutex => "a lock that is not released",
        WaitClass::RwMutex => "a read-write lock that is not released",
        WaitClass::WaitGroup => "a wait group whose counter does not reach zero",
        WaitClass::Cond => "a condition that nobody signals",
        WaitClass::Semaphore => "a lock or wait group that is not released",
        other => other.as_str(),
    }
}

/// What to look at where no pattern knows the cause.
pub(crate) fn look_at(class: WaitClass, nil: bool) -> &'static str {
    if nil {
        return "where the channel is declared: it is never made, or set to nil too early";
    }
    match class {
        WaitClass::Send => {
            "the receiver: does it return early, on an error or a timeout? A buffer of one per sender, or a select with ctx.Done(), frees the sender"
        }
        WaitClass::Receive => {
            "the sender: is there a path on which it neither sends nor closes the channel? `defer close(ch)` where it is made ends the receiver"
        }
        WaitClass::Select => {
            "the cases: is the context cancelled on every path, is the channel closed when its owner ends?"
        }
        WaitClass::EmptySelect => "why the goroutine is kept: nothing can ever wake it",
        WaitClass::Mutex | WaitClass::RwMutex => {
            "who holds the lock: a path that returns without Unlock, or a holder that is itself stuck (`defer mu.Unlock()`)"
        }
        WaitClass::WaitGroup => {
            "the goroutines that it counts: one did not call Done, or is itself stuck"
        }
        WaitClass::Cond => "who calls Signal or Broadcast, and whether it still runs",
        _ => "the stack below",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Frame;

    #[test]
    fn a_known_stack_gives_its_cause_away() {
        let stack = |functions: &[&str]| -> Stack {
            functions
                .iter()
                .map(|f| Frame::new(*f, "f.go", 1))
                .collect()
        };
        let (cause_of, _) = cause(&stack(&["net/http.(*persistConn).readLoop"])).unwrap();
        assert!(cause_of.contains("closed"));
        assert!(cause(&stack(&["context.(*cancelCtx).propagateCancel.func2"])).is_some());
        assert!(cause(&stack(&["main.f", "main.main"])).is_none());
        let writer = "google.golang.org/grpc/internal/transport.(*loopyWriter).run";
        assert!(cause(&stack(&[writer])).is_none());
    }
}
