//! A child that runs, and the task that keeps it.

use std::fmt;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use muster_tasks::{Ctx, Group};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::sync::watch::{self, Receiver};

use crate::{Command, RunError};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(Option<ExitStatus>);

impl Exit {
    /// Whether it ended by itself and said that all was well.
    pub fn is_success(self) -> bool {
        self.0.is_some_and(|status| status.success())
    }

    /// Its exit code, if it ended by itself.
    pub fn code(self) -> Option<i32> {
        self.0?.code()
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<i32> {
        self.0?.signal()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (_, Some(signal)) => write!(f, "killed by signal {signal}"),
            _ => f.write_str("ended in an unknown way"),
        }
    }
}

/// A child that runs. Dropping this ends the child and all of its process group.
#[derive(Debug)]
pub struct Child {
    /// What goes into it; `None` once taken. Dropping it is the end of the child's input.
    pub stdin: Option<ChildStdin>,
    /// What comes out of it.
    pub stdout: Option<ChildStdout>,
    /// Its complaints.
    pub stderr: Option<ChildStderr>,
    pid: Pid,
    handle: Option<OwnedFd>,
    exit: Receiver<Option<Exit>>,
    /// Dropped to ask the keeper to end the child.
    hold: Option<oneshot::Sender<()>>,
}

impl Command {
    /// Starts the command as a child that a task of `group` keeps.
    ///
    /// # Errors
    /// If it cannot be started, or the group has ended.
    pub fn spawn(&self, group: &Group) -> Result<Child, RunError> {
        let failed = |source| RunError::Start {
            command: self.line(),
            source,
        };
        let mut child = self.prepare().spawn().map_err(failed)?;
        // A fresh child has an ID that fits.
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))?;
        let processes = Processes(Some(pid));
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Two handles of the same process: one to wait, one to signal.
        let waiter = pidfd_open(pid, PidfdFlags::NONBLOCK).ok();
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok();
        let (hold, released) = oneshot::channel();
        let (ended, exit) = watch::channel(None);
        let keeper = Keeper {
            child,
            processes,
            waiter,
            grace: self.time_to_end(),
        };
        let name = format!("child {}", self.program());
        let kept = group.go_cx(name, move |cx| async move {
            let _ = ended.send(Some(keeper.keep(cx, released).await));
        });
        // A refused task was dropped, and the keeper with it: the child is being killed.
        kept.map_err(|refused| RunError::Refused(refused.to_string()))?;
        Ok(Child {
            stdin,
            stdout,
            stderr,
            pid,
            handle,
            exit,
            hold: Some(hold),
        })
    }
}

impl Child {
    /// The process ID.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal to the child itself.
    ///
    /// # Errors
    /// If it has ended or the signal is not to be had.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.handle {
            Some(handle) => Ok(pidfd_send_signal(handle, signal)?),
            None if self.exit.borrow().is_none() => Ok(kill_process(self.pid, signal)?),
            None => Err(Errno::SRCH.into()),
        }
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits until it has ended and is reaped.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&mut self) -> Exit {
        wait(&mut self.exit).await
    }

    /// Something to wait for its end with, apart from the child itself.
    pub fn exited(&self) -> Exited {
        Exited(self.exit.clone())
    }

    /// Asks it to end, has it killed if it does not, and waits until it is reaped.
    pub async fn stop(mut self) -> Exit {
        self.stdin = None;
        self.hold = None;
        self.wait().await
    }
}

/// Waits for the end of a child.
#[derive(Clone, Debug)]
pub struct Exited(Receiver<Option<Exit>>);

impl Exited {
    /// Waits until the child has ended and is reaped.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&mut self) -> Exit {
        wait(&mut self.0).await
    }
}

async fn wait(exit: &mut Receiver<Option<Exit>>) -> Exit {
    match exit.wait_for(Option::is_some).await {
        Ok(exit) => exit.unwrap_or(Exit(None)),
        // The keeper was dropped by force, and killed the child as it went.
        Err(_) => Exit(None),
    }
}

/// All processes of a child's group; killed when this is dropped before they were dealt with.
struct Processes(Option<Pid>);

impl Processes {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // They may all have ended: that is what is wanted.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

struct Keeper {
    // Before the child: the processes are killed while the leader still holds the group's ID.
    processes: Processes,
    child: tokio::process::Child,
    waiter: Option<OwnedFd>,
    grace: Duration,
}

impl Keeper {
    async fn keep(mut self, cx: Ctx, released: oneshot::Receiver<()>) -> Exit {
        let waiter = self.waiter.take().and_then(readable);
        let asked = tokio::select! {
            exit = ended(waiter.as_ref(), &mut self.child) => Err(exit),
            _ = released => Ok(()),
            _ = cx.cancelled() => Ok(()),
        };
        let mut exit = asked.err().flatten();
        if asked.is_ok() {
            self.processes.signal(Signal::TERM);
            let ended = ended(waiter.as_ref(), &mut self.child);
            if let Ok(ended) = tokio::time::timeout(self.grace, ended).await {
                exit = ended;
            }
        }
        // The rest of the group, and the leader itself if it is still there. As long as the leader
        // is not reaped, the group's ID cannot mean anybody else.
        self.processes.signal(Signal::KILL);
        if exit.is_none() {
            exit = self.child.wait().await.ok();
        }
        self.processes.0 = None;
        Exit(exit)
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that may close early; ours does not"
)]
fn readable(handle: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(handle, Interest::READABLE).ok()
}

/// Resolves when the leader has ended: without reaping it where the system can tell so, otherwise
/// with its status.
async fn ended(
    waiter: Option<&AsyncFd<OwnedFd>>,
    child: &mut tokio::process::Child,
) -> Option<ExitStatus> {
    match waiter {
        Some(waiter) => match waiter.readable().await {
            Ok(_) => None,
            Err(_) => pending().await,
        },
        None => child.wait().await.ok(),
    }
}
