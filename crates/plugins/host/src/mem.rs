//! `mem`: what the memory is used for.
//!
//! Read from `/proc/meminfo`. Measurement `mem`, no tags. All fields are bytes (unsigned), but for
//! the two in percent (float) and `huge_pages_free` and `huge_pages_total` (pages). What the kernel
//! does not tell is reported as 0.
//!
//! - `total`, `free`, `active`, `inactive`, `mapped`, `slab`, ...: as the kernel tells them.
//! - `available`: what new programs could get without swapping; on kernels before 3.14, which do
//!   not tell, `free + buffered + cached`.
//! - `cached`: the page cache and the part of the slab that can be reclaimed.
//! - `shared`: shared memory, tmpfs included.
//! - `used`: `total - available`, as `free` has it; on kernels before 3.14
//!   `total - free - buffered - cached`.
//! - `used_percent`: `100 * used / total`; `available_percent`: `100 * available / total`.

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::Roots;
use crate::files::TextFile;
use crate::meminfo;

/// Has no options.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mem {}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    Mem::parse(options)?;
    Ok(Box::new(MemInput {
        meminfo: TextFile::new(roots.proc("meminfo")),
    }))
}

struct MemInput {
    meminfo: TextFile,
}

#[async_trait]
impl Input for MemInput {
    async fn gather(&mut self, _: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let text = self.meminfo.read()?;
        let Some(usage) = Usage::of(&text) else {
            return Err(PluginError::new("read the memory's size").because("it is not told"));
        };
        let mut metric = batch.metric("mem").kind(MetricType::Gauge);
        metric
            .add_new_field("total", usage.total)
            .add_new_field("available", usage.available)
            .add_new_field("used", usage.used)
            .add_new_field("used_percent", usage.percent(usage.used))
            .add_new_field("available_percent", usage.percent(usage.available))
            .add_new_field("cached", usage.cached);
        let values = meminfo::pick(&text, AS_TOLD.map(|(_, name)| name));
        for ((field, _), value) in AS_TOLD.iter().zip(values) {
            metric.add_new_field(*field, value.unwrap_or_default());
        }
        metric.untimed();
        Ok(())
    }
}

/// Fields that are reported as the kernel tells them, with the kernel's names.
const AS_TOLD: [(&str, &str); 28] = [
    ("active", "Active"),
    ("buffered", "Buffers"),
    ("commit_limit", "CommitLimit"),
    ("committed_as", "Committed_AS"),
    ("dirty", "Dirty"),
    ("free", "MemFree"),
    ("high_free", "HighFree"),
    ("high_total", "HighTotal"),
    ("huge_pages_free", "HugePages_Free"),
    ("huge_page_size", "Hugepagesize"),
    ("huge_pages_total", "HugePages_Total"),
    ("inactive", "Inactive"),
    ("low_free", "LowFree"),
    ("low_total", "LowTotal"),
    ("mapped", "Mapped"),
    ("page_tables", "PageTables"),
    ("shared", "Shmem"),
    ("slab", "Slab"),
    ("sreclaimable", "SReclaimable"),
    ("sunreclaim", "SUnreclaim"),
    ("swap_cached", "SwapCached"),
    ("swap_free", "SwapFree"),
    ("swap_total", "SwapTotal"),
    ("vmalloc_chunk", "VmallocChunk"),
    ("vmalloc_total", "VmallocTotal"),
    ("vmalloc_used", "VmallocUsed"),
    ("write_back_tmp", "WritebackTmp"),
    ("write_back", "Writeback"),
];

/// What is computed.
#[derive(Debug, PartialEq)]
struct Usage {
    total: u64,
    available: u64,
    used: u64,
    cached: u64,
}

impl Usage {
    /// From the text of `/proc/meminfo`; nothing if that does not tell the total.
    fn of(text: &str) -> Option<Self> {
        let names = [
            "MemTotal",
            "MemAvailable",
            "MemFree",
            "Buffers",
            "Cached",
            "SReclaimable",
        ];
        let [total, available, free, buffers, cached, reclaimable] = meminfo::pick(text, names);
        let total = total.filter(|total| *total > 0)?;
        let cached = cached
            .unwrap_or_default()
            .saturating_add(reclaimable.unwrap_or_default());
        let idle = [free, buffers]
            .into_iter()
            .flatten()
            .fold(cached, u64::saturating_add);
        let available = available.unwrap_or(idle).min(total);
        Some(Self {
            total,
            available,
            used: total - available,
            cached,
        })
    }

    fn percent(&self, part: u64) -> f64 {
        100.0 * part as f64 / self.total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, check};

    #[test]
    fn reports_the_memory() {
        check(
            build,
            "",
            &Host::server(),
            &[concat!(
                "mem total=4096000000u,available=3072000000u,used=1024000000u,used_percent=25,",
                "available_percent=75,cached=1536000000u,active=1024000000u,buffered=128000000u,",
                "commit_limit=3072000000u,committed_as=2048000000u,dirty=131072u,free=1280000000u,",
                "high_free=0u,high_total=0u,huge_pages_free=1u,huge_page_size=2097152u,",
                "huge_pages_total=2u,inactive=1024512000u,low_free=0u,low_total=0u,mapped=256000000u,",
                "page_tables=8192000u,shared=64000000u,slab=384000000u,sreclaimable=256000000u,",
                "sunreclaim=128000000u,swap_cached=1024u,swap_free=768000000u,swap_total=1024000000u,",
                "vmalloc_chunk=0u,vmalloc_total=35184372087808u,vmalloc_used=32768000u,",
                "write_back_tmp=0u,write_back=4096u",
            )],
        );
    }

    #[test]
    fn old_kernels_do_not_tell_what_is_available() {
        let text = "MemTotal: 100 kB\nMemFree: 20 kB\nBuffers: 5 kB\nCached: 10 kB\n";
        let kib = |n: u64| n * 1024;
        let want = Usage {
            total: kib(100),
            available: kib(35),
            used: kib(65),
            cached: kib(10),
        };
        assert_eq!(Usage::of(text), Some(want));
    }

    #[test]
    fn says_what_is_missing() {
        let host = Host::server().write("proc/meminfo", "Nothing: 1 kB\n");
        check(
            build,
            "",
            &host,
            &["error: read the memory's size: it is not told"],
        );
        let host = Host::server().remove("proc/meminfo");
        check(
            build,
            "",
            &host,
            &["error: read /proc/meminfo: No such file or directory (os error 2)"],
        );
    }
}
