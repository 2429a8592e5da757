//! `netstat`: TCP connections by state, and UDP sockets.
//!
//! Read from `/proc/net/tcp`, `tcp6`, `udp` and `udp6`. Measurement `netstat`, no tags, integers:
//!
//! - `tcp_established`, `tcp_syn_sent`, `tcp_syn_recv`, `tcp_fin_wait1`, `tcp_fin_wait2`,
//!   `tcp_time_wait`, `tcp_close`, `tcp_close_wait`, `tcp_last_ack`, `tcp_listen`, `tcp_closing`:
//!   TCP sockets in this state,
//! - `tcp_none`: TCP sockets in a state that has no name here,
//! - `udp_socket`: UDP sockets.
//!
//! Unix sockets do not count. With very many connections reading them takes the kernel a while;
//! that happens on a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::Roots;
use crate::files::cannot_read;

/// Has no options.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Netstat {}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    Netstat::parse(options)?;
    Ok(Box::new(NetstatInput { roots }))
}

struct NetstatInput {
    roots: Roots,
}

#[async_trait]
impl Input for NetstatInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let dir = self.roots.proc("net");
        let counts = cx
            .blocking("count sockets", move |work| {
                Counts::read(&dir, || work.is_cancelled())
            })
            .await??;
        let mut metric = batch.metric("netstat");
        for (field, count) in STATES.iter().zip(counts.tcp) {
            metric.add_new_field(*field, count);
        }
        metric.add_new_field("udp_socket", counts.udp);
        metric.untimed();
        Ok(())
    }
}

/// The fields, in the order of the kernel's numbers for the states. `none` stands for all others.
const STATES: [&str; 12] = [
    "tcp_none",
    "tcp_established",
    "tcp_syn_sent",
    "tcp_syn_recv",
    "tcp_fin_wait1",
    "tcp_fin_wait2",
    "tcp_time_wait",
    "tcp_close",
    "tcp_close_wait",
    "tcp_last_ack",
    "tcp_listen",
    "tcp_closing",
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    tcp: [i64; STATES.len()],
    udp: i64,
}

impl Counts {
    fn read(dir: &Path, cancelled: impl Fn() -> bool) -> Result<Self, PluginError> {
        let mut counts = Self::default();
        for (name, needed) in [
            ("tcp", true),
            ("tcp6", false),
            ("udp", true),
            ("udp6", false),
        ] {
            let path = dir.join(name);
            let is_tcp = name.starts_with("tcp");
            let read = each_line(&path, &cancelled, |line| {
                if is_tcp {
                    counts.add_tcp(line);
                } else {
                    counts.add_udp(line);
                }
            });
            match read {
                Ok(()) => {}
                // There is no IPv6 everywhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => {}
                Err(error) => return Err(cannot_read(&path, error)),
            }
        }
        Ok(counts)
    }

    fn add_tcp(&mut self, line: &[u8]) {
        if let Some(state) = state(line) {
            let at = if state < STATES.len() { state } else { 0 };
            self.tcp[at] += 1;
        }
    }

    fn add_udp(&mut self, line: &[u8]) {
        self.udp += i64::from(state(line).is_some());
    }
}

/// The file may be large: it is not kept as a whole.
fn each_line(
    path: &Path,
    cancelled: impl Fn() -> bool,
    mut with: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(32 * 1024, File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && !cancelled() {
        with(&line);
        line.clear();
    }
    Ok(())
}

/// The state of a socket: the fourth word of its line, hexadecimal. The heading has none.
fn state(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next()?.strip_suffix(':')?;
    usize::from_str_radix(words.nth(2)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, check, gather_live};
    use proptest::prelude::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";

    fn sockets(states: &[&str]) -> String {
        let line = |(at, state): (usize, &&str)| {
            format!("  {at}: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000\n")
        };
        let lines: String = states.iter().enumerate().map(line).collect();
        format!("{HEADING}{lines}")
    }

    #[test]
    fn counts_by_state() {
        let host = Host::server()
            .write("proc/net/tcp", sockets(&["0A", "01", "01", "06", "0C"]))
            .write("proc/net/tcp6", sockets(&["0A", "08"]))
            .write("proc/net/udp", sockets(&["07"]))
            .write("proc/net/udp6", sockets(&["07", "07"]));
        check(
            build,
            "",
            &host,
            &[concat!(
                "netstat tcp_none=1i,tcp_established=2i,tcp_syn_sent=0i,tcp_syn_recv=0i,",
                "tcp_fin_wait1=0i,tcp_fin_wait2=0i,tcp_time_wait=1i,tcp_close=0i,tcp_close_wait=1i,",
                "tcp_last_ack=0i,tcp_listen=2i,tcp_closing=0i,udp_socket=3i",
            )],
        );
    }

    #[test]
    fn does_without_ipv6_only() {
        let host = Host::server()
            .write("proc/net/tcp", HEADING)
            .write("proc/net/udp", HEADING);
        let zero = "netstat tcp_none=0i,tcp_established=0i,tcp_syn_sent=0i,tcp_syn_recv=0i,\
            tcp_fin_wait1=0i,tcp_fin_wait2=0i,tcp_time_wait=0i,tcp_close=0i,tcp_close_wait=0i,\
            tcp_last_ack=0i,tcp_listen=0i,tcp_closing=0i,udp_socket=0i";
        check(build, "", &host, &[zero]);
        let missing = "error: read /proc/net/udp: No such file or directory (os error 2)";
        check(build, "", &host.remove("proc/net/udp"), &[missing]);
    }

    #[test]
    fn counts_this_machine() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (batch, reports) = gather_live(build, "");
        assert!(reports.is_empty(), "{reports:?}");
        let listening = batch.iter().next().unwrap().field("tcp_listen").unwrap();
        assert!(listening.as_f64().unwrap() >= 1.0);
        drop(listener);
    }

    proptest! {
        #[test]
        fn never_panics(line in "[0-9]{0,2}:?( [0-9A-F:]{0,9}){0,5}|\\PC{0,30}") {
            let mut counts = Counts::default();
            counts.add_tcp(line.as_bytes());
            counts.add_udp(line.as_bytes());
        }
    }
}
