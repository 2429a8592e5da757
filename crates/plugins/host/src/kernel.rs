//! `kernel`: counters of the kernel as a whole.
//!
//! Measurement `kernel` (counters, integers, no tags), from `/proc/stat`:
//!
//! - `boot_time`: when the system was started, in seconds since 1970,
//! - `context_switches`, `interrupts`, `processes_forked`: since boot,
//! - `disk_pages_in`, `disk_pages_out`: only on kernels before 2.6,
//! - `entropy_avail`: bits of randomness at hand, from `/proc/sys/kernel/random/entropy_avail`,
//! - with `collect = ["ksm"]` what `/sys/kernel/mm/ksm` tells of merged memory pages, with the
//!   prefix `ksm_`.
//!
//! With `collect = ["psi"]` also the measurement `pressure`, from `/proc/pressure`, with the tags
//! `resource` (`cpu`, `memory`, `io`) and `type` (`some`: at least one task waited for the
//! resource, `full`: all did):
//!
//! - `avg10`, `avg60`, `avg300` (gauges, float, percent): the part of the last 10, 60 and 300
//!   seconds in which tasks waited,
//! - `total` (counter, integer, microseconds): how long they waited since boot.
//!
//! `full` is left out for `cpu`, for which it means nothing.

mod parser;
#[cfg(test)]
mod tests;

use std::io;

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::Roots;
use crate::files::{TextFile, cannot_read, read_number, read_text};

/// What to report beside the counters of `/proc/stat`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kernel {
    /// What to report in addition: `ksm` (merging of equal memory pages), `psi` (how long tasks
    /// wait for processor, memory and disks).
    collect: Vec<Extra>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Extra {
    Ksm,
    Psi,
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    Ok(Box::new(KernelInput {
        options: Kernel::parse(options)?,
        stat: TextFile::new(roots.proc("stat")),
        buffer: Vec::new(),
        roots,
    }))
}

struct KernelInput {
    options: Kernel,
    stat: TextFile,
    buffer: Vec<u8>,
    roots: Roots,
}

#[async_trait]
impl Input for KernelInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let Self {
            options,
            stat,
            buffer,
            roots,
        } = self;
        let text = stat.read()?;
        let mut metric = batch.metric("kernel").kind(MetricType::Counter);
        for (field, value) in parser::counters(&text) {
            metric.add_new_field(field, value);
        }
        let entropy = roots.proc("sys/kernel/random/entropy_avail");
        if let Some(bits) = read_number::<i64>(&entropy, buffer) {
            metric.add_new_field("entropy_avail", bits);
        }
        if options.collect.contains(&Extra::Ksm) {
            let dir = roots.sys("kernel/mm/ksm");
            if dir.is_dir() {
                for (file, field) in KSM {
                    if let Some(value) = read_number::<i64>(&dir.join(file), buffer) {
                        metric.add_new_field(field, value);
                    }
                }
            } else {
                cx.report(cannot_read(&dir, io::ErrorKind::NotFound.into()));
            }
        }
        metric.untimed();
        if options.collect.contains(&Extra::Psi) {
            pressure(roots, buffer, cx, batch);
        }
        Ok(())
    }
}

/// The files of `/sys/kernel/mm/ksm` with the names of their fields.
const KSM: [(&str, &str); 14] = [
    ("full_scans", "ksm_full_scans"),
    ("max_page_sharing", "ksm_max_page_sharing"),
    ("merge_across_nodes", "ksm_merge_across_nodes"),
    ("pages_shared", "ksm_pages_shared"),
    ("pages_sharing", "ksm_pages_sharing"),
    ("pages_to_scan", "ksm_pages_to_scan"),
    ("pages_unshared", "ksm_pages_unshared"),
    ("pages_volatile", "ksm_pages_volatile"),
    ("run", "ksm_run"),
    ("sleep_millisecs", "ksm_sleep_millisecs"),
    ("stable_node_chains", "ksm_stable_node_chains"),
    (
        "stable_node_chains_prune_millisecs",
        "ksm_stable_node_chains_prune_millisecs",
    ),
    ("stable_node_dups", "ksm_stable_node_dups"),
    ("use_zero_pages", "ksm_use_zero_pages"),
];

fn pressure(roots: &Roots, buffer: &mut Vec<u8>, cx: &GatherContext, batch: &mut Batch) {
    for resource in ["cpu", "memory", "io"] {
        let path = roots.proc("pressure").join(resource);
        let text = match read_text(&path, buffer) {
            Ok(text) => text,
            Err(error) => {
                let hint = "pressure needs a kernel since 4.20 that was built and booted with it";
                cx.report(cannot_read(&path, error).with_hint(hint));
                continue;
            }
        };
        for stall in parser::stalls(&text) {
            if resource == "cpu" && stall.kind == "full" {
                continue;
            }
            let mut averages = batch
                .metric("pressure")
                .kind(MetricType::Gauge)
                .tag("resource", resource)
                .tag("type", stall.kind);
            for (field, percent) in ["avg10", "avg60", "avg300"].iter().zip(stall.averages) {
                averages.add_new_field(*field, percent);
            }
            averages.untimed();
            batch
                .metric("pressure")
                .kind(MetricType::Counter)
                .tag("resource", resource)
                .tag("type", stall.kind)
                .field("total", stall.total)
                .untimed();
        }
    }
}
