//! Where the servers are: the connect string.

use std::fmt;
use std::str::FromStr;

use crate::path;

/// The port of a server that names none.
pub const DEFAULT_PORT: u16 = 2181;

/// The most servers that a connect string may name.
pub const MAX_SERVERS: usize = 64;

/// One server as it was named: a name or an address, without brackets, and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// A host name, or an address of version 4 or 6.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
}

/// The servers of an ensemble, and the node below which everything happens.
///
/// Written as ZooKeeper's own clients write it: `host:port,host:port/root`. The port may be left out
/// (2181); an address of version 6 stands in brackets.
///
/// ```
/// use muster_zookeeper::Servers;
/// let servers: Servers = "zk1,[::1]:2182/prod".parse()?;
/// assert_eq!(servers.list()[0].port, 2181);
/// assert_eq!(servers.root(), "/prod");
/// assert_eq!(servers.to_string(), "zk1:2181,[::1]:2182/prod");
/// # Ok::<(), muster_zookeeper::ServersError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    list: Vec<Server>,
    root: String,
}

/// What is wrong with a connect string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServersError {
    /// There is no server in it.
    #[error("find a server in the connect string: write host:port,host:port/root")]
    Empty,
    /// There are more than [`MAX_SERVERS`].
    #[error("take {0} servers: at most {MAX_SERVERS} can be named")]
    TooMany(usize),
    /// A server has no host.
    #[error("read the server `{0}`: there is no host before the port")]
    NoHost(String),
    /// A port is no number from 1 to 65535.
    #[error("read the server `{0}`: the port is no number from 1 to 65535")]
    Port(String),
    /// An address of version 6 without its brackets, or a bracket too many.
    #[error("read the server `{0}`: an address of version 6 is written [::1]:2181")]
    Brackets(String),
    /// The root is no path of a node.
    #[error("read the root `{root}`: {why}")]
    Root {
        /// The root as it was given.
        root: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Servers {
    /// The servers, in the order given. They are tried in an order of our own.
    pub fn list(&self) -> &[Server] {
        &self.list
    }

    /// The node below which everything happens; `/` if none was named.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The same servers with another root, given as an absolute path.
    ///
    /// # Errors
    /// [`ServersError::Root`] if it is no path of a node.
    pub fn with_root(mut self, root: &str) -> Result<Self, ServersError> {
        path::check(root).map_err(|why| ServersError::Root {
            root: root.to_owned(),
            why,
        })?;
        root.clone_into(&mut self.root);
        Ok(self)
    }
}

impl FromStr for Servers {
    type Err = ServersError;

    fn from_str(text: &str) -> Result<Self, ServersError> {
        let (servers, root) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, "/"),
        };
        if servers.trim().is_empty() {
            return Err(ServersError::Empty);
        }
        let list: Vec<Server> = servers
            .split(',')
            .map(|server| parse_server(server.trim()))
            .collect::<Result<_, _>>()?;
        if list.len() > MAX_SERVERS {
            return Err(ServersError::TooMany(list.len()));
        }
        let root = match root.strip_suffix('/') {
            Some(shorter) if !shorter.is_empty() => shorter,
            _ => root,
        };
        let servers = Self {
            list,
            root: String::new(),
        };
        servers.with_root(root)
    }
}

fn parse_server(text: &str) -> Result<Server, ServersError> {
    let brackets = || ServersError::Brackets(text.to_owned());
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(brackets)?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(brackets()),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host = host.trim();
    if host.is_empty() {
        return Err(ServersError::NoHost(text.to_owned()));
    }
    if port.is_some_and(|port| port.contains(':')) || host.contains(['[', ']']) {
        return Err(brackets());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(ServersError::Port(text.to_owned())),
        },
    };
    Ok(Server {
        host: host.to_owned(),
        port,
    })
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, server) in self.list.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{server}")?;
        }
        if self.root != "/" {
            f.write_str(&self.root)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = text.parse::<Servers>();
        let shown = parsed
            .map(|servers| servers.to_string())
            .map_err(|error| error.to_string());
        match (&shown, expected) {
            (Ok(shown), Ok(expected)) => assert_eq!(shown, expected),
            (Err(shown), Err(part)) => assert!(shown.contains(part), "{shown}"),
            _ => panic!("{text}: {shown:?}"),
        }
    }

    #[test]
    fn connect_strings() {
        check("zk", Ok("zk:2181"));
        check("zk/", Ok("zk:2181"));
        check(" a:1, b:2 /x/y", Ok("a:1,b:2/x/y"));
        check("a:1,b:2/x/y", Ok("a:1,b:2/x/y"));
        check("a:1,b:2/x/y/", Ok("a:1,b:2/x/y"));
        check("[::1]", Ok("[::1]:2181"));
        check("[fe80::1]:7,10.0.0.1", Ok("[fe80::1]:7,10.0.0.1:2181"));
        check("", Err("find a server"));
        check("/x", Err("find a server"));
        check("a,,b", Err("no host"));
        check(":2181", Err("no host"));
        check("a:", Err("port"));
        check("a:0", Err("port"));
        check("a:70000", Err("port"));
        check("::1", Err("no host"));
        check("1::1:2181", Err("[::1]:2181"));
        check("[::1:2181", Err("[::1]:2181"));
        check("[::1]x", Err("[::1]:2181"));
        check("a/x//y", Err("/x//y"));
        check("a/x/../y", Err("relative"));
        check(&["a"; 65].join(","), Err("at most 64"));
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_what_it_shows(text in "[a-c:,/\\[\\]. 0-9]{0,24}") {
            if let Ok(servers) = text.parse::<Servers>() {
                prop_assert_eq!(servers.to_string().parse::<Servers>(), Ok(servers));
            }
        }
    }
}
