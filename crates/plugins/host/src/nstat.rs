//! `nstat`: all that the kernel counts of the network protocols.
//!
//! Measurement `nstat` (integers), with the tag `name` and these fields:
//!
//! - `netstat`: `/proc/net/netstat`, `snmp`: `/proc/net/snmp`. Fields are named after the protocol
//!   and the counter: `TcpExtListenDrops`, `IpInReceives`,
//! - `snmp6`: `/proc/net/snmp6`, named as there: `Ip6InReceives`. Left out without IPv6.
//!
//! Nearly all count events since boot. Counters that are 0 are left out unless `dump_zeros` is set.

use std::path::PathBuf;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::Roots;
use crate::files::TextFile;
use crate::net;

/// Where the files are, and what of them to report.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Nstat {
    /// The path of the file `netstat`. If empty, the environment's `PROC_NET_NETSTAT`, else
    /// `net/netstat` below `PROC_ROOT`, else `/proc/net/netstat`.
    proc_net_netstat: String,
    /// The path of the file `snmp`. If empty, the environment's `PROC_NET_SNMP`, else `net/snmp`
    /// below `PROC_ROOT`, else `/proc/net/snmp`.
    proc_net_snmp: String,
    /// The path of the file `snmp6`. If empty, the environment's `PROC_NET_SNMP6`, else `net/snmp6`
    /// below `PROC_ROOT`, else `/proc/net/snmp6`.
    proc_net_snmp6: String,
    /// Also report counters that are 0.
    dump_zeros: bool,
}

/// Builds the input with the environment of the process.
pub(crate) fn build_from_env(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    build_with(options, roots, |name| {
        std::env::var_os(name).map(PathBuf::from)
    })
}

fn build_with(
    options: &Table,
    roots: Roots,
    var: impl Fn(&str) -> Option<PathBuf>,
) -> Built<Box<dyn Input>> {
    let options = Nstat::parse(options)?;
    let file = |option: &str, name: &str, file: &str| {
        if !option.is_empty() {
            return TextFile::new(roots.file(option));
        }
        let below_root = || var("PROC_ROOT").map(|root| root.join("net").join(file));
        let path = var(name).or_else(below_root);
        TextFile::new(path.unwrap_or_else(|| roots.proc("net").join(file)))
    };
    Ok(Box::new(NstatInput {
        netstat: file(&options.proc_net_netstat, "PROC_NET_NETSTAT", "netstat"),
        snmp: file(&options.proc_net_snmp, "PROC_NET_SNMP", "snmp"),
        snmp6: file(&options.proc_net_snmp6, "PROC_NET_SNMP6", "snmp6"),
        zeros: options.dump_zeros,
    }))
}

struct NstatInput {
    netstat: TextFile,
    snmp: TextFile,
    snmp6: TextFile,
    zeros: bool,
}

#[async_trait]
impl Input for NstatInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let zeros = self.zeros;
        for (name, file) in [("netstat", &mut self.netstat), ("snmp", &mut self.snmp)] {
            match file.read() {
                Ok(text) => {
                    let counters = net::counters(&text)
                        .map(|(protocol, counter, value)| (format!("{protocol}{counter}"), value));
                    emit(name, zeros, counters, batch);
                }
                Err(error) => cx.report(error),
            }
        }
        if let Some(text) = self.snmp6.read_if_there()? {
            let counters = snmp6(&text).map(|(counter, value)| (counter.to_owned(), value));
            emit("snmp6", zeros, counters, batch);
        }
        Ok(())
    }
}

fn emit(name: &str, zeros: bool, counters: impl Iterator<Item = (String, i64)>, batch: &mut Batch) {
    let mut metric = batch.metric("nstat").tag("name", name);
    for (field, value) in counters {
        if zeros || value != 0 {
            metric.add_new_field(&field, value);
        }
    }
    if metric.field_count() > 0 {
        metric.untimed();
    }
}

/// A name and a number on each line.
fn snmp6(text: &str) -> impl Iterator<Item = (&str, i64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?, words.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Host, check};

    fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
        build_with(options, roots, |_| None)
    }

    const SNMP: &str = "nstat,name=snmp IpForwarding=2i,IpDefaultTTL=64i,IcmpMsgInType3=5i,\
        TcpRtoAlgorithm=1i,TcpMaxConn=-1i,UdpNoPorts=9i";

    fn host() -> Host {
        Host::server()
            .write(
                "proc/net/netstat",
                "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 0 3\n",
            )
            .write(
                "proc/net/snmp6",
                "Ip6InReceives    \t7\nIp6InDiscards 0\nodd\n",
            )
    }

    #[test]
    fn reports_all_files() {
        let netstat = "nstat,name=netstat TcpExtListenDrops=3i";
        let all = [netstat, SNMP, "nstat,name=snmp6 Ip6InReceives=7i"];
        check(build, "", &host(), &all);
        check(build, "", &host().remove("proc/net/snmp6"), &all[..2]);
    }

    #[test]
    fn reports_zeros_on_request_and_reads_other_files() {
        let host = host()
            .write("copy", "Udp: NoPorts\nUdp: 0\n")
            .remove("proc/net/netstat");
        check(
            build,
            "dump_zeros = true\nproc_net_snmp = '/copy'",
            &host,
            &[
                "nstat,name=snmp UdpNoPorts=0i",
                "nstat,name=snmp6 Ip6InReceives=7i,Ip6InDiscards=0i",
                "report: read /proc/net/netstat: No such file or directory (os error 2)",
            ],
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "([A-Za-z:]{0,5} ?[-0-9]{0,22}\n?){0,6}|\\PC{0,30}") {
            snmp6(&text).count();
        }
    }
}
