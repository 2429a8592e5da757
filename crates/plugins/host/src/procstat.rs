//! `procstat`: what chosen processes use.
//!
//! Processes are chosen by `pid_file`, `exe`, `pattern`, `user`, `systemd_unit` or `cgroup`, or by
//! any number of `[[inputs.procstat.filter]]`. They are found and read through `/proc`; no other
//! program is run.
//!
//! Measurement `procstat`, one metric for each process, with the tags `process_name`, the option
//! that chose it (`pidfile`, `exe`, `pattern`, `user`, `systemd_unit`, `cgroup`, `filter`), and what
//! `tag_with` asks for; for children of what a filter chose also `parent_pid` and `child_level`.
//!
//! - basics: `pid`, `ppid`, `status`, `num_threads`, `num_fds`, `created_at` (nanoseconds since
//!   1970), `voluntary_context_switches`, `involuntary_context_switches`, `minor_faults`,
//!   `major_faults` and the same of its children (`child_minor_faults`, ...), `read_count`,
//!   `write_count` (system calls), `read_bytes`, `write_bytes` (all reads and writes),
//!   `disk_read_bytes`, `disk_write_bytes` (those that reached a disk),
//! - `cpu`: `cpu_time_user`, `cpu_time_system`, `cpu_time_iowait` (seconds), `cpu_usage` (percent
//!   since the last gather; from the second on: `100 * change of (user + system) / time passed`,
//!   with `mode = "solaris"` divided by the number of processors),
//! - `limits`: `rlimit_<resource>_soft` and `_hard`, and `cpu_time` (whole seconds),
//!   `signals_pending`, `nice_priority` (20 less the nice value), `realtime_priority`. Unlimited is
//!   the largest number,
//! - `memory` (bytes): `memory_rss`, `memory_vms`, `memory_swap`, `memory_data`, `memory_stack`,
//!   `memory_locked`, and `memory_usage` (`100 * memory_rss / the host's memory`),
//! - `mmap` (bytes): `memory_size`, `memory_pss`, `memory_shared_clean`, `memory_shared_dirty`,
//!   `memory_private_clean`, `memory_private_dirty`, `memory_referenced`, `memory_anonymous`.
//!
//! What the agent may not read of a process is left out: `num_fds`, the counts of bytes and the
//! fields of `mmap` of other users' processes need root.
//!
//! Measurement `procstat_lookup`, one metric for each group of processes that was found together,
//! with the tags of the option, `pid_finder` and `result` (`success` or `lookup_error`):
//! `pid_count`, `running` (integers: how many were found, and how many of them still ran when they
//! were read), `result_code` (0 or 1).

mod finder;
mod options;
mod parser;
mod process;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use parking_lot::Mutex;
use serde_json::Value;
use toml::Table;

use self::finder::Found;
use self::options::Lookup;
pub(crate) use self::options::Procstat;
use self::process::Processes;
use self::report::{HostFacts, Seen};
use crate::Roots;
use crate::files::{cannot_read, read_trimmed};
use crate::meminfo;

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    let options = Procstat::parse(options)?;
    let lookups = options.lookups(&roots)?;
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    let seen = Mutex::new(Seen::default());
    let reader = Reader {
        options,
        lookups,
        roots,
        ticks_per_second,
        seen,
    };
    Ok(Box::new(ProcstatInput {
        reader: Arc::new(reader),
    }))
}

struct ProcstatInput {
    reader: Arc<Reader>,
}

/// What the thread that reads the processes needs.
struct Reader {
    options: Procstat,
    lookups: Vec<Lookup>,
    roots: Roots,
    ticks_per_second: f64,
    seen: Mutex<Seen>,
}

#[async_trait]
impl Input for ProcstatInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let reader = Arc::clone(&self.reader);
        let read = cx.blocking("read processes", move |work| {
            reader.read(|| work.is_cancelled())
        });
        let (metrics, failures) = read.await?;
        for metric in metrics.iter() {
            batch.push(metric);
        }
        failures.into_iter().for_each(|failure| cx.report(failure));
        Ok(())
    }

    fn state(&self) -> Option<Value> {
        serde_json::to_value(&*self.reader.seen.lock()).ok()
    }

    fn restore(&mut self, state: Value) {
        if let Ok(seen) = serde_json::from_value(state) {
            *self.reader.seen.lock() = seen;
        }
    }

    fn needs_two_gathers(&self) -> bool {
        true
    }
}

impl Reader {
    fn read(&self, cancelled: impl Fn() -> bool) -> (Batch, Vec<PluginError>) {
        let (mut batch, mut failures) = (Batch::new(), Vec::new());
        let processes = Processes::new(&self.roots);
        let host = self.host();
        let mut seen = Seen::at(host.uptime);
        for lookup in &self.lookups {
            match lookup.search.run(&processes) {
                Ok(groups) => {
                    for mut found in merged(groups) {
                        if let Some(narrow) = &lookup.narrow {
                            narrow.apply(&processes, &mut found);
                        }
                        if cancelled() {
                            return (batch, failures);
                        }
                        self.group(lookup, &host, &processes, &found, &mut seen, &mut batch);
                    }
                }
                Err(error) => {
                    self.lookup_metric(&lookup.tags, "lookup_error", (0, 0), &mut batch);
                    failures.push(error);
                }
            }
        }
        let unread = processes.failures();
        failures.extend(unread.map(|(path, error)| {
            cannot_read(path, std::io::Error::new(error.kind(), error.to_string()))
        }));
        *self.seen.lock() = seen;
        (batch, failures)
    }

    /// Reports the processes of a group, and the group.
    fn group(
        &self,
        lookup: &Lookup,
        host: &HostFacts,
        processes: &Processes<'_>,
        found: &Found,
        seen: &mut Seen,
        batch: &mut Batch,
    ) {
        let mut tags = lookup.tags.clone();
        tags.extend(found.tags.iter().cloned());
        let before = self.seen.lock();
        let mut running = 0;
        for member in &found.members {
            let Some(process) = processes.get(member.pid) else {
                continue;
            };
            running += 1;
            seen.note(process);
            let which = (process, *member);
            report::report(&self.options, host, &before, processes, which, &tags, batch);
        }
        self.lookup_metric(
            &tags,
            "success",
            (found.members.len() as i64, running),
            batch,
        );
    }

    fn lookup_metric(
        &self,
        tags: &[(&'static str, String)],
        result: &str,
        (count, running): (i64, i64),
        batch: &mut Batch,
    ) {
        let mut metric = batch.metric("procstat_lookup");
        metric
            .add_tag("pid_finder", self.options.pid_finder.as_str())
            .add_tag("result", result);
        for (key, value) in tags {
            metric.add_tag(*key, value);
        }
        metric
            .add_new_field("pid_count", count)
            .add_new_field("running", running)
            .add_new_field("result_code", i64::from(result != "success"));
        metric.untimed();
    }

    fn host(&self) -> HostFacts {
        let text = |path| read_trimmed(&self.roots.proc(path)).unwrap_or_default();
        let stat = text("stat");
        let [memory] = meminfo::pick(&text("meminfo"), ["MemTotal"]);
        let [booted] = meminfo::pick(&stat, ["btime"]);
        let uptime = text("uptime");
        let uptime = uptime
            .split_ascii_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        let cpus = stat
            .lines()
            .take_while(|line| line.starts_with("cpu"))
            .count();
        HostFacts {
            ticks_per_second: self.ticks_per_second,
            memory: memory.unwrap_or_default(),
            booted: booted
                .and_then(|booted| i64::try_from(booted).ok())
                .unwrap_or_default(),
            uptime: uptime.unwrap_or_default(),
            // The first line is the sum of the others.
            cpus: cpus.saturating_sub(1) as f64,
        }
    }
}

/// A search that finds no group at all still has a result: nothing.
fn merged(groups: Vec<Found>) -> Vec<Found> {
    if groups.is_empty() {
        vec![Found::default()]
    } else {
        groups
    }
}
