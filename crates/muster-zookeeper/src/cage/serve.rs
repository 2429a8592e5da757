//! What goes on while there is a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use muster_tasks::timeout;
use tokio::time::{MissedTickBehavior, interval, sleep};
use zookeeper_client::{AddWatchMode, Client, EventType, SessionState, StateWatcher};

use super::{CLOSE, Ended, Orders, Plan};
use crate::ErrorKind;
use crate::shared::Shared;
use crate::watch::Subscription;

/// Work that goes on while there is a connection; what went wrong is for the cage to judge.
type Work = FuturesUnordered<LocalBoxFuture<'static, Result<(), ErrorKind>>>;

/// Serves operations and watches until the connection ends, or there is a sign that the client is
/// broken.
pub(super) async fn serve(plan: &Plan, mut orders: Orders, whole: Client) -> Ended {
    let root = plan.shared.options.servers.root();
    let Ok(client) = whole.clone().chroot(root.to_owned()) else {
        return Ended::Poisoned(format!("the client does not take the root {root}"));
    };
    let mut state = whole.state_watcher();
    // A change between the connection and the watcher would not be told.
    if whole.state() != SessionState::SyncConnected {
        return ended_by(whole.state());
    }
    let mut vital = Vital::new(whole.session_timeout());
    let (mut jobs, mut watches) = (Work::new(), Work::new());
    let mut placed: Vec<Arc<Subscription>> = Vec::new();
    place(&plan.shared, &client, &mut placed, &mut watches);
    let mut tick = interval(vital.timeout.min(plan.shared.options.session()) / 10);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let on_request = loop {
        tokio::select! {
            biased;
            closed = &mut orders.close => break closed.is_ok(),
            changed = state.changed() => return ended_by(changed),
            Some(result) = jobs.next(), if !jobs.is_empty() => {
                match result {
                    Err(kind) if kind.is_poison() => return Ended::Poisoned(kind.to_string()),
                    Err(ErrorKind::Expired) => return Ended::Expired,
                    Err(ErrorKind::ConnectionLost) => return Ended::Disconnected,
                    // Also a refusal is an answer.
                    Ok(()) | Err(_) => vital.answered(),
                }
            }
            Some(result) = watches.next(), if !watches.is_empty() => {
                if let Err(kind) = result && kind.is_poison() {
                    return Ended::Poisoned(kind.to_string());
                }
            }
            () = plan.shared.watches.added.notified() => {
                place(&plan.shared, &client, &mut placed, &mut watches);
            }
            job = orders.jobs.recv() => match job {
                Some(job) => jobs.push(job(client.clone())),
                None => break false,
            },
            _ = tick.tick() => {
                plan.beat.fetch_add(1, Ordering::Relaxed);
                if let Some(sign) = vital.sign() {
                    return Ended::Poisoned(sign);
                }
                if vital.wants_probe() {
                    jobs.push(probe(whole.clone()));
                }
                placed.retain(|one| Arc::strong_count(one) > 1);
            }
        }
    };
    if !on_request {
        return Ended::Abandoned;
    }
    // The client closes the session when nobody holds it any more.
    drop((jobs, watches, client, whole));
    Ended::Closed(timeout(CLOSE, closed(&mut state)).await.is_ok())
}

fn ended_by(state: SessionState) -> Ended {
    match state {
        SessionState::Expired => Ended::Expired,
        SessionState::AuthFailed => Ended::AuthFailed,
        SessionState::Closed => Ended::Poisoned("it has closed by itself".to_owned()),
        // Also when it is connected again: it has lost its watches.
        _ => Ended::Disconnected,
    }
}

async fn closed(state: &mut StateWatcher) {
    while !state.changed().await.is_terminated() {}
}

/// A small request that proves that the client is alive.
fn probe(client: Client) -> LocalBoxFuture<'static, Result<(), ErrorKind>> {
    Box::pin(async move { Ok(client.check_stat("/").await.map(drop)?) })
}

/// Whether the client is alive: it may say that it is connected although its task is gone.
struct Vital {
    timeout: Duration,
    answered: Instant,
    probed: Instant,
}

impl Vital {
    fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            timeout,
            answered: now,
            probed: now,
        }
    }

    fn answered(&mut self) {
        self.answered = Instant::now();
    }

    fn wants_probe(&mut self) -> bool {
        let third = self.timeout / 3;
        let wants = self.answered.elapsed() >= third && self.probed.elapsed() >= third;
        if wants {
            self.probed = Instant::now();
        }
        wants
    }

    fn sign(&self) -> Option<String> {
        let tasks = tokio::runtime::Handle::current().metrics();
        if tasks.num_alive_tasks() == 0 {
            return Some("its task has ended".to_owned());
        }
        let silence = self.answered.elapsed();
        (silence >= self.timeout).then(|| format!("it has answered nothing for {silence:.1?}"))
    }
}

/// Places the watches that are not placed yet.
fn place(
    shared: &Arc<Shared>,
    client: &Client,
    placed: &mut Vec<Arc<Subscription>>,
    watches: &mut Work,
) {
    for subscription in shared.watches.all() {
        if !placed.iter().any(|one| Arc::ptr_eq(one, &subscription)) {
            placed.push(Arc::clone(&subscription));
            let (shared, client) = (Arc::clone(shared), client.clone());
            watches.push(Box::pin(pump(shared, client, subscription)));
        }
    }
}

/// Carries events from the client to a watch.
async fn pump(shared: Arc<Shared>, client: Client, to: Arc<Subscription>) -> Result<(), ErrorKind> {
    let retry = client.session_timeout() / 3;
    loop {
        match client
            .watch(&to.path, AddWatchMode::PersistentRecursive)
            .await
        {
            Ok(mut watcher) => {
                to.resync();
                loop {
                    let event = tokio::select! {
                        event = watcher.changed() => event,
                        () = to.gone() => return Ok(()),
                    };
                    #[cfg(feature = "testing")]
                    shared.faults.watching();
                    // The connection has ended, and after that the watcher must not be asked again.
                    if event.event_type == EventType::Session {
                        return Ok(());
                    }
                    to.changed(event.path);
                }
            }
            Err(error) => {
                let kind = ErrorKind::from(error);
                if matches!(kind, ErrorKind::ConnectionLost | ErrorKind::Expired)
                    || kind.is_poison()
                {
                    return Err(kind);
                }
                shared.counters.failed(&kind);
                to.resync();
                tokio::select! {
                    () = sleep(retry) => {}
                    () = to.gone() => return Ok(()),
                }
            }
        }
    }
}
