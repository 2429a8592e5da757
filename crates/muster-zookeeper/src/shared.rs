//! What the session's handles, its keeper and the cage of the client have in common.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use zookeeper_client::{Acl, Acls, Client, Permission, SessionInfo};

use crate::options::{Access, Options};
use crate::state::{Connection, Lost, State};
use crate::stats::{Counters, count};
use crate::watch::Registry;
use crate::{ErrorKind, SessionId};

/// How much may be on its way at once: operations, of which one counts once more for each 4 KiB. So it is at most
/// so many operations and 16 MiB.
pub(crate) const PLACES: u32 = 4096;
const BYTES_PER_PLACE: usize = 4096;

/// Operations that the cage has not looked at yet.
const WAITING: usize = 64;

/// One operation: starts with the client and gives what went wrong, for the cage to judge.
pub(crate) type Job =
    Box<dyn FnOnce(Client) -> LocalBoxFuture<'static, Result<(), ErrorKind>> + Send>;

/// What the parts of a session have in common.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) state: watch::Sender<State>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) watches: Arc<Registry>,
    pub(crate) counters: Arc<Counters>,
    link: Mutex<Link>,
    #[cfg(feature = "testing")]
    pub(crate) faults: crate::fault::Armed,
}

/// The present cage, as the handles reach it.
#[derive(Default)]
struct Link {
    /// Cages are numbered; what an earlier one says is ignored.
    generation: u64,
    jobs: Option<mpsc::Sender<Job>>,
    /// The session to take up again.
    session: Option<SessionInfo>,
    sessions: u64,
    connections: u64,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            options,
            state: watch::channel(State::Connecting).0,
            places: Arc::new(Semaphore::new(PLACES as usize)),
            watches: Arc::default(),
            counters: Arc::default(),
            link: Mutex::default(),
            #[cfg(feature = "testing")]
            faults: crate::fault::Armed::default(),
        })
    }

    /// Begins a new cage: its number, and where its jobs come from.
    pub(crate) fn attach(&self) -> (u64, mpsc::Receiver<Job>) {
        let (jobs, to_do) = mpsc::channel(WAITING);
        let mut link = self.link.lock();
        link.generation += 1;
        link.jobs = Some(jobs);
        (link.generation, to_do)
    }

    /// Ends the present cage as far as anybody can see. What it says from now on is ignored.
    pub(crate) fn detach(&self) {
        let mut link = self.link.lock();
        link.generation += 1;
        link.jobs = None;
    }

    /// A cage has a connection. `false` if it is not the present one any more.
    pub(crate) fn connected(&self, generation: u64, client: &Client, server: SocketAddr) -> bool {
        let mut link = self.link.lock();
        if link.generation != generation {
            return false;
        }
        let session = SessionId(client.session_id().0);
        let is_same = |old: &SessionInfo| old.id().0 == session.0;
        if !link.session.as_ref().is_some_and(is_same) {
            link.sessions += 1;
            count(&self.counters.sessions);
        }
        link.session = Some(client.session().clone());
        link.connections += 1;
        count(&self.counters.connections);
        let connection = Connection {
            session,
            sessions: link.sessions,
            connections: link.connections,
            server,
            timeout: client.session_timeout(),
            since: Instant::now(),
        };
        // Under the lock, so that a later detach comes later in the state, too.
        self.state.send_replace(State::Connected(connection));
        true
    }

    /// A cage has no connection any more. Nothing if it is not the present one.
    pub(crate) fn leave(&self, generation: u64) {
        let link = self.link.lock();
        if link.generation == generation {
            self.suspend();
        }
    }

    /// The connection is gone, the session perhaps not.
    pub(crate) fn suspend(&self) {
        self.state.send_if_modified(|state| {
            let State::Connected(connection) = *state else {
                return false;
            };
            let since = Instant::now();
            // The client notices silence after two fifths of the session's time.
            let until = since + connection.timeout * 3 / 5;
            *state = State::Suspended {
                connection,
                since,
                until,
            };
            true
        });
    }

    /// The time of a session that was suspended until then is up, unless it is connected again. The servers may
    /// know it still, so it is taken up nevertheless.
    pub(crate) fn time_up(&self, suspended_until: Instant) {
        self.state.send_if_modified(|state| {
            let is_up =
                matches!(*state, State::Suspended { until, .. } if until == suspended_until);
            if is_up {
                let (why, since) = (Lost::TimeUp, Instant::now());
                *state = State::Lost { why, since };
            }
            is_up
        });
    }

    /// The session is gone, and what is bound to it.
    pub(crate) fn lose(&self, why: Lost) {
        self.link.lock().session = None;
        self.state.send_if_modified(|state| match state {
            State::Connecting if why != Lost::AuthFailed => false,
            State::Lost { why: same, .. } if *same == why => false,
            State::Stopped => false,
            _ => {
                let since = Instant::now();
                *state = State::Lost { why, since };
                true
            }
        });
    }

    pub(crate) fn session(&self) -> Option<SessionInfo> {
        self.link.lock().session.clone()
    }

    /// Where operations go now.
    pub(crate) fn jobs(&self) -> Result<mpsc::Sender<Job>, ErrorKind> {
        match &*self.state.borrow() {
            State::Connected(_) => {}
            State::Stopped => return Err(ErrorKind::Stopped),
            _ => return Err(ErrorKind::NotConnected),
        }
        self.link.lock().jobs.clone().ok_or(ErrorKind::NotConnected)
    }

    /// The access list of nodes that we create.
    pub(crate) fn acl(&self) -> Acls<'static> {
        static SHOWN: [Acl; 2] = [
            Acl::new_const(Permission::ALL, "auth", ""),
            Acl::new_const(Permission::READ, "world", "anyone"),
        ];
        match (self.options.access, &self.options.login) {
            (Access::Open, _) | (Access::ByLogin, None) => Acls::anyone_all(),
            (Access::ByLogin, Some(_)) => Acls::new(&SHOWN),
            (Access::Private, _) => Acls::creator_all(),
        }
    }
}

/// How many places an operation takes.
pub(crate) fn places_of(bytes: usize) -> u32 {
    let more = u32::try_from(bytes / BYTES_PER_PLACE).unwrap_or(PLACES);
    (1 + more).min(PLACES)
}

/// Makes a job of an operation: it is not begun if nobody waits for it any more, and its place is
/// free when the client has answered.
pub(crate) fn job<T, F>(
    place: tokio::sync::OwnedSemaphorePermit,
    reply: tokio::sync::oneshot::Sender<Result<T, ErrorKind>>,
    work: impl FnOnce(Client) -> F + Send + 'static,
) -> Job
where
    T: Send + 'static,
    F: Future<Output = Result<T, ErrorKind>> + 'static,
{
    Box::new(move |client| {
        Box::pin(async move {
            let _place = place;
            if reply.is_closed() {
                return Ok(());
            }
            let result = work(client).await;
            let verdict = result.as_ref().map(|_| ()).map_err(Clone::clone);
            // Nobody may wait any more: the deadline has passed.
            let _ = reply.send(result);
            verdict
        })
    })
}
