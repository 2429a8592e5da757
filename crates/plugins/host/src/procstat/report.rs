//! The metrics of a process.

use std::borrow::Cow;
use std::collections::HashMap;

use muster_metric::{Batch, MetricBuilder, Value};
use serde::{Deserialize, Serialize};

use super::finder::Member;
use super::options::{Mode, Procstat, Property, Tag};
use super::parser;
use super::process::{Process, Processes};
use crate::meminfo;

/// What concerns the host, not a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostFacts {
    pub(super) ticks_per_second: f64,
    /// Bytes.
    pub(super) memory: u64,
    /// Seconds since 1970.
    pub(super) booted: i64,
    /// Seconds since boot.
    pub(super) uptime: f64,
    pub(super) cpus: f64,
}

/// The processor time of the processes at the last gather.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// Seconds since boot.
    uptime: f64,
    /// By pid: ticks from boot to its start, and ticks that it used.
    processes: HashMap<u32, (u64, u64)>,
}

impl Seen {
    pub(super) fn at(uptime: f64) -> Self {
        Self {
            uptime,
            processes: HashMap::new(),
        }
    }

    /// Ticks of processor time for each second since; nothing if it is not the same process, or no
    /// time passed.
    fn ticks_per_second(&self, process: &Process, uptime: f64) -> Option<f64> {
        let (started, ticks) = *self.processes.get(&process.pid)?;
        let passed = uptime - self.uptime;
        let used = used(process).checked_sub(ticks)?;
        (started == process.stat.started && passed > 0.0).then(|| used as f64 / passed)
    }

    pub(super) fn note(&mut self, process: &Process) {
        self.processes
            .insert(process.pid, (process.stat.started, used(process)));
    }
}

fn used(process: &Process) -> u64 {
    process.stat.user.saturating_add(process.stat.system)
}

/// Adds fields with the prefix.
struct Fields<'m, 'b> {
    metric: &'m mut MetricBuilder<'b>,
    prefix: &'m str,
}

impl Fields<'_, '_> {
    fn add<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> &mut Self {
        let name = match self.prefix {
            "" => Cow::Borrowed(name),
            prefix => Cow::Owned(format!("{prefix}_{name}")),
        };
        self.metric.add_field(name, value);
        self
    }

    fn add_some<'v>(&mut self, name: &str, value: Option<impl Into<Value<'v>>>) -> &mut Self {
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }
}

/// Appends the metric of a process.
pub(super) fn report(
    options: &Procstat,
    host: &HostFacts,
    before: &Seen,
    processes: &Processes<'_>,
    (process, member): (&Process, Member),
    tags: &[(&'static str, String)],
    batch: &mut Batch,
) {
    let stat = &process.stat;
    let mut metric = batch.metric("procstat");
    let name = Some(options.process_name.as_str()).filter(|name| !name.is_empty());
    metric.add_tag("process_name", name.unwrap_or_else(|| process.name()));
    if options.tags_with(Tag::User)
        && let Some(user) = processes.user(process)
    {
        metric.add_tag("user", user);
    }
    for (key, value) in tags {
        metric.add_tag(*key, value);
    }
    if let Some((parent, level)) = member.child_of {
        metric
            .add_tag("parent_pid", parent.to_string())
            .add_tag("child_level", level.to_string());
    }
    if options.tags_with(Tag::Cmdline) {
        metric.add_tag("cmdline", process.command_line());
    }
    let identity = [
        (Tag::Pid, "pid", i64::from(process.pid)),
        (Tag::Ppid, "ppid", i64::from(stat.parent)),
    ];
    for (tag, name, number) in identity {
        if options.tags_with(tag) {
            metric.add_tag(name, number.to_string());
        } else {
            Fields {
                metric: &mut metric,
                prefix: &options.prefix,
            }
            .add(name, number);
        }
    }
    let status_tag = options.tags_with(Tag::Status);
    if status_tag {
        metric.add_tag("status", stat.status());
    }
    let mut fields = Fields {
        metric: &mut metric,
        prefix: &options.prefix,
    };
    if !status_tag {
        fields.add("status", stat.status());
    }
    basics(host, process, &mut fields);
    for property in &options.properties {
        match property {
            Property::Cpu => cpu(options.mode, host, before, process, &mut fields),
            Property::Limits => limits(host, process, &mut fields),
            Property::Memory => memory(host, process, &mut fields),
            Property::Mmap => mapped(process, &mut fields),
            Property::Sockets => {}
        }
    }
    metric.untimed();
}

fn basics(host: &HostFacts, process: &Process, fields: &mut Fields<'_, '_>) {
    let stat = &process.stat;
    let status = process.status().unwrap_or_default();
    let switches = |name| parser::value(status, name).and_then(|text| text.parse::<i64>().ok());
    let after_boot = stat.started as f64 / host.ticks_per_second * 1e9;
    fields
        .add("num_threads", stat.threads)
        .add_some("num_fds", process.open_files())
        .add_some(
            "voluntary_context_switches",
            switches("voluntary_ctxt_switches"),
        )
        .add_some(
            "involuntary_context_switches",
            switches("nonvoluntary_ctxt_switches"),
        )
        .add("minor_faults", stat.minor_faults)
        .add("major_faults", stat.major_faults)
        .add("child_minor_faults", stat.child_minor_faults)
        .add("child_major_faults", stat.child_major_faults)
        .add(
            "created_at",
            host.booted
                .saturating_mul(1_000_000_000)
                .saturating_add(after_boot as i64),
        );
    if let Some(io) = process.file("io") {
        let count = |name| parser::value(&io, name).and_then(|text| text.parse::<u64>().ok());
        fields
            .add_some("read_count", count("syscr"))
            .add_some("write_count", count("syscw"))
            .add_some("read_bytes", count("rchar"))
            .add_some("write_bytes", count("wchar"))
            .add_some("disk_read_bytes", count("read_bytes"))
            .add_some("disk_write_bytes", count("write_bytes"));
    }
}

fn cpu(
    mode: Mode,
    host: &HostFacts,
    before: &Seen,
    process: &Process,
    fields: &mut Fields<'_, '_>,
) {
    let seconds = |ticks: u64| ticks as f64 / host.ticks_per_second;
    fields
        .add("cpu_time_user", seconds(process.stat.user))
        .add("cpu_time_system", seconds(process.stat.system))
        .add("cpu_time_iowait", seconds(process.stat.waited));
    if let Some(ticks) = before.ticks_per_second(process, host.uptime) {
        let percent = 100.0 * ticks / host.ticks_per_second;
        let usage = match mode {
            Mode::Irix => percent,
            Mode::Solaris => percent / host.cpus.max(1.0),
        };
        fields.add("cpu_usage", usage);
    }
}

fn limits(host: &HostFacts, process: &Process, fields: &mut Fields<'_, '_>) {
    let stat = &process.stat;
    fields
        .add(
            "cpu_time",
            (used(process) as f64 / host.ticks_per_second) as u64,
        )
        .add("nice_priority", 20 - stat.nice)
        .add("realtime_priority", stat.realtime_priority)
        .add_some(
            "signals_pending",
            process.status().and_then(parser::pending_signals),
        );
    for limit in parser::limits(&process.file("limits").unwrap_or_default()) {
        fields
            .add(&format!("rlimit_{}_soft", limit.name), limit.soft)
            .add(&format!("rlimit_{}_hard", limit.name), limit.hard);
    }
}

fn memory(host: &HostFacts, process: &Process, fields: &mut Fields<'_, '_>) {
    // Kernel threads have none of these lines, and no memory.
    let names = ["VmRSS", "VmSize", "VmSwap", "VmData", "VmStk", "VmLck"];
    let values = meminfo::pick(process.status().unwrap_or_default(), names);
    let [resident, virtual_size, swap, data, stack, locked] = values.map(Option::unwrap_or_default);
    fields
        .add("memory_rss", resident)
        .add("memory_vms", virtual_size)
        .add("memory_swap", swap)
        .add("memory_data", data)
        .add("memory_stack", stack)
        .add("memory_locked", locked);
    if host.memory > 0 {
        fields.add("memory_usage", 100.0 * resident as f64 / host.memory as f64);
    }
}

/// What of the mapped memory is shared, private, changed, used lately.
const MAPPED: [(&str, &str); 7] = [
    ("memory_pss", "Pss"),
    ("memory_shared_clean", "Shared_Clean"),
    ("memory_shared_dirty", "Shared_Dirty"),
    ("memory_private_clean", "Private_Clean"),
    ("memory_private_dirty", "Private_Dirty"),
    ("memory_referenced", "Referenced"),
    ("memory_anonymous", "Anonymous"),
];

fn mapped(process: &Process, fields: &mut Fields<'_, '_>) {
    let Some(rollup) = process.file("smaps_rollup") else {
        return;
    };
    let [size] = meminfo::pick(process.status().unwrap_or_default(), ["VmSize"]);
    fields.add_some("memory_size", size);
    for ((field, _), value) in MAPPED
        .iter()
        .zip(meminfo::pick(&rollup, MAPPED.map(|(_, name)| name)))
    {
        fields.add_some(field, value);
    }
}
