//! Listeners for connections.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_plugin::{PluginError, StartContext};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::socket::{self, SocketFile, tune};
use super::{BindError, SocketOptions, holder_of_wildcard, resource_name};
use crate::{Address, Stream, Transport};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A component's claim on a listening socket.
///
/// The socket is shared by the generations of one component: the next generation claims it while
/// it is being prepared, and both may accept until the earlier one ends. A connection that the
/// earlier one has accepted can be handed on with `park`. The socket closes when the
/// last claim is dropped.
pub struct Listening {
    bound: Arc<Bound>,
    tls: Option<TlsAcceptor>,
    options: SocketOptions,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("socket", &self.bound.socket)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Bound {
    socket: Socket,
    claims: AtomicUsize,
    parked: Mutex<Vec<Box<dyn Any + Send>>>,
    arrived: Notify,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The connection; plain also where TLS is to be spoken, see [`Listening::handshake`].
    pub stream: Stream,
    /// Who connected, for messages and tags; `unix` for a unix socket.
    pub peer: String,
}

/// Listens for connections on `address`, or inherits the socket of the component's earlier
/// generation. Connections are to speak TLS if `tls` is given.
///
/// # Errors
/// If another component or program has the address (then it is named, where it can be), or the
/// system refuses.
pub async fn listen(
    cx: &StartContext,
    address: &Address,
    tls: Option<Arc<ServerConfig>>,
    options: SocketOptions,
) -> Result<Listening, PluginError> {
    let bound = match address.transport() {
        Transport::Tcp => listen_tcp(cx, address, &options).await,
        Transport::Unix => listen_unix(cx, address, &options),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    };
    let bound = bound.map_err(|error| error.at(address))?;
    bound.claims.fetch_add(1, Ordering::AcqRel);
    Ok(Listening {
        bound,
        tls: tls.map(TlsAcceptor::from),
        options,
    })
}

async fn listen_tcp(
    cx: &StartContext,
    address: &Address,
    options: &SocketOptions,
) -> Result<Arc<Bound>, BindError> {
    let mut last = BindError::Io(io::ErrorKind::AddrNotAvailable.into());
    for at in address.to_listen().await? {
        let name = resource_name("tcp", at, cx.id());
        let made = cx.resources().take::<Bound, BindError>(cx.id(), &name, || {
            let socket = socket::tcp(at, address.only_v6(), options)?;
            Ok(Bound::new(Socket::Tcp(TcpListener::from_std(
                socket.into(),
            )?)))
        });
        match made {
            Ok(bound) => return Ok(bound),
            Err(BindError::Io(error)) if error.kind() == io::ErrorKind::AddrInUse => {
                let taken = holder_of_wildcard(cx.resources(), cx.id(), "tcp", at.port());
                return Err(taken.map_or(BindError::Io(error), BindError::Taken));
            }
            Err(taken @ BindError::Taken(_)) => return Err(taken),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_unix(
    cx: &StartContext,
    address: &Address,
    options: &SocketOptions,
) -> Result<Arc<Bound>, BindError> {
    let Some(path) = address.path() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    };
    let name = format!("unix:{}", path.display());
    let bound = cx
        .resources()
        .take::<Bound, BindError>(cx.id(), &name, || {
            let (socket, file) = socket::unix(path, socket2::Type::STREAM, options)?;
            Ok(Bound::new(Socket::Unix(
                UnixListener::from_std(socket.into())?,
                file,
            )))
        })?;
    if let Socket::Unix(_, file) = &bound.socket {
        file.set_mode(options)?;
    }
    Ok(bound)
}

impl Bound {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            claims: AtomicUsize::new(0),
            parked: Mutex::default(),
            arrived: Notify::new(),
        }
    }
}

impl Listening {
    /// Waits for a connection.
    ///
    /// # Errors
    /// If the system has no room for another one (too many open files): try again later.
    ///
    /// # Cancel safety
    /// Cancel safe: giving up the wait loses no connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.bound.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                tune(&stream, &self.options);
                Ok(Accepted {
                    stream: Stream::Tcp(stream),
                    peer: peer.to_string(),
                })
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted {
                    stream: Stream::Unix(stream),
                    peer: "unix".to_owned(),
                })
            }
        }
    }

    /// Whether connections are to speak TLS.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A function that speaks TLS with an accepted connection where the listener is told to, for
    /// use in the connection's own task. It takes at most ten seconds.
    pub fn handshake(
        &self,
    ) -> impl Fn(Stream) -> futures_util::future::BoxFuture<'static, io::Result<Stream>> + Clone + use<>
    {
        let tls = self.tls.clone();
        move |stream| {
            let tls = tls.clone();
            Box::pin(async move {
                match (tls, stream) {
                    (Some(tls), Stream::Tcp(stream)) => {
                        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
                        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "TLS handshake");
                        let stream = shaken.await.map_err(late)??;
                        Ok(Stream::Tls(Box::new(stream.into())))
                    }
                    (_, stream) => Ok(stream),
                }
            })
        }
    }

    /// Where the socket listens, with the port that the system chose: `127.0.0.1:8094`; empty for
    /// a unix socket.
    pub fn local_address(&self) -> String {
        match &self.bound.socket {
            Socket::Tcp(listener) => listener
                .local_addr()
                .map(|at| at.to_string())
                .unwrap_or_default(),
            Socket::Unix(..) => String::new(),
        }
    }

    /// A handle with which connections can be handed on to the next generation.
    pub fn parking(&self) -> Parking {
        Parking {
            bound: Arc::clone(&self.bound),
        }
    }

    /// Waits for connections that an earlier generation has handed on, and takes them.
    ///
    /// # Cancel safety
    /// Cancel safe: what is not taken waits for the next call.
    pub async fn inherited(&self) -> Vec<Box<dyn Any + Send>> {
        loop {
            let arrived = self.bound.arrived.notified();
            let parked = std::mem::take(&mut *self.bound.parked.lock());
            if !parked.is_empty() {
                return parked;
            }
            arrived.await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.bound.claims.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where connections are left for the next generation of a component.
#[derive(Clone, Debug)]
pub struct Parking {
    bound: Arc<Bound>,
}

impl Parking {
    /// Whether there is a next generation, or an earlier one, that shares the socket.
    pub fn is_shared(&self) -> bool {
        self.bound.claims.load(Ordering::Acquire) > 1
    }

    /// Leaves a connection with what belongs to it for the next generation. If there is none, it
    /// is dropped with the socket.
    pub fn leave(&self, connection: Box<dyn Any + Send>) {
        self.bound.parked.lock().push(connection);
        self.bound.arrived.notify_one();
    }
}
