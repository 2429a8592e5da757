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
use crate::status::{Class, Outcome, Reason, Target};

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
    /// after another; the fault is on our side only if it is so with all of them. The connection is
    /// held by the future, then by the stream.
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
        let mut failed = Outcome::new(Reason::Dns, "no address");
        for address in addresses.iter() {
            let error = match TcpStream::connect(SocketAddr::new(*address, port)).await {
                Ok(stream) => return self.secure(stream, host, phase).await,
                Err(error) => classify::io_error(&error),
            };
            // That we cannot reach one address takes back nothing of what another has answered.
            if failed.reason.class() == Class::Local || error.reason.class() != Class::Local {
                failed = error;
            }
        }
        Err(failed)
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use muster_tasks::Group;

    use super::*;

    #[muster_tasks::test]
    async fn the_fault_is_ours_only_if_it_is_with_every_address(group: Group) {
        let refusing = IpAddr::from([127, 0, 0, 1]);
        // No connection can be opened to many at once: the system says that there is no way there.
        let unreachable = IpAddr::from([224, 0, 0, 1]);
        let check = async |addresses: &[IpAddr], want: Reason| {
            let found = addresses.to_vec();
            let lookup = Box::new(move |_: &str| Ok(found.clone()));
            let resolver = Resolver::with_lookup(&group, lookup);
            let dialer = Dialer::new(resolver, &TlsClientOptions::default()).unwrap();
            let target = Target::Tcp {
                host: "both".to_owned(),
                port: 1,
            };
            let failed = dialer.dial(&target, &mut Phase::default()).await;
            assert_eq!(failed.unwrap_err().reason, want, "{addresses:?}");
        };
        check(&[refusing, unreachable], Reason::Refused).await;
        check(&[unreachable, refusing], Reason::Refused).await;
        check(&[unreachable, unreachable], Reason::Local).await;
        check(&[], Reason::Dns).await;
    }
}
