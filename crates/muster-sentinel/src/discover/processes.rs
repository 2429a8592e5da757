//! The Redis servers that listen on this host, from /proc.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::Found;
use crate::status::Target;

/// The names of the processes that are looked for, as the kernel has them (15 bytes).
const NAMES: [&str; 3] = ["redis-server", "valkey-server", "keydb-server"];

/// Each server once, at the lowest of its ports: the others are the cluster's bus, or TLS. Processes
/// whose open files we may not see are left out.
pub(super) fn look(proc: &Path) -> io::Result<Found> {
    let mut found = Found::new();
    for entry in std::fs::read_dir(proc)? {
        let folder = entry?.path();
        // Processes come and go: one that is gone is none.
        let Ok(name) = std::fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        if !NAMES.contains(&name.trim_end()) {
            continue;
        }
        let mut listening = HashMap::new();
        for table in ["net/tcp", "net/tcp6"] {
            let text = std::fs::read_to_string(folder.join(table)).unwrap_or_default();
            listening.extend(text.lines().filter_map(read_listener));
        }
        let places = sockets(&folder)
            .into_iter()
            .filter_map(|inode| listening.get(&inode).copied());
        if let Some((address, port)) = places.min_by_key(|(_, port)| *port) {
            let host = reachable(address).to_string();
            found.insert(Target::Tcp { host, port }, None);
        }
    }
    Ok(found)
}

/// The sockets that a process has open, by inode.
fn sockets(folder: &Path) -> Vec<u64> {
    let Ok(files) = std::fs::read_dir(folder.join("fd")) else {
        return Vec::new();
    };
    let inode = |entry: io::Result<std::fs::DirEntry>| {
        let link = std::fs::read_link(entry.ok()?.path()).ok()?;
        let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        text.parse().ok()
    };
    files.filter_map(inode).collect()
}

/// The state of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";

/// A line of /proc/net/tcp or tcp6: inode, address and port, if it listens.
fn read_listener(line: &str) -> Option<(u64, (IpAddr, u16))> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if *words.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = words.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = words.get(9)?.parse().ok()?;
    Some((inode, (read_address(address)?, port)))
}

/// The kernel prints each 32 bits of an address as the number that they are on this machine.
fn read_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|b| IpAddr::V4(Ipv4Addr::from(b))),
        16 => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|b| IpAddr::V6(Ipv6Addr::from(b))),
        _ => None,
    }
}

/// Where to connect to what listens there.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_listening_sockets() {
        let check = |line: &str, want: Option<(u64, &str)>| {
            let got =
                read_listener(line).map(|(inode, (ip, port))| (inode, format!("{ip} {port}")));
            assert_eq!(got, want.map(|(inode, place)| (inode, place.to_owned())));
        };
        let rest = "00000000:00000000 00:00000000 00000000     0        0";
        let v4 = format!("  0: 0100007F:18EB 00000000:0000 0A {rest} 4711 1 0000 100 0 0 10 0");
        check(&v4, Some((4711, "127.0.0.1 6379")));
        let v6 = format!(
            "  1: 00000000000000000000000001000000:18EB {}:0000 0A {rest} 12 1",
            "0".repeat(32)
        );
        check(&v6, Some((12, "::1 6379")));
        check(&v4.replace(" 0A ", " 01 "), None);
        check("  sl  local_address rem_address   st tx_queue", None);
        check("", None);
        assert_eq!(
            reachable(IpAddr::from([0, 0, 0, 0])).to_string(),
            "127.0.0.1"
        );
    }

    #[test]
    fn finds_a_server_of_this_host() {
        let redis = muster_testkit::Redis::start();
        let found = look(Path::new("/proc")).unwrap();
        let ours = found
            .keys()
            .any(|target| target.to_string() == redis.address());
        assert!(ours, "{found:?}");
    }
}
