//! Every plugin of this crate keeps the rules of `docs/specs/plugin.md`. A test binary of its own:
//! the rules about threads and open files look at the whole process.

use muster_plugin::compliance::{Case, check_table};
use muster_plugins_host::PLUGINS;

#[muster_tasks::test]
async fn every_plugin_complies() {
    let cases = [
        Case::new("cpu", "collect_cpu_time = true"),
        Case::new("disk", "mount_points = ['/']"),
        Case::new("diskio", "").metrics(0),
        Case::new("kernel", ""),
        Case::new("kernel_vmstat", ""),
        Case::new("mem", ""),
        Case::new("net", "interfaces = ['lo']"),
        Case::new("netstat", ""),
        Case::new("nstat", ""),
        Case::new("processes", ""),
        Case::new("procstat", "user = 'root'"),
        Case::new("swap", ""),
        Case::new("system", ""),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
