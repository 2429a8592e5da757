//! The task that keeps a session: one cage after another, until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use muster_tasks::{Ctx, Group, TaskHandle, timeout};
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use crate::cage::{self, Ended, Orders, Place, Plan, Report};
use crate::knock::{Found, knock};
use crate::options::Pauses;
use crate::resolve::Resolver;
use crate::shared::Shared;
use crate::state::{Lost, State};
use crate::stats::count;

/// How long a cage has to close its session.
const CLOSE: Duration = Duration::from_millis(1500);

/// A login that was refused is tried again no sooner.
const AUTH_PAUSE: Duration = Duration::from_secs(5);

/// The servers have so long to say whether they serve; less in a short session.
const KNOCK: Duration = Duration::from_secs(1);

/// A session with which the client has failed so often in a row is given up.
const GIVE_UP: u32 = 3;

/// A thread whose beat stands still for so many of the keeper's own is taken for dead. The
/// keeper's beats are a fifth of the session's time, and stand still with it if the whole process does.
const BEATS: u32 = 6;

/// However short the session: a thread may have to wait for a processor.
const SHORTEST_BEAT: Duration = Duration::from_millis(500);

/// Keeps one session.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    /// Where the threads live: one cage that serves and one that dies.
    pub(crate) cages: Group,
    pub(crate) resolver: Resolver,
    /// True, or closed, when the session is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Sees to it that nobody waits for a session without a keeper.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.detach();
        self.0.state.send_replace(State::Stopped);
        self.0.watches.end();
    }
}

/// What has failed in a row.
#[derive(Default)]
struct Streak {
    /// Rounds and cages without a connection that lasted.
    failures: u32,
    /// Cages that were thrown away with the session that there is.
    broken: u32,
    /// The login was refused.
    refused: bool,
}

impl Streak {
    fn pause(&self, pauses: &Pauses) -> Duration {
        let pause = pauses.after(self.failures);
        if self.refused {
            pause.max(AUTH_PAUSE)
        } else {
            pause
        }
    }
}

/// Its group was cancelled, and the session has lingered.
type Over = SharedFuture<BoxFuture<'static, ()>>;

/// Which servers a cage tries, and for how long each.
struct Way {
    addresses: Vec<SocketAddr>,
    attempt: Duration,
}

/// A cage that was told to go and has not gone.
type Dying = TaskHandle<Report>;

impl Keeper {
    /// Keeps the session until it is to end.
    pub(crate) async fn keep(mut self, cx: Ctx) {
        let _finish = Finish(Arc::clone(&self.shared));
        let over = lingered(cx, self.shared.options.linger);
        let mut streak = Streak::default();
        let mut dying: Vec<Dying> = Vec::new();
        let session = self.shared.options.session();
        let mut last = Instant::now();
        loop {
            let due = last + streak.pause(&self.shared.options.pauses);
            let mut found = Found::default();
            let ready = async {
                sleep_until(due.into()).await;
                // At most one cage that serves and one that dies.
                dying.retain(|cage| !cage.is_finished());
                while dying.len() > 1 {
                    let _ = dying.swap_remove(0).join().await;
                }
                let addresses = self.resolver.addresses().await;
                last = Instant::now();
                found = knock(&addresses, KNOCK.min(session / 6)).await;
            };
            if !unless_stopped(&over, &mut self.stop, &self.shared, ready).await {
                return;
            }
            let Some(way) = Way::to(&found, session, streak.failures) else {
                self.resolver.failed(&found.silent);
                self.judge(Ended::Unreachable(found.why), false, &mut streak);
                continue;
            };
            let begun = Instant::now();
            let connections = self.shared.counters.connections.load(Ordering::Relaxed);
            let report = self.one_cage(&over, way, &mut dying).await;
            self.shared.detach();
            self.resolver.failed(&report.failed);
            last = Instant::now();
            let served = self.shared.counters.connections.load(Ordering::Relaxed) > connections;
            if served && begun.elapsed() >= Duration::from_secs(1) {
                streak = Streak::default();
            }
            if self.judge(report.ended, served, &mut streak) {
                return;
            }
        }
    }

    /// Takes note of how a cage has ended. Returns whether the session is to end.
    fn judge(&self, ended: Ended, served: bool, streak: &mut Streak) -> bool {
        let counters = &self.shared.counters;
        tracing::debug!(?ended, served, "a ZooKeeper connection has ended");
        self.shared.suspend();
        streak.refused = false;
        match ended {
            Ended::Closed(_) => return true,
            Ended::Expired => {
                self.shared.lose(Lost::Expired);
                // A new session can be had at once.
                *streak = Streak::default();
            }
            Ended::AuthFailed => {
                counters.trouble("the login was refused".to_owned());
                self.shared.lose(Lost::AuthFailed);
                streak.failures += 1;
                streak.refused = true;
            }
            Ended::Disconnected if served && streak.failures == 0 => streak.failures = 1,
            Ended::Disconnected => streak.failures += 1,
            Ended::Unreachable(why) => {
                count(&counters.unreachable);
                counters.trouble(why);
                streak.failures += 1;
            }
            Ended::Abandoned => self.broken("its thread stands still".to_owned(), streak),
            Ended::Poisoned(why) => self.broken(why, streak),
            Ended::Panicked(why) => {
                count(&counters.panics);
                self.broken(why, streak);
            }
        }
        false
    }

    fn broken(&self, why: String, streak: &mut Streak) {
        tracing::warn!(why, "the ZooKeeper client is broken and is built anew");
        let counters = &self.shared.counters;
        count(&counters.rebuilds);
        counters.trouble(why);
        streak.failures += 1;
        streak.broken += 1;
        if streak.broken >= GIVE_UP {
            streak.broken = 0;
            self.shared.lose(Lost::GivenUp);
        }
    }

    /// Runs one cage to its end, or until it is hopeless.
    async fn one_cage(&mut self, over: &Over, way: Way, dying: &mut Vec<Dying>) -> Report {
        let (generation, jobs) = self.shared.attach();
        let (close, closing) = oneshot::channel();
        let beat = Arc::new(AtomicU64::new(0));
        let place = |address| Place {
            address,
            host: self.resolver.host_of(address),
        };
        let servers = way.addresses.into_iter().map(place).collect();
        let session_timeout = self.shared.options.session();
        let plan = Plan {
            shared: Arc::clone(&self.shared),
            generation,
            servers,
            attempt: way.attempt,
            session: self.shared.session(),
            beat: Arc::clone(&beat),
        };
        let orders = Orders {
            jobs,
            close: closing,
        };
        let name = format!("zookeeper-{generation}");
        let work = move |cx: muster_tasks::BlockingCtx| cage::run(&plan, orders, &cx);
        let mut cage = match self.cages.spawn_blocking(name, work) {
            Ok(cage) => cage,
            Err(closed) => return Ended::Unreachable(closed.to_string()).into(),
        };
        let mut pulse = Pulse::new(beat);
        let mut ticks = interval((session_timeout / 5).max(SHORTEST_BEAT));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hung = async {
            loop {
                ticks.tick().await;
                if pulse.stands_still() {
                    return;
                }
            }
        };
        let mut outcome = None;
        let done = async {
            tokio::select! {
                ended = &mut cage => outcome = Some(ended),
                () = hung => {}
            }
        };
        if !unless_stopped(over, &mut self.stop, &self.shared, done).await {
            let _ = close.send(());
            self.shared.detach();
            let _ = timeout(CLOSE, &mut cage).await;
            return Ended::Closed(cage.is_finished()).into();
        }
        match outcome {
            Some(outcome) => match outcome.into_result() {
                Ok(report) => report,
                Err(error) => Ended::Panicked(error.to_string()).into(),
            },
            None => {
                count(&self.shared.counters.hung);
                dying.push(cage);
                Ended::Abandoned.into()
            }
        }
    }
}

impl Way {
    /// Servers that serve have a sixth of the session's time each, and a third when that was in vain. If
    /// all are silent, they may not know what they were asked: one of them is tried for a second at most, every eighth
    /// time for as long as one that serves.
    fn to(found: &Found, session: Duration, failures: u32) -> Option<Self> {
        let attempt = session * (1 + failures.min(1)) / 6;
        if !found.serving.is_empty() {
            let addresses = found.serving.clone();
            return Some(Self { addresses, attempt });
        }
        let silent = *found.silent.first().filter(|_| found.others == 0)?;
        let attempt = if failures % 8 == 7 {
            attempt
        } else {
            attempt.min(KNOCK)
        };
        Some(Self {
            addresses: vec![silent],
            attempt,
        })
    }
}

/// Comes to pass when the group was cancelled and so much time has passed since.
fn lingered(cx: Ctx, linger: Duration) -> Over {
    let over = async move {
        let _ = cx.cancelled().await;
        sleep(linger).await;
    };
    over.boxed().shared()
}

/// Waits for something, unless the session is to end first. Meanwhile a suspended session is
/// taken for lost when its time is up.
async fn unless_stopped(
    over: &Over,
    stop: &mut watch::Receiver<bool>,
    shared: &Shared,
    what: impl Future<Output = ()>,
) -> bool {
    tokio::pin!(what);
    let mut state = shared.state.subscribe();
    loop {
        let until = match *state.borrow_and_update() {
            State::Suspended { until, .. } => Some(until),
            _ => None,
        };
        let time_up = async {
            match until {
                Some(until) => {
                    sleep_until(until.into()).await;
                    until
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = over.clone() => return false,
            // An error says that nobody holds the session any more.
            _ = stop.wait_for(|stop| *stop) => return false,
            () = &mut what => return true,
            // A cage has connected, or has lost its connection: another time counts, or none.
            _ = state.changed() => {}
            until = time_up => shared.time_up(until),
        }
    }
}

/// Whether a thread still moves.
struct Pulse {
    beat: Arc<AtomicU64>,
    last: u64,
    still: u32,
}

impl Pulse {
    fn new(beat: Arc<AtomicU64>) -> Self {
        Self {
            beat,
            last: 0,
            still: 0,
        }
    }

    fn stands_still(&mut self) -> bool {
        let beat = self.beat.load(Ordering::Relaxed);
        self.still = if beat == self.last { self.still + 1 } else { 0 };
        self.last = beat;
        self.still >= BEATS
    }
}

#[cfg(test)]
mod tests;
