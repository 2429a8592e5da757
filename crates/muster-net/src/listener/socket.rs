//! Making sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::SocketOptions;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

pub(super) fn tcp(at: SocketAddr, only_v6: bool, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

pub(super) fn udp(at: SocketAddr, only_v6: bool, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    let multicast = at.ip().is_multicast();
    if multicast {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&at.into())?;
    match at {
        SocketAddr::V4(at) if multicast => {
            socket.join_multicast_v4(at.ip(), &std::net::Ipv4Addr::UNSPECIFIED)?;
        }
        SocketAddr::V6(at) if multicast => socket.join_multicast_v6(at.ip(), at.scope_id())?,
        _ => {}
    }
    Ok(socket)
}

/// A unix socket and its file, which goes with it.
pub(super) fn unix(
    path: &Path,
    kind: Type,
    options: &SocketOptions,
) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path, kind)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    file.set_mode(options)?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok((socket, file))
}

/// Removes a socket's file that nobody listens on any more.
fn remove_stale(path: &Path, kind: Type) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let message = format!("{} exists and is no socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a unix socket; removed when dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            id: (found.dev(), found.ino()),
        })
    }

    pub(super) fn set_mode(&self, options: &SocketOptions) -> io::Result<()> {
        let Some(mode) = options.mode else {
            return Ok(());
        };
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if same {
            // Nothing is left to be done about a failure: the file is stale and replaced next time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Sets up a TCP connection as the options say; what the system refuses is left as it is.
pub(crate) fn tune(stream: &tokio::net::TcpStream, options: &SocketOptions) {
    let socket = socket2::SockRef::from(stream);
    let tuned = match options.keep_alive {
        None => Ok(()),
        Some(period) if period.is_zero() => socket.set_keepalive(false),
        Some(period) => {
            let probes = TcpKeepalive::new().with_time(period).with_interval(period);
            socket.set_tcp_keepalive(&probes)
        }
    };
    if let Err(error) = tuned {
        tracing::debug!(%error, "keep-alive could not be set");
    }
}
