//! Addresses as Telegraf writes them: `tcp://:8094`, `udp4://host:8089`, `unix:///run/x.sock`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A stream over TCP.
    Tcp,
    /// Datagrams over UDP.
    Udp,
    /// A stream over a unix socket.
    Unix,
    /// Datagrams over a unix socket.
    Unixgram,
}

impl Transport {
    /// Whether bytes come as a stream; otherwise they come as datagrams.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix)
    }
}

/// Which kind of IP addresses is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    Any,
    V4,
    V6,
}

/// Where to listen or to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    transport: Transport,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Ip {
        family: Family,
        host: String,
        port: u16,
    },
    File(PathBuf),
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no address: {why}")]
pub struct AddressError {
    text: String,
    why: String,
}

impl Address {
    /// Reads `scheme://...`, with one of the schemes `tcp`, `tcp4`, `tcp6`, `udp`, `udp4`, `udp6`,
    /// `unix`, `unixgram`.
    ///
    /// # Errors
    /// If the text is no such thing.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |why: &str| AddressError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let example = "write for example \"tcp://:8094\" or \"unix:///run/muster.sock\"";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong(example))?;
        let (transport, family) = match scheme {
            "tcp" => (Transport::Tcp, Family::Any),
            "tcp4" => (Transport::Tcp, Family::V4),
            "tcp6" => (Transport::Tcp, Family::V6),
            "udp" => (Transport::Udp, Family::Any),
            "udp4" => (Transport::Udp, Family::V4),
            "udp6" => (Transport::Udp, Family::V6),
            "unix" => (Transport::Unix, Family::Any),
            "unixgram" => (Transport::Unixgram, Family::Any),
            "vsock" => return Err(wrong("vsock is not supported yet")),
            other => return Err(wrong(&format!("\"{other}\" is no known protocol"))),
        };
        if matches!(transport, Transport::Unix | Transport::Unixgram) {
            if rest.is_empty() {
                return Err(wrong("the path of the socket is missing"));
            }
            return Ok(Self {
                transport,
                place: Place::File(PathBuf::from(rest)),
            });
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest
            .rsplit_once(':')
            .ok_or_else(|| wrong("the port is missing"))?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(wrong("put IPv6 addresses in brackets: [::1]:8094"));
        }
        let host = bracketed.unwrap_or(host).to_owned();
        let port = match port {
            "http" => 80,
            "https" => 443,
            port => port
                .parse()
                .map_err(|_| wrong("the port must be a number up to 65535"))?,
        };
        Ok(Self {
            transport,
            place: Place::Ip { family, host, port },
        })
    }

    /// As [`parse`](Self::parse), where a text without a scheme is meant as TCP.
    ///
    /// # Errors
    /// If the text is no address.
    pub fn parse_tcp(text: &str) -> Result<Self, AddressError> {
        if text.contains("://") {
            Self::parse(text)
        } else {
            Self::parse(&format!("tcp://{text}"))
        }
    }

    /// What carries the bytes.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The host as written; empty for any, or for a unix socket.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Ip { host, .. } => host,
            Place::File(_) => "",
        }
    }

    /// The port; 0 for a unix socket.
    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Ip { port, .. } => *port,
            Place::File(_) => 0,
        }
    }

    /// The path of a unix socket.
    pub fn path(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Ip { .. } => None,
        }
    }

    /// The socket addresses to listen on: the first that works is to be taken. An empty host means
    /// all interfaces, over IPv6 and IPv4 where the system has both.
    ///
    /// # Errors
    /// If the host's name cannot be resolved.
    pub(crate) async fn to_listen(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.place {
            Place::Ip { family, host, port } if host.is_empty() => {
                let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port);
                let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port);
                Ok(match family {
                    Family::Any => vec![v6, v4],
                    Family::V4 => vec![v4],
                    Family::V6 => vec![v6],
                })
            }
            _ => self.to_connect().await,
        }
    }

    /// The socket addresses to connect to, in order of preference. An empty host means this one.
    ///
    /// # Errors
    /// If the host's name cannot be resolved.
    pub async fn to_connect(&self) -> io::Result<Vec<SocketAddr>> {
        let Place::Ip { family, host, port } = &self.place else {
            return Ok(Vec::new());
        };
        let host = if host.is_empty() { "localhost" } else { host };
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, *port)],
            Err(_) => tokio::net::lookup_host((host, *port)).await?.collect(),
        };
        let fits = |a: &SocketAddr| match family {
            Family::Any => true,
            Family::V4 => a.is_ipv4(),
            Family::V6 => a.is_ipv6(),
        };
        let found: Vec<SocketAddr> = found.into_iter().filter(fits).collect();
        if found.is_empty() {
            let message = format!("{host} has no address of that kind");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(found)
    }

    /// Whether only IPv6 is meant, not also IPv4.
    pub(crate) fn only_v6(&self) -> bool {
        matches!(
            self.place,
            Place::Ip {
                family: Family::V6,
                ..
            }
        )
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Unix => "unix",
            Transport::Unixgram => "unixgram",
        };
        match &self.place {
            Place::File(path) => write!(f, "{scheme}://{}", path.display()),
            Place::Ip { family, host, port } => {
                let family = match family {
                    Family::Any => "",
                    Family::V4 => "4",
                    Family::V6 => "6",
                };
                if host.contains(':') {
                    write!(f, "{scheme}{family}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}{family}://{host}:{port}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_addresses() {
        for text in [
            "tcp://:8094",
            "tcp4://127.0.0.1:8094",
            "tcp6://[2001:db8::1]:8094",
            "udp://host.example:8089",
            "unix:///tmp/x.sock",
            "unixgram:///tmp/x.sock",
        ] {
            let shown = Address::parse(text).map(|a| a.to_string());
            assert_eq!(shown.as_deref(), Ok(text));
        }
        assert_eq!(Address::parse("tcp://h:http").unwrap().port(), 80);
        assert_eq!(
            Address::parse_tcp(":8186").unwrap().to_string(),
            "tcp://:8186"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("8094", "write for example"),
            ("tcp://host", "port is missing"),
            ("tcp://host:x", "must be a number"),
            ("tcp://host:70000", "up to 65535"),
            ("tcp://::1:80", "brackets"),
            ("ftp://host:1", "no known protocol"),
            ("unix://", "path"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
