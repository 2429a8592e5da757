//! `net`: traffic of the network interfaces, and counters of the protocols.
//!
//! Measurement `net`. For each interface, with the tag `interface`, from `/proc/net/dev`: counters
//! since it came up (unsigned)
//!
//! - `bytes_sent`, `bytes_recv`, `packets_sent`, `packets_recv`,
//! - `err_in`, `err_out`, `drop_in`, `drop_out` (packets),
//!
//! and `speed` (integer, Mbit/s) from `/sys/class/net/<interface>/speed`; -1 where the driver does
//! not tell.
//!
//! Unless `ignore_protocol_stats` is set, one more metric with the tag `interface=all`: what
//! `/proc/net/snmp` counts for the whole system (integers), each field named after the protocol and
//! the counter in lower case: `tcp_retranssegs`, `udp_noports`, ... Left out without that file.

mod parser;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::{Globs, Options};
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

pub(crate) use self::parser::counters;
use crate::Roots;
use crate::files::{TextFile, read_number, read_text};
use crate::globs::globs;

/// Which interfaces to report.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Net {
    /// Report these interfaces, whatever their state is. Patterns such as `eth*` are allowed. If
    /// empty, all that are up are reported, but for the loopback.
    interfaces: Vec<String>,
    /// Do not report the counters of the protocols (`interface=all`).
    ignore_protocol_stats: bool,
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    let options = Net::parse(options)?;
    Ok(Box::new(NetInput {
        interfaces: globs("interfaces", &options.interfaces)?,
        protocols: !options.ignore_protocol_stats,
        dev: TextFile::new(roots.proc("net/dev")),
        snmp: TextFile::new(roots.proc("net/snmp")),
        buffer: Vec::new(),
        roots,
    }))
}

struct NetInput {
    interfaces: Globs,
    protocols: bool,
    roots: Roots,
    dev: TextFile,
    snmp: TextFile,
    buffer: Vec<u8>,
}

#[async_trait]
impl Input for NetInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let Self {
            interfaces,
            protocols,
            roots,
            dev,
            snmp,
            buffer,
        } = self;
        let text = dev.read()?;
        for interface in parser::interfaces(&text) {
            let chosen = if interfaces.is_empty() {
                is_up(roots, interface.name, buffer)
            } else {
                interfaces.matches(interface.name)
            };
            if !chosen {
                continue;
            }
            let mut metric = batch.metric("net").kind(MetricType::Counter);
            metric.add_tag("interface", interface.name);
            for (field, value) in interface.fields() {
                metric.add_new_field(field, value);
            }
            let speed = roots.sys("class/net").join(interface.name).join("speed");
            metric.add_new_field("speed", read_number::<i64>(&speed, buffer).unwrap_or(-1));
            metric.untimed();
        }
        if *protocols {
            match snmp.read_if_there() {
                Ok(None) => {}
                Ok(Some(text)) => emit_protocols(&text, batch),
                Err(error) => cx.report(error),
            }
        }
        Ok(())
    }
}

/// Flags of an interface, as the kernel numbers them.
const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;

/// Whether the interface is up and not the loopback.
fn is_up(roots: &Roots, name: &str, buffer: &mut Vec<u8>) -> bool {
    let path = roots.sys("class/net").join(name).join("flags");
    let flags = read_text(&path, buffer)
        .ok()
        .and_then(|text| parser::hexadecimal(&text));
    match flags {
        Some(flags) => flags & UP != 0 && flags & LOOPBACK == 0,
        // Without /sys one cannot tell.
        None => name != "lo",
    }
}

fn emit_protocols(snmp: &str, batch: &mut Batch) {
    let mut metric = batch.metric("net").tag("interface", "all");
    for (protocol, counter, value) in parser::counters(snmp) {
        let mut field = format!("{protocol}_{counter}");
        field.make_ascii_lowercase();
        metric.add_new_field(&field, value);
    }
    if metric.field_count() > 0 {
        metric.untimed();
    }
}
