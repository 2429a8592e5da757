//! Listeners for datagrams.

use std::io;
use std::sync::Arc;

use muster_plugin::{PluginError, StartContext};
use tokio::net::{UdpSocket, UnixDatagram};

use super::socket::{self, SocketFile};
use super::{BindError, SocketOptions, holder_of_wildcard, resource_name};
use crate::{Address, Transport};

/// A component's claim on a socket that receives datagrams, shared by the generations of one
/// component. What waits in the kernel's buffer is read by whichever generation comes first, so
/// nothing is lost when one follows the other.
#[derive(Clone, Debug)]
pub struct Datagrams {
    bound: Arc<Bound>,
}

#[derive(Debug)]
enum Bound {
    Udp(UdpSocket),
    Unix(UnixDatagram, SocketFile),
}

/// Listens for datagrams on `address`, or inherits the socket of the component's earlier
/// generation.
///
/// # Errors
/// If another component or program has the address (then it is named, where it can be), or the
/// system refuses.
pub async fn listen_datagrams(
    cx: &StartContext,
    address: &Address,
    options: &SocketOptions,
) -> Result<Datagrams, PluginError> {
    let bound = match address.transport() {
        Transport::Udp => listen_udp(cx, address, options).await,
        Transport::Unixgram => listen_unix(cx, address, options),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    };
    bound
        .map(|bound| Datagrams { bound })
        .map_err(|error| error.at(address))
}

async fn listen_udp(
    cx: &StartContext,
    address: &Address,
    options: &SocketOptions,
) -> Result<Arc<Bound>, BindError> {
    let mut last = BindError::Io(io::ErrorKind::AddrNotAvailable.into());
    for at in address.to_listen().await? {
        let name = resource_name("udp", at, cx.id());
        let made = cx.resources().take::<Bound, BindError>(cx.id(), &name, || {
            let socket = socket::udp(at, address.only_v6(), options)?;
            Ok(Bound::Udp(UdpSocket::from_std(socket.into())?))
        });
        match made {
            Ok(bound) => {
                bound.resize(options)?;
                return Ok(bound);
            }
            Err(BindError::Io(error)) if error.kind() == io::ErrorKind::AddrInUse => {
                let taken = holder_of_wildcard(cx.resources(), cx.id(), "udp", at.port());
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
    let name = format!("unixgram:{}", path.display());
    let bound = cx
        .resources()
        .take::<Bound, BindError>(cx.id(), &name, || {
            let (socket, file) = socket::unix(path, socket2::Type::DGRAM, options)?;
            Ok(Bound::Unix(UnixDatagram::from_std(socket.into())?, file))
        })?;
    bound.resize(options)?;
    Ok(bound)
}

impl Bound {
    /// Sets up an inherited socket as the new options say.
    fn resize(&self, options: &SocketOptions) -> io::Result<()> {
        let socket = match self {
            Self::Udp(socket) => socket2::SockRef::from(socket),
            Self::Unix(socket, file) => {
                file.set_mode(options)?;
                socket2::SockRef::from(socket)
            }
        };
        options
            .receive_buffer
            .map_or(Ok(()), |size| socket.set_recv_buffer_size(size))
    }
}

impl Datagrams {
    /// Waits for a datagram, writes it to `buffer` and returns its length; what does not fit is
    /// lost.
    ///
    /// # Errors
    /// If the system says so.
    ///
    /// # Cancel safety
    /// Cancel safe: giving up the wait loses no datagram.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &*self.bound {
            Bound::Udp(socket) => socket.recv(buffer).await,
            Bound::Unix(socket, _) => socket.recv(buffer).await,
        }
    }

    /// As [`receive`](Self::receive), without waiting: `None` if no datagram is there.
    ///
    /// # Errors
    /// If the system says so.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = match &*self.bound {
            Bound::Udp(socket) => socket.try_recv(buffer),
            Bound::Unix(socket, _) => socket.try_recv(buffer),
        };
        match received {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the socket listens, with the port that the system chose; empty for a unix socket.
    pub fn local_address(&self) -> String {
        match &*self.bound {
            Bound::Udp(socket) => socket
                .local_addr()
                .map(|at| at.to_string())
                .unwrap_or_default(),
            Bound::Unix(..) => String::new(),
        }
    }
}
