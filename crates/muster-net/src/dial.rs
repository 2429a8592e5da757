//! Connecting to others.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::PluginError;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio_rustls::TlsConnector;

use crate::listener::tune;
use crate::{Address, SocketOptions, Stream, TlsClientOptions, Transport};

/// What connects to one address.
#[derive(Clone)]
pub struct Connector {
    address: Address,
    options: SocketOptions,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An open way to send datagrams.
#[derive(Debug)]
pub enum Sender {
    /// Over UDP.
    Udp(UdpSocket),
    /// Over a unix socket.
    Unix(UnixDatagram),
}

impl Connector {
    /// Prepares to connect to `address`, with TLS if the options want it. Reads certificates.
    ///
    /// # Errors
    /// If a certificate is wrong.
    pub fn new(
        address: Address,
        tls: &TlsClientOptions,
        keep_alive: Option<Duration>,
    ) -> Result<Self, PluginError> {
        let options = SocketOptions {
            keep_alive,
            ..SocketOptions::default()
        };
        let tls = if tls.is_wanted() && address.transport() == Transport::Tcp {
            let failed = |why: String| PluginError::new("set up TLS").because(why);
            let name = match tls
                .server_name()
                .map_err(|error| failed(error.to_string()))?
            {
                Some(name) => name,
                None => ServerName::try_from(address.host().to_owned())
                    .map_err(|error| failed(error.to_string()))?,
            };
            Some((TlsConnector::from(Arc::new(tls.config()?)), name))
        } else {
            None
        };
        Ok(Self {
            address,
            options,
            tls,
        })
    }

    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connects a stream. The connection is held by the future, then by the stream.
    ///
    /// # Errors
    /// If nobody answers there, or TLS cannot be agreed upon.
    pub async fn stream(&self) -> io::Result<Stream> {
        if let Some(path) = self.address.path() {
            return Ok(Stream::Unix(UnixStream::connect(path).await?));
        }
        let tcp = TcpStream::connect(self.address.to_connect().await?.as_slice()).await?;
        tune(&tcp, &self.options);
        match &self.tls {
            None => Ok(Stream::Tcp(tcp)),
            Some((tls, name)) => Ok(Stream::Tls(Box::new(
                tls.connect(name.clone(), tcp).await?.into(),
            ))),
        }
    }

    /// Opens a way to send datagrams.
    ///
    /// # Errors
    /// If the host has no address, or nobody listens on the unix socket.
    pub async fn sender(&self) -> io::Result<Sender> {
        if let Some(path) = self.address.path() {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            return Ok(Sender::Unix(socket));
        }
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for at in self.address.to_connect().await? {
            let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            match socket.connect(at).await {
                Ok(()) => return Ok(Sender::Udp(socket)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Sender {
    /// Sends one datagram.
    ///
    /// # Errors
    /// If it is too long, or an earlier one was refused.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = match self {
            Self::Udp(socket) => socket.send(bytes).await?,
            Self::Unix(socket) => socket.send(bytes).await?,
        };
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    /// If the system says so.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(buffer).await,
            Self::Unix(socket) => socket.recv(buffer).await,
        }
    }
}
