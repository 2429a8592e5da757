//! What clusters and Sentinels say of their members.

use super::Found;
use crate::status::Target;

/// Reads `CLUSTER NODES`, as `from` has answered it: a node that does not know its own address
/// names none.
pub(super) fn read_cluster(text: &str, from: &Target) -> Found {
    text.lines()
        .filter_map(|line| read_node(line, from))
        .map(|target| (target, None))
        .collect()
}

/// `<id> <ip:port@bus[,hostname]> <flags> ...`
fn read_node(line: &str, from: &Target) -> Option<Target> {
    let mut words = line.split_whitespace();
    let address = words.nth(1)?;
    let flags = words.next()?;
    if flags
        .split(',')
        .any(|flag| ["noaddr", "handshake"].contains(&flag))
    {
        return None;
    }
    let address = address.split(['@', ',']).next()?;
    let (host, port) = address.rsplit_once(':')?;
    let host = match (host, from) {
        ("", Target::Tcp { host, .. }) => host,
        ("", _) => "127.0.0.1",
        (host, _) => host,
    };
    target(host, port)
}

/// A master or replica that a Sentinel watches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) target: Target,
}

/// Reads `SENTINEL MASTERS` or `SENTINEL REPLICAS`: for each server a line of words, each a key
/// and its value, separated by tabs.
pub(super) fn read_sentinel(text: &str) -> Vec<Watched> {
    let read = |line: &str| {
        let words: Vec<&str> = line.split('\t').collect();
        let get = |key| {
            let mut pairs = words.chunks_exact(2);
            pairs.find(|pair| pair[0] == key).map(|pair| pair[1])
        };
        Some(Watched {
            name: get("name")?.to_owned(),
            target: target(get("ip")?, get("port")?)?,
        })
    };
    text.lines().filter_map(read).collect()
}

fn target(host: &str, port: &str) -> Option<Target> {
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = host.to_owned();
    (!host.is_empty()).then_some(Target::Tcp { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nodes_of_a_cluster() {
        let text = "07c3 10.0.0.1:30004@31004,host4 slave e7d1 0 1426238317239 4 connected\n\
            67ed 10.0.0.2:30002@31002 master - 0 1426238316232 2 connected 5461-10922\n\
            292f 2001:db8::1:30003@31003 master,fail - 0 1426238318243 3 connected\n\
            6ec2 :0@0 slave,noaddr e7d1 0 0 5 disconnected\n\
            824f :30001@31001 myself,master - 0 0 1 connected 0-5460\n\nodd\n";
        let from = Target::Tcp {
            host: "seed".to_owned(),
            port: 30001,
        };
        let found: Vec<String> = read_cluster(text, &from)
            .keys()
            .map(ToString::to_string)
            .collect();
        let want = [
            "10.0.0.1:30004",
            "10.0.0.2:30002",
            "[2001:db8::1]:30003",
            "seed:30001",
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn reads_what_a_sentinel_watches() {
        let text = "name\tmymaster\tip\t10.0.0.1\tport\t6379\tflags\tmaster\n\
            name\tno-port\tip\t10.0.0.2\nname\tzero\tip\t10.0.0.3\tport\t0\n";
        let found = read_sentinel(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].target.to_string().as_str()),
            ("mymaster", "10.0.0.1:6379")
        );
    }
}
