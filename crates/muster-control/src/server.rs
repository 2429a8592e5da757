//! The sockets of the API, and the connections on them as tasks.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use muster_config::ControlSettings;
use muster_tasks::Group;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tower::ServiceExt;

use crate::access::Peer;

/// So many connections are open at a time; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 256;

/// A client gets so long to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The file name of the unix socket in the state directory.
pub const SOCKET_NAME: &str = "api.sock";

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address other than loopback, without TLS.
    #[error(
        "listen on {0}: it is not a loopback address, and the API has no TLS; set `insecure = true` in [control] to do it anyway"
    )]
    NotLoopback(String),
    /// The address means nothing.
    #[error("listen on {0:?}: expected host:port, for example 127.0.0.1:8679")]
    BadAddress(String),
    /// It cannot be bound.
    #[error("listen on {address} (option `address` in [control]): {source}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// The bound sockets of the API.
#[derive(Debug)]
pub struct Sockets {
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
    unix_path: Option<PathBuf>,
    /// Why the default address is not used although nothing forbids it.
    pub notice: Option<String>,
}

impl Sockets {
    /// Binds what the settings say. If the default address (that nobody chose) is taken, only the
    /// unix socket is used, and `notice` says so.
    ///
    /// # Errors
    /// If an address is refused or cannot be bound.
    pub async fn bind(settings: &ControlSettings, directory: &Path) -> Result<Self, ListenError> {
        let mut sockets = Self {
            tcp: None,
            unix: None,
            unix_path: None,
            notice: None,
        };
        if settings.unix_socket {
            let path = settings
                .unix_socket_path
                .as_ref()
                .map_or_else(|| directory.join(SOCKET_NAME), PathBuf::from);
            sockets.unix = Some(bind_unix(&path).map_err(|source| ListenError::Bind {
                address: path.display().to_string(),
                source,
            })?);
            sockets.unix_path = Some(path);
        }
        if !settings.address.is_empty() {
            let address = resolve(&settings.address).await?;
            if !address.ip().is_loopback() && !settings.insecure {
                return Err(ListenError::NotLoopback(settings.address.clone()));
            }
            match TcpListener::bind(address).await {
                Ok(listener) => sockets.tcp = Some(listener),
                Err(error)
                    if settings.address == ControlSettings::default().address
                        && sockets.unix.is_some() =>
                {
                    let address = &settings.address;
                    sockets.notice = Some(format!(
                        "the API is on its unix socket only: {address} cannot be used ({error})"
                    ));
                }
                Err(source) => {
                    return Err(ListenError::Bind {
                        address: settings.address.clone(),
                        source,
                    });
                }
            }
        }
        Ok(sockets)
    }

    /// The TCP address, if there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// The unix socket's path, if there is one.
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix_path.as_deref()
    }

    /// Serves the API on all sockets, in tasks of `group`.
    pub fn serve(self, group: &Group, router: Router) {
        // Each socket has its own: clients on TCP must not keep the owner out.
        let slots = || Arc::new(tokio::sync::Semaphore::new(MOST_CONNECTIONS));
        if let Some(tcp) = self.tcp {
            let (connections, router, slots) = (group.clone(), router.clone(), slots());
            go(group, "accept-tcp", async move {
                loop {
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                        return;
                    };
                    match tcp.accept().await {
                        Ok((stream, peer)) => {
                            connection(&connections, stream, Peer::Tcp(peer), &router, slot);
                        }
                        Err(error) => pause_after(&error).await,
                    }
                }
            });
        }
        if let Some(unix) = self.unix {
            let (connections, slots) = (group.clone(), slots());
            let path = self.unix_path.clone();
            go(group, "accept-unix", async move {
                let _removed_at_the_end = path.map(RemoveAtEnd);
                loop {
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                        return;
                    };
                    match unix.accept().await {
                        Ok((stream, _)) => {
                            connection(&connections, stream, Peer::Unix, &router, slot);
                        }
                        Err(error) => pause_after(&error).await,
                    }
                }
            });
        }
    }
}

struct RemoveAtEnd(PathBuf);

impl Drop for RemoveAtEnd {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn go(group: &Group, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    if let Err(closed) = group.go(name, work) {
        tracing::debug!("{closed}");
    }
}

/// An accept fails when files run out: trying again at once would only burn the processor.
async fn pause_after(error: &io::Error) {
    tracing::warn!("the API cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn connection<S>(
    group: &Group,
    stream: S,
    peer: Peer,
    router: &Router,
    slot: tokio::sync::OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = router
        .clone()
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.map(axum::body::Body::new)
        });
    go(group, "connection", async move {
        let _slot = slot;
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = served.await {
            tracing::debug!("a connection to the API ended: {error}");
        }
    });
}

async fn resolve(address: &str) -> Result<SocketAddr, ListenError> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let bad = || ListenError::BadAddress(address.to_owned());
    let mut found = tokio::net::lookup_host(address).await.map_err(|_| bad())?;
    found.next().ok_or_else(bad)
}

/// Binds the unix socket with mode 0600. A socket that an agent left behind when it was killed is
/// replaced; the lock on the state directory guarantees that no other agent uses it.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens on it",
            ));
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What is answered to a path that there is not.
pub(crate) async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "there is no such path; see /api/v1/openapi.json\n",
    )
}
