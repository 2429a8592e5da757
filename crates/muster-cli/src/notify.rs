//! What a service manager such as systemd is told: that the process is ready, that it works, that
//! it ends. Where there is none, nobody is told and nothing is lost.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use muster_sentinel::Board;
use muster_tasks::{Closed, Group};
use tokio::time::{MissedTickBehavior, interval};

/// A manager that does not read must not hold us up.
const SEND_WITHIN: Duration = Duration::from_secs(1);

/// So many instances are named of those whose checks stand still.
const MOST_NAMED: usize = 3;

/// Tells the service manager.
#[derive(Clone, Debug)]
pub(crate) struct Notifier(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Silence for so long means that the process is stuck.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Whom the environment names: `NOTIFY_SOCKET`, a path or `@` and an abstract name;
    /// `WATCHDOG_USEC`, and `WATCHDOG_PID` if it is not for us.
    pub(crate) fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Self(None);
        };
        let watchdog = watchdog(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
        );
        Self::to(&name, watchdog).unwrap_or_else(|error| {
            tracing::warn!(%error, NOTIFY_SOCKET = name, "cannot tell the service manager how we are");
            Self(None)
        })
    }

    fn to(name: &str, watchdog: Option<Duration>) -> std::io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_WITHIN))?;
        Ok(Self(Some(Arc::new(Manager {
            socket,
            address,
            watchdog,
        }))))
    }

    /// The process does its work from now on. Its watchdog is fed by a task of this group, for as
    /// long as the checks on the board get on.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    pub(crate) fn ready(&self, group: &Group, board: Arc<Board>) -> Result<(), Closed> {
        let Some(manager) = &self.0 else {
            return Ok(());
        };
        manager.tell("READY=1");
        if let Some(watchdog) = manager.watchdog {
            group.go("watchdog", feed(Arc::clone(manager), watchdog / 2, board))?;
        }
        Ok(())
    }

    /// The process ends.
    pub(crate) fn stopping(&self) {
        if let Some(manager) = &self.0 {
            manager.tell("STOPPING=1");
        }
    }
}

impl Manager {
    fn tell(&self, what: &str) {
        if let Err(error) = self.socket.send_to_addr(what.as_bytes(), &self.address) {
            tracing::warn!(%error, what, "cannot tell the service manager how we are");
        }
    }
}

/// Feeds the watchdog at this interval while all checks get on. That this task runs shows that the
/// runtime does.
async fn feed(manager: Arc<Manager>, every: Duration, board: Arc<Board>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let still = board.standing_still();
        let Some((first, others)) = still.split_first() else {
            manager.tell("WATCHDOG=1");
            continue;
        };
        let mut names = first.to_string();
        for id in others.iter().take(MOST_NAMED - 1) {
            names.push_str(&format!(", {id}"));
        }
        let count = still.len();
        tracing::error!(count, names, "checks stand still: the watchdog is not fed");
        manager.tell(&format!("STATUS={count} checks stand still: {names}"));
    }
}

/// How long we may be silent, if that is watched at all.
fn watchdog(microseconds: Option<&str>, process: Option<&str>) -> Option<Duration> {
    let ours = process.is_none_or(|process| process == std::process::id().to_string());
    let time = microseconds?.parse().ok().filter(|time| *time > 0 && ours);
    time.map(Duration::from_micros)
}

#[cfg(test)]
mod tests;
