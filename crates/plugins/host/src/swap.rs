//! `swap`: how much swap is used, and traffic to and from it.
//!
//! Measurement `swap`, no tags, in two metrics:
//!
//! - gauges from `/proc/meminfo`: `total`, `free`, `used` (bytes, unsigned), and `used_percent`
//!   (float, `100 * used / total`; 0 without swap),
//! - counters from `/proc/vmstat`: `in` and `out` (bytes since boot, unsigned), the number of pages
//!   times the size of a page.

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
pub(crate) struct Swap {}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    Swap::parse(options)?;
    Ok(Box::new(SwapInput {
        meminfo: TextFile::new(roots.proc("meminfo")),
        vmstat: TextFile::new(roots.proc("vmstat")),
        page: rustix::param::page_size() as u64,
    }))
}

struct SwapInput {
    meminfo: TextFile,
    vmstat: TextFile,
    page: u64,
}

#[async_trait]
impl Input for SwapInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let [total, free] = meminfo::pick(&self.meminfo.read()?, ["SwapTotal", "SwapFree"]);
        let total = total.unwrap_or_default();
        let free = free.unwrap_or_default().min(total);
        let used = total - free;
        let used_percent = if total == 0 {
            0.0
        } else {
            100.0 * used as f64 / total as f64
        };
        batch
            .metric("swap")
            .kind(MetricType::Gauge)
            .field("total", total)
            .field("used", used)
            .field("free", free)
            .field("used_percent", used_percent)
            .untimed();
        match self.vmstat.read() {
            Ok(text) => {
                if let [Some(pages_in), Some(pages_out)] =
                    meminfo::pick(&text, ["pswpin", "pswpout"])
                {
                    batch
                        .metric("swap")
                        .kind(MetricType::Counter)
                        .field("in", pages_in.saturating_mul(self.page))
                        .field("out", pages_out.saturating_mul(self.page))
                        .untimed();
                }
            }
            Err(error) => cx.report(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, check};

    const USED: &str = "swap total=1024000000u,used=256000000u,free=768000000u,used_percent=25";

    #[test]
    fn reports_space_and_traffic() {
        let page = rustix::param::page_size() as u64;
        let traffic = format!("swap in={}u,out={}u", 12 * page, 34 * page);
        check(build, "", &Host::server(), &[USED, &traffic]);
    }

    #[test]
    fn containers_may_lack_the_traffic() {
        let missing = "report: read /proc/vmstat: No such file or directory (os error 2)";
        check(
            build,
            "",
            &Host::server().remove("proc/vmstat"),
            &[USED, missing],
        );
        let host = Host::server().write("proc/vmstat", "nr_free_pages 1\n");
        check(build, "", &host, &[USED]);
    }

    #[test]
    fn no_swap_is_no_division_by_zero() {
        let host = Host::server()
            .write("proc/meminfo", "SwapTotal: 0 kB\nSwapFree: 0 kB\n")
            .write("proc/vmstat", "pswpin 0\npswpout 0\n");
        let none = "swap total=0u,used=0u,free=0u,used_percent=0";
        check(build, "", &host, &[none, "swap in=0u,out=0u"]);
    }
}
