//! `kernel_vmstat`: all that the kernel counts of its virtual memory.
//!
//! Read from `/proc/vmstat`. Measurement `kernel_vmstat` (counters, integers, no tags), with a field
//! for each line of the file, named as there: numbers of pages in some state (`nr_...`), events
//! since boot (`pgfault`, `pswpin`, `oom_kill`, ...). Which there are depends on the kernel.

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::Roots;
use crate::files::TextFile;

/// Has no options.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KernelVmstat {}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    KernelVmstat::parse(options)?;
    Ok(Box::new(KernelVmstatInput {
        vmstat: TextFile::new(roots.proc("vmstat")),
    }))
}

struct KernelVmstatInput {
    vmstat: TextFile,
}

#[async_trait]
impl Input for KernelVmstatInput {
    async fn gather(&mut self, _: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let text = self.vmstat.read()?;
        let mut metric = batch.metric("kernel_vmstat").kind(MetricType::Counter);
        for (name, value) in counters(&text) {
            metric.add_new_field(name, value);
        }
        if metric.field_count() > 0 {
            metric.untimed();
        }
        Ok(())
    }
}

/// The lines. Those that are not understood are left out.
fn counters(text: &str) -> impl Iterator<Item = (&str, i64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Host, check};

    #[test]
    fn reports_every_line() {
        check(
            build,
            "",
            &Host::server(),
            &[
                "kernel_vmstat nr_free_pages=312500i,nr_dirty=32i,pgpgin=700000i,pgpgout=900000i,\
             pswpin=12i,pswpout=34i,pgfault=5000000i",
            ],
        );
        let host = Host::server().write("proc/vmstat", "odd\nbig 99999999999999999999\nx -1\n");
        check(build, "", &host, &["kernel_vmstat x=-1i"]);
        let missing = "error: read /proc/vmstat: No such file or directory (os error 2)";
        check(build, "", &host.remove("proc/vmstat"), &[missing]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([a-z_]{0,5} ?[-0-9]{0,22}\n?){0,6}|\\PC{0,30}") {
            counters(&text).count();
        }
    }
}
