//! TLS on the way to a server, ended within this process.
//!
//! The client library's own TLS would bring a second provider of cryptography into the build, and can check a
//! certificate only against what it connects to, which is an address here. So the client speaks to a
//! socket of ours on the loopback interface, and from there on it is TLS. That socket takes one connection, of the user
//! as whom this process runs, and then listens no more.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How to speak TLS with the servers. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// TLS with this configuration. A server's certificate must have the name by which the server was
    /// given, or `name`.
    pub fn new(config: ClientConfig, name: Option<ServerName<'static>>) -> Self {
        let connector = TlsConnector::from(Arc::new(config));
        Self { connector, name }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A connection to a server, and an entrance for the client.
pub(crate) struct Tunnel {
    server: TlsStream<TcpStream>,
    listener: TcpListener,
    /// Where the client has to connect.
    pub(crate) entrance: SocketAddrV4,
}

impl Tunnel {
    /// Connects to a server that was given as `host`.
    pub(crate) async fn open(tls: &Tls, server: SocketAddr, host: &str) -> io::Result<Self> {
        let name = match &tls.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        let server = tls.connector.connect(name, tcp).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let entrance = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port());
        Ok(Self {
            server,
            listener,
            entrance,
        })
    }

    /// Takes the client in and carries what is said, until one of both sides ends.
    pub(crate) async fn carry(mut self) -> io::Result<()> {
        let mut client = loop {
            let (stream, from) = self.listener.accept().await?;
            match from {
                SocketAddr::V4(from) if is_ours(from, self.entrance)? => break stream,
                _ => tracing::warn!(%from, "another user's connection is refused"),
            }
        };
        drop(self.listener);
        client.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut self.server).await?;
        Ok(())
    }
}

/// Whether the other end of a connection within this machine is a socket of our own user.
fn is_ours(from: SocketAddrV4, to: SocketAddrV4) -> io::Result<bool> {
    let ends = (in_table(from), in_table(to));
    for line in BufReader::new(File::open("/proc/self/net/tcp")?).lines() {
        let line = line?;
        let mut words = line.split_whitespace().skip(1);
        let (local, remote) = (words.next(), words.next());
        if (local, remote) == (Some(&ends.0), Some(&ends.1)) {
            let user: Option<u32> = words.nth(4).and_then(|user| user.parse().ok());
            return Ok(user == Some(rustix::process::geteuid().as_raw()));
        }
    }
    Ok(false)
}

/// An address as the kernel's table of connections shows it.
fn in_table(address: SocketAddrV4) -> String {
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use muster_tasks::Group;

    use super::*;

    #[muster_tasks::test]
    async fn knows_whose_connection_it_is(_group: Group) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let v4 = |address| match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => unreachable!(),
        };
        let to = v4(listener.local_addr().unwrap());
        let _client = TcpStream::connect(to).await.unwrap();
        let (_server, from) = listener.accept().await.unwrap();
        assert!(is_ours(v4(from), to).unwrap());
        // The other way round it is the server's end, and nobody has the port 1.
        assert!(is_ours(to, v4(from)).unwrap());
        assert!(!is_ours(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), to).unwrap());
    }
}
