//! Opening connections for checks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use muster_net::{Stream, TlsClientOptions};
use muster_plugin::PluginError;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Phase;
use crate::classify;
use crate::resolve::Resolver;
use crate::status::{Outcome, Reason, Target};

/// What opens connections, for many instances.
#[derive(Clone)]
pub struct Dialer {
    resolver: Resolver,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    /// The name that certificates must have, in place of the host's.
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// Reads certificates, if the options want TLS.
    ///
    /// # Errors
    /// If a certificate is wrong.
    pub fn new(resolver: Resolver, tls: &TlsClientOptions) -> Result<Self, PluginError> {
        let tls = if tls.is_wanted() {
            let name = tls.server_name();
            Some(Tls {
                name: name.map_err(|e| PluginError::new("set up TLS").because(e.to_string()))?,
                connector: TlsConnector::from(Arc::new(tls.config()?)),
            })
        } else {
            None
        };
        Ok(Self { resolver, tls })
    }

    /// Opens a connection; `phase` says how far it has got. The addresses of a host are tried one
    /// after another. The connection is held by the future, then by the stream.
    pub(super) async fn dial(&self, target: &Target, phase: &mut Phase) -> Result<Stream, Outcome> {
        let (host, port) = match target {
            Target::Tcp { host, port } => (host.as_str(), *port),
            Target::Socket(path) => {
                *phase = Phase::Connecting;
                let stream = UnixStream::connect(path).await;
                return stream.map(Stream::Unix).map_err(|e| classify::io_error(&e));
            }
            Target::Named(name) => return Err(Outcome::new(Reason::Local, name)),
        };
        *phase = Phase::Resolving;
        let host = if host.is_empty() { "localhost" } else { host };
        let found = self.resolver.resolve(host).await;
        let addresses = found.map_err(|e| Outcome::new(Reason::Dns, e.to_string()))?;
        *phase = Phase::Connecting;
        let mut last = Outcome::new(Reason::Dns, "no address");
        for address in addresses.iter() {
            match TcpStream::connect(SocketAddr::new(*address, port)).await {
                Ok(stream) => return self.secure(stream, host, phase).await,
                Err(error) => last = classify::io_error(&error),
            }
        }
        Err(last)
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        host: &str,
        phase: &mut Phase,
    ) -> Result<Stream, Outcome> {
        *phase = Phase::Waiting;
        // Without it a request may wait for the acknowledgement of the one before.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return Ok(Stream::Tcp(tcp));
        };
        let name = match &tls.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|e| Outcome::new(Reason::Tls, e.to_string()))?,
        };
        let secured = tls.connector.connect(name, tcp).await;
        let stream = secured.map_err(|error: io::Error| classify::io_error(&error))?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}
