//! Where the servers are.

use std::fmt;
use std::str::FromStr;

/// The port of a server that names none.
pub const DEFAULT_PORT: u16 = 2379;

/// The most servers that can be named.
pub const MAX_ENDPOINTS: usize = 64;

/// One server as it was named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Whether to use TLS; `None` if it was named without `http://` or `https://`.
    pub secure: Option<bool>,
    /// A host name, or an address of version 4 or 6, without brackets.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
}

/// The servers of a cluster, and the prefix of the keys that are meant.
///
/// Written `host:port,host:port/root`. Each server may have `http://` or `https://` before it; the port
/// may be left out (2379); an address of version 6 stands in brackets. The client itself makes nothing of the root:
/// keys are given whole.
///
/// ```
/// use muster_etcd::Endpoints;
/// let endpoints: Endpoints = "etcd1,https://[::1]:2380/prod".parse()?;
/// assert_eq!(endpoints.list()[1].port, 2380);
/// assert_eq!(endpoints.root(), "/prod");
/// assert_eq!(endpoints.to_string(), "etcd1:2379,https://[::1]:2380/prod");
/// # Ok::<(), muster_etcd::EndpointsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    list: Vec<Endpoint>,
    root: String,
}

/// What is wrong with the servers' names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointsError {
    /// No server is named.
    #[error("find a server: write host:port,host:port/root")]
    Empty,
    /// There are more than [`MAX_ENDPOINTS`].
    #[error("take {0} servers: at most {MAX_ENDPOINTS} can be named")]
    TooMany(usize),
    /// A server has no host, or characters that no host has.
    #[error("read the server `{0}`: there is no host before the port")]
    NoHost(String),
    /// A port is no number from 1 to 65535.
    #[error("read the server `{0}`: the port is no number from 1 to 65535")]
    Port(String),
    /// An address of version 6 without its brackets, or a bracket too many.
    #[error("read the server `{0}`: an address of version 6 is written [::1]:2379")]
    Brackets(String),
    /// The root is not as a root must be.
    #[error("read the root `{0}`: it begins with a slash and does not end with one")]
    Root(String),
}

impl Endpoints {
    /// The servers, in the order given; at least one.
    pub fn list(&self) -> &[Endpoint] {
        &self.list
    }

    /// The prefix of the keys that are meant, with a slash at its beginning; empty if none was named.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The same servers with another root: empty, or with a slash at its beginning and none at its end.
    ///
    /// # Errors
    /// [`EndpointsError::Root`] if it is something else.
    pub fn with_root(mut self, root: &str) -> Result<Self, EndpointsError> {
        let is_right = root.is_empty() || (root.starts_with('/') && !root.ends_with('/'));
        if !is_right || root.chars().any(char::is_control) {
            return Err(EndpointsError::Root(root.to_owned()));
        }
        root.clone_into(&mut self.root);
        Ok(self)
    }
}

impl FromStr for Endpoints {
    type Err = EndpointsError;

    fn from_str(text: &str) -> Result<Self, EndpointsError> {
        if text.trim().is_empty() {
            return Err(EndpointsError::Empty);
        }
        let mut list = Vec::new();
        let (mut root, mut rest) = ("", text);
        loop {
            // A root ends the list: there may be commas in it.
            let begin = rest.find("://").map_or(0, |at| at + 3);
            let begin = if rest[..begin].contains(',') {
                0
            } else {
                begin
            };
            let end = rest[begin..].find([',', '/']).map(|at| begin + at);
            let Some(end) = end else {
                list.push(parse_one(rest.trim())?);
                break;
            };
            list.push(parse_one(rest[..end].trim())?);
            if rest[end..].starts_with('/') {
                root = &rest[end..];
                break;
            }
            rest = &rest[end + 1..];
        }
        if list.len() > MAX_ENDPOINTS {
            return Err(EndpointsError::TooMany(list.len()));
        }
        let root = root.strip_suffix('/').unwrap_or(root);
        let endpoints = Self {
            list,
            root: String::new(),
        };
        endpoints.with_root(root)
    }
}

fn parse_one(text: &str) -> Result<Endpoint, EndpointsError> {
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (Some(true), rest),
        (_, Some(rest)) => (Some(false), rest),
        _ => (None, text),
    };
    let brackets = || EndpointsError::Brackets(text.to_owned());
    let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(brackets)?;
        let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
        match rest.strip_prefix(':') {
            _ if !is_address => return Err(brackets()),
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(brackets()),
        }
    } else {
        match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    if port.is_some_and(|port| port.contains(':')) || host.contains(['[', ']']) {
        return Err(brackets());
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c);
    if host.is_empty() || host.contains(is_odd) {
        return Err(EndpointsError::NoHost(text.to_owned()));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(EndpointsError::Port(text.to_owned())),
        },
    };
    Ok(Endpoint {
        secure,
        host: host.to_owned(),
        port,
    })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secure, host, port } = self;
        f.write_str(match secure {
            Some(true) => "https://",
            Some(false) => "http://",
            None => "",
        })?;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, endpoint) in self.list.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{endpoint}")?;
        }
        f.write_str(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = text.parse::<Endpoints>();
        let shown = parsed
            .map(|endpoints| endpoints.to_string())
            .map_err(|error| error.to_string());
        match (&shown, expected) {
            (Ok(shown), Ok(expected)) => assert_eq!(shown, expected),
            (Err(shown), Err(part)) => assert!(shown.contains(part), "{shown}"),
            _ => panic!("{text}: {shown:?}"),
        }
    }

    #[test]
    fn names_of_servers() {
        check("etcd", Ok("etcd:2379"));
        check("etcd/", Ok("etcd:2379"));
        check(" a:1, http://b:2/x/y/", Ok("a:1,http://b:2/x/y"));
        check("https://a,b/x,y", Ok("https://a:2379,b:2379/x,y"));
        check("a,https://[::1]:7/x", Ok("a:2379,https://[::1]:7/x"));
        check("", Err("find a server"));
        check("/x", Err("no host"));
        check("a,,b", Err("no host"));
        check("https:///x", Err("no host"));
        check("http://user@a", Err("no host"));
        check("a:0", Err("port"));
        check("a:70000", Err("port"));
        check("1::1:2379", Err("[::1]:2379"));
        check("[a]:1", Err("[::1]:2379"));
        check("a/x//", Err("slash"));
        check(&["a"; 65].join(","), Err("at most 64"));
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_what_it_shows(text in "(https?://)?[a-c:,/\\[\\]. 0-9]{0,24}") {
            if let Ok(endpoints) = text.parse::<Endpoints>() {
                prop_assert_eq!(endpoints.to_string().parse::<Endpoints>(), Ok(endpoints));
            }
        }
    }
}
