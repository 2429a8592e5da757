//! The checking itself: what it counts of its own work, and whether our own side works.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use muster_tasks::Histogram;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::clock::Moment;

/// What a set of checks counts of its own work since its start.
#[derive(Debug, Default)]
pub struct Health {
    /// Checks that were begun.
    pub checks: AtomicU64,
    /// Ticks that passed while a check ran, or while the machine was busy.
    pub overruns: AtomicU64,
    /// Checks that panicked.
    pub panics: AtomicU64,
    /// How often an instance's check noticed that our own loop had stood still.
    pub tilts: AtomicU64,
    /// Checks that failed for a fault on our own side.
    pub local_faults: AtomicU64,
    /// Says whether our own side works.
    pub self_test: SelfTest,
    lateness: Mutex<Histogram>,
}

impl Health {
    /// Counts a check, and by how much it was late.
    pub(crate) fn began(&self, late: Duration) {
        self.checks.fetch_add(1, Relaxed);
        self.lateness.lock().record(late);
    }

    /// By how much checks began after they were due, since it was asked for last. A copy of 2.7 KB.
    pub fn take_lateness(&self) -> Histogram {
        std::mem::take(&mut *self.lateness.lock())
    }
}

/// How long a self-test may take.
const SELF_TEST_TIME: Duration = Duration::from_millis(250);
/// A result counts for so long.
const SELF_TEST_AGE: Duration = Duration::from_secs(1);

/// Whether our own side can open connections at all: a pair of sockets, and a connection to ourselves
/// over the loopback interface.
#[derive(Debug, Default)]
pub struct SelfTest {
    /// When it ran last, and how it went. Held while it runs: many ask at once.
    last: tokio::sync::Mutex<Option<(Duration, bool)>>,
}

impl SelfTest {
    /// Runs the test, unless the last result is younger than a second. Takes at most 250 ms.
    pub async fn passes(&self, now: Moment) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, passed)) = *last
            && now.steady.saturating_sub(at) < SELF_TEST_AGE
        {
            return passed;
        }
        let passed = matches!(
            timeout(SELF_TEST_TIME, connect_to_ourselves()).await,
            Ok(Ok(()))
        );
        *last = Some((now.steady, passed));
        passed
    }
}

#[cfg(test)]
impl SelfTest {
    /// Fails until then.
    pub(crate) async fn fails_until(&self, steady: Duration) {
        *self.last.lock().await = Some((steady, false));
    }
}

async fn connect_to_ourselves() -> io::Result<()> {
    let _pair = UnixStream::pair()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    connected?;
    accepted?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use muster_tasks::Group;

    use super::*;
    use crate::clock::Clock;

    #[muster_tasks::test]
    async fn our_own_side_works(_group: Group) {
        let test = SelfTest::default();
        assert!(test.passes(Clock::default().now()).await);
    }
}
