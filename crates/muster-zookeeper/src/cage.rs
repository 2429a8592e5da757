//! One connection, with a thread and a runtime of its own that are thrown away with it.
//!
//! The client is used for one connection at a time: it would find its way back by itself, but its
//! pauses grow without a bound, it forgets its persistent watches, and it cannot be told which server to
//! try. So each connection takes the session up with a new client, and whatever the old one has left
//! behind is gone with its runtime.

mod serve;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use muster_tasks::{BlockingCtx, catch_panic_sync, timeout};
use tokio::sync::{mpsc, oneshot};
use zookeeper_client::{Client, Connector, Error as ClientError, SessionInfo};

use self::serve::serve;
use crate::ErrorKind;
use crate::shared::{Job, Shared};
use crate::tunnel::Tunnel;

/// How long the end of a runtime may take.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// How long the servers have to end the session when it is closed.
const CLOSE: Duration = Duration::from_secs(1);

/// What one cage has to do.
pub(crate) struct Plan {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: u64,
    /// The servers, in the order in which to try them.
    pub(crate) servers: Vec<Place>,
    /// How long each of them has for its answer.
    pub(crate) attempt: Duration,
    /// The session to take up.
    pub(crate) session: Option<SessionInfo>,
    /// Moves on while the thread does.
    pub(crate) beat: Arc<AtomicU64>,
}

/// Where a server is.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// As what it was given: its name, or its address.
    pub(crate) host: String,
}

/// A client that is connected, and what carries its bytes where that is not the system alone.
type Connected = (Client, LocalBoxFuture<'static, Infallible>);

/// What a cage is told.
pub(crate) struct Orders {
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// To close the session; the sender is dropped when nobody wants the cage any more.
    pub(crate) close: oneshot::Receiver<()>,
}

/// How a cage has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No server took us.
    Unreachable(String),
    /// The connection was lost.
    Disconnected,
    /// The servers do not know the session.
    Expired,
    /// The servers refused the login.
    AuthFailed,
    /// The client is broken.
    Poisoned(String),
    /// It panicked.
    Panicked(String),
    /// The session was closed on request. `false` if no server has said so.
    Closed(bool),
    /// Nobody wanted the cage any more.
    Abandoned,
}

/// How a cage has ended, and which servers did not do their part.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) ended: Ended,
    pub(crate) failed: Vec<SocketAddr>,
}

impl From<Ended> for Report {
    fn from(ended: Ended) -> Self {
        Self {
            ended,
            failed: Vec::new(),
        }
    }
}

/// The life of a cage, on its own thread.
pub(crate) fn run(plan: &Plan, orders: Orders, cx: &BlockingCtx) -> Report {
    cx.at("serving a connection");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Unreachable(error.to_string()).into(),
    };
    let report = catch_panic_sync(|| runtime.block_on(drive(plan, orders)));
    // So that nobody is told of a connection that is gone while the runtime is.
    plan.shared.leave(plan.generation);
    cx.at("throwing the runtime away");
    runtime.shutdown_timeout(RUNTIME_END);
    report.unwrap_or_else(|panic| Ended::Panicked(panic.to_string()).into())
}

async fn drive(plan: &Plan, mut orders: Orders) -> Report {
    #[cfg(feature = "testing")]
    plan.shared.faults.connecting();
    let mut failed = Vec::new();
    let connected = tokio::select! {
        biased;
        closed = &mut orders.close => Err(leave_early(closed.is_ok())),
        connected = connect(plan, &mut failed) => connected,
    };
    let ((client, carrier), server) = match connected {
        Ok(connected) => connected,
        Err(ended) => return Report { ended, failed },
    };
    let served = async {
        match prepare(plan, &client).await {
            Ok(()) if !plan.shared.connected(plan.generation, &client, server) => Ended::Abandoned,
            Ok(()) => serve(plan, orders, client).await,
            Err(ended) => ended,
        }
    };
    let ended = tokio::select! {
        ended = served => ended,
        never = carrier => match never {},
    };
    if matches!(ended, Ended::Disconnected | Ended::Poisoned(_)) {
        failed.push(server);
    }
    Report { ended, failed }
}

/// There was no connection on which a session could be closed.
fn leave_early(on_request: bool) -> Ended {
    if on_request {
        Ended::Closed(false)
    } else {
        Ended::Abandoned
    }
}

/// Tries each server once.
async fn connect(
    plan: &Plan,
    failed: &mut Vec<SocketAddr>,
) -> Result<(Connected, SocketAddr), Ended> {
    let options = &plan.shared.options;
    let mut why = String::from("there is no address");
    for place in &plan.servers {
        let server = place.address;
        plan.beat.fetch_add(1, Ordering::Relaxed);
        // One server and no second round: when to try which is decided here.
        let mut connector = Client::connector()
            .with_session_timeout(options.session())
            .with_fail_eagerly();
        if let Some(login) = &options.login {
            let pair = format!("{}:{}", login.user, login.password.expose());
            connector = connector.with_auth("digest", pair.as_bytes());
        }
        if let Some(session) = &plan.session {
            connector = connector.with_session(session.clone());
        }
        match timeout(plan.attempt, connect_to(plan, place, connector)).await {
            Ok(Ok(connected)) => return Ok((connected, server)),
            Ok(Err(Refused::Client(ClientError::SessionExpired))) => return Err(Ended::Expired),
            Ok(Err(Refused::Client(ClientError::AuthFailed))) => return Err(Ended::AuthFailed),
            Ok(Err(error)) => why = format!("{server}: {error}"),
            Err(_) => why = format!("{server}: it says nothing for {:?}", plan.attempt),
        }
        tracing::debug!(%why, "a ZooKeeper server does not take us");
        failed.push(server);
    }
    Err(Ended::Unreachable(why))
}

/// Why a server did not take us.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("TLS: {0}")]
    Tls(#[from] std::io::Error),
}

/// Connects to one server.
async fn connect_to(plan: &Plan, place: &Place, by: Connector) -> Result<Connected, Refused> {
    let Some(tls) = &plan.shared.options.tls else {
        let client = by.connect(&place.address.to_string()).await?;
        return Ok((client, Box::pin(std::future::pending())));
    };
    let tunnel = Tunnel::open(tls, place.address, &place.host).await?;
    let entrance = tunnel.entrance.to_string();
    let mut carrier: LocalBoxFuture<'static, Infallible> = Box::pin(async move {
        if let Err(error) = tunnel.carry().await {
            tracing::debug!(%error, "a TLS connection to ZooKeeper has ended");
        }
        // The client notices it by itself.
        std::future::pending().await
    });
    let client = tokio::select! {
        connected = by.connect(&entrance) => connected?,
        never = &mut carrier => match never {},
    };
    Ok((client, carrier))
}

/// Sees to it that what is read is not older than what was read before, and that the root is there.
async fn prepare(plan: &Plan, client: &Client) -> Result<(), Ended> {
    let root = plan.shared.options.servers.root();
    let acl = plan.shared.acl();
    let work = async {
        client.sync("/").await?;
        if root != "/" && client.check_stat(root).await?.is_none() {
            let directory = zookeeper_client::CreateMode::Persistent.with_acls(acl);
            client.mkdir(root, &directory).await?;
        }
        Ok::<_, ClientError>(())
    };
    plan.beat.fetch_add(1, Ordering::Relaxed);
    match timeout(plan.shared.options.session() / 2, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => match ErrorKind::from(error) {
            ErrorKind::Expired => Err(Ended::Expired),
            ErrorKind::ConnectionLost => Err(Ended::Disconnected),
            ErrorKind::Client(why) => Err(Ended::Poisoned(why)),
            // The operations will say the same to those who can do something about it.
            other => {
                tracing::warn!(root, error = %other, "cannot make the root in ZooKeeper");
                Ok(())
            }
        },
        Err(late) => Err(Ended::Poisoned(format!("the first request {late}"))),
    }
}
