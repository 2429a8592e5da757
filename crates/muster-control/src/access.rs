//! Who may do what at the API.
//!
//! The unix socket belongs to the agent's user: whoever can open it may do everything. Over TCP a
//! change needs the token, and so does everything from beyond loopback. The Host header must name
//! this API and the Origin header, if there is one, too: pages of other sites can neither rebind a
//! name to loopback nor send a form.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::{HeaderMap, Method, header};
use muster_options::Secret;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The unix socket.
    Unix,
    /// An address.
    Tcp(SocketAddr),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token.
    #[error(
        "this needs the token: send `Authorization: Bearer` with the contents of the file `token` in the state directory, or use the unix socket there"
    )]
    Token,
    /// A token, but a wrong one.
    #[error(
        "the token is wrong: the right one is in the file `token` in this agent's state directory"
    )]
    WrongToken,
    /// The Host header names something else.
    #[error("the Host header does not name this API")]
    Host,
    /// The request comes from a page of another site.
    #[error("requests from pages of other sites are refused")]
    Origin,
}

/// The rules of one agent.
#[derive(Clone, Debug)]
pub struct Access {
    token: Secret,
    /// Host names, beside loopback's, under which the API is reached.
    hosts: Vec<String>,
}

impl Access {
    /// Rules with this token; `address` is where the API was told to listen.
    pub fn new(token: Secret, address: &str) -> Self {
        let host = host_of(address).to_owned();
        let wildcard = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        let hosts = if wildcard || host.is_empty() {
            Vec::new()
        } else {
            vec![host]
        };
        Self { token, hosts }
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(
        &self,
        peer: Peer,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Denied> {
        let Peer::Tcp(from) = peer else { return Ok(()) };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if from.ip().is_loopback() && !self.knows_host(host) {
            return Err(Denied::Host);
        }
        if let Some(origin) = text(header::ORIGIN) {
            let own = origin
                .split_once("://")
                .is_some_and(|(_, rest)| rest == host);
            if !own {
                return Err(Denied::Origin);
            }
        }
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let open = matches!(path, "/healthz" | "/readyz");
        if open || (reads && from.ip().is_loopback()) {
            return Ok(());
        }
        let given = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        match given {
            Some(given) if same(given.trim(), self.token.expose()) => Ok(()),
            Some(_) => Err(Denied::WrongToken),
            None => Err(Denied::Token),
        }
    }

    fn knows_host(&self, host: &str) -> bool {
        let name = host_of(host);
        let loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        loopback || name == "localhost" || self.hosts.iter().any(|known| known == name)
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => address,
    }
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |sum, (a, b)| sum | (a ^ b))
            == 0
}

/// Reads the token from the file `token` in the state directory, or makes one.
///
/// # Errors
/// If it cannot be read or written.
pub fn token(directory: &Path) -> io::Result<Secret> {
    let path = token_path(directory);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0u8; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written aside and renamed, so that a crash never leaves half a token.
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .open(&fresh)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    Ok(Secret::new(token))
}

/// Where the token lies.
pub fn token_path(directory: &Path) -> PathBuf {
    directory.join("token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        peer: &str,
        method: Method,
        headers: &[(&'static str, &str)],
        want: Result<(), Denied>,
    ) {
        let access = Access::new(Secret::new("s3cret"), "127.0.0.1:8679");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let peer = if peer.is_empty() {
            Peer::Unix
        } else {
            Peer::Tcp(peer.parse().unwrap())
        };
        assert_eq!(
            access.check(peer, &method, "/api/v1/status", &map),
            want,
            "{peer:?} {headers:?}"
        );
    }

    #[test]
    fn reads_from_loopback_are_free_and_changes_need_the_token() {
        let host = ("host", "127.0.0.1:8679");
        let token = ("authorization", "Bearer s3cret");
        let wrong = ("authorization", "Bearer s3creT");
        check("127.0.0.1:5000", Method::GET, &[host], Ok(()));
        check("127.0.0.1:5000", Method::POST, &[host], Err(Denied::Token));
        check(
            "127.0.0.1:5000",
            Method::POST,
            &[host, wrong],
            Err(Denied::WrongToken),
        );
        check("127.0.0.1:5000", Method::POST, &[host, token], Ok(()));
        check(
            "10.0.0.7:5000",
            Method::GET,
            &[("host", "db1:8679")],
            Err(Denied::Token),
        );
        check(
            "10.0.0.7:5000",
            Method::GET,
            &[("host", "db1:8679"), token],
            Ok(()),
        );
        check("", Method::POST, &[], Ok(()));
    }

    #[test]
    fn other_names_and_other_sites_are_refused() {
        let token = ("authorization", "Bearer s3cret");
        check(
            "127.0.0.1:5000",
            Method::GET,
            &[("host", "evil.example")],
            Err(Denied::Host),
        );
        check("[::1]:5000", Method::GET, &[("host", "[::1]:8679")], Ok(()));
        check(
            "127.0.0.1:5000",
            Method::GET,
            &[("host", "localhost")],
            Ok(()),
        );
        let host = ("host", "localhost:8679");
        let evil = ("origin", "http://evil.example");
        check(
            "127.0.0.1:5000",
            Method::POST,
            &[host, evil, token],
            Err(Denied::Origin),
        );
        check(
            "127.0.0.1:5000",
            Method::POST,
            &[host, ("origin", "http://localhost:8679"), token],
            Ok(()),
        );
    }

    #[test]
    fn the_token_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let first = token(directory.path()).unwrap();
        assert_eq!(first.expose().len(), 64);
        assert_eq!(token(directory.path()).unwrap(), first);
        let mode = fs::metadata(token_path(directory.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
