//! Finds where a process of this machine serves its tasks.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::Failure;
use crate::client::{Client, Target};

/// A place that does not answer within this time serves no tasks.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Places that are asked at most.
const MOST_PROBES: usize = 64;

/// The socket's state in `/proc/net/tcp`: it listens.
const TCP_LISTEN: &str = "0A";

/// Flags in `/proc/net/unix`: it accepts connections.
const UNIX_LISTEN: &str = "00010000";

/// The place at which the process serves `/debug/tasks`.
///
/// # Errors
/// If there is no such process, its sockets may not be seen, or none of them serves tasks.
pub(super) fn find(pid: u32) -> Result<Target, Failure> {
    let sockets = sockets(pid)?;
    let read = |table: &str| fs::read_to_string(format!("/proc/{pid}/net/{table}"));
    let mut places = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = read(table).unwrap_or_default();
        places.extend(tcp(&text, &sockets));
    }
    places.extend(unix(&read("unix").unwrap_or_default(), &sockets));
    places.truncate(MOST_PROBES);
    if places.is_empty() {
        return Err(Failure::failed(format!(
            "failed to find the tasks of process {pid}: it listens nowhere"
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("failed to start the runtime: {error}")))?;
    let asked: Vec<String> = places.iter().map(ToString::to_string).collect();
    let found = runtime.block_on(async {
        for place in places {
            if serves_tasks(&place).await {
                return Some(place);
            }
        }
        None
    });
    found.ok_or_else(|| {
        Failure::failed(format!(
            "failed to find the tasks of process {pid}: none of {} serves /debug/tasks/count; \
             muster_tasks::debug::handle makes a program do so",
            asked.join(", ")
        ))
    })
}

/// The inodes of the sockets that the process has open.
fn sockets(pid: u32) -> Result<HashSet<String>, Failure> {
    let directory = format!("/proc/{pid}/fd");
    let open = fs::read_dir(&directory).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::failed(format!("there is no process {pid}")),
        _ => Failure::failed(format!("failed to read {directory}: {error}")),
    })?;
    let inode = |entry: std::io::Result<fs::DirEntry>| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?;
        Some(inode.strip_suffix(']')?.to_owned())
    };
    Ok(open.filter_map(inode).collect())
}

/// The listening sockets among these of a table as `/proc/net/tcp`.
fn tcp(table: &str, sockets: &HashSet<String>) -> Vec<Target> {
    let place = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        if *state != TCP_LISTEN || !sockets.contains(*inode) {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let host = match local_address(address)? {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) if ip.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Some(Target::Tcp(host, port))
    };
    table.lines().skip(1).filter_map(place).collect()
}

/// An address as the kernel prints it: words of 32 bits in the machine's order of bytes.
fn local_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let mut bytes = [0; 16];
    for at in 0..4 {
        bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
    }
    Some(IpAddr::from(bytes))
}

/// The listening sockets among these of a table as `/proc/net/unix`.
fn unix(table: &str, sockets: &HashSet<String>) -> Vec<Target> {
    let place = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (flags, inode, path) = (fields.get(3)?, fields.get(6)?, fields.get(7)?);
        let listens = *flags == UNIX_LISTEN && sockets.contains(*inode);
        (listens && path.starts_with('/')).then(|| Target::Unix(PathBuf::from(path)))
    };
    table.lines().skip(1).filter_map(place).collect()
}

async fn serves_tasks(place: &Target) -> bool {
    let client = Client::new(place.clone(), None);
    let ask = client.call("ask", Method::GET, "/debug/tasks/count", None);
    let answer = muster_tasks::timeout(PROBE_TIMEOUT, ask).await;
    matches!(answer, Ok(Ok(answer)) if answer.text().trim().parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let sockets: HashSet<String> = ["11", "12", "13"].map(str::to_owned).into();
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:21E7 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0\n\
            1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0\n\
            2: 0100007F:21E7 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0\n\
            3: 0100007F:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0\n";
        let tcp_at = |host: &str, port| Target::Tcp(host.to_owned(), port);
        let want = [tcp_at("127.0.0.1", 8679), tcp_at("127.0.0.1", 80)];
        assert_eq!(tcp(table, &sockets), want);
        let table =
            "sl local\n0: 00000000000000000000000001000000:1F90 0:0 0A 0:0 0:0 0 0 0 11 1\n";
        assert_eq!(tcp(table, &sockets), [tcp_at("[::1]", 8080)]);
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0: 00000002 00000000 00010000 0001 01 11 /run/a.sock\n\
            0: 00000002 00000000 00000000 0001 01 12 /run/b.sock\n\
            0: 00000002 00000000 00010000 0001 01 13 @abstract\n";
        assert_eq!(
            unix(table, &sockets),
            [Target::Unix(PathBuf::from("/run/a.sock"))]
        );
    }

    #[test]
    fn what_is_not_there_is_said() {
        let why = find(u32::MAX).unwrap_err().to_string();
        assert!(why.contains("there is no process"), "{why}");
    }
}
