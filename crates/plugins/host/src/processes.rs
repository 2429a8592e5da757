//! `processes`: how many processes there are in each state.
//!
//! Read from `/proc/<pid>/stat` of every process. Measurement `processes` (gauges, integers, no
//! tags):
//!
//! - `running`, `sleeping`, `blocked` (waits for a disk or the like and cannot be interrupted),
//!   `stopped`, `zombies`, `dead`, `paging` (kernels before 2.6), `idle` (kernel threads with
//!   nothing to do), `parked`, `unknown`,
//! - `total`: the sum of these,
//! - `total_threads`: the threads of all processes.
//!
//! Processes that end meanwhile are not counted.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::{OptionError, Options};
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::Roots;
use crate::files::{cannot_read, numbered, read_bytes};

/// Accepted for the sake of configurations from other systems.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Processes {
    /// Has no effect: processes are read from `/proc`, which needs no privileges.
    use_sudo: bool,
    /// Must be false: processes are read from `/proc`, never with `ps`.
    force_ps: bool,
    /// Has no effect: processes are always read from `/proc`.
    force_proc: bool,
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    if Processes::parse(options)?.force_ps {
        let error = OptionError::new("force_ps", "cannot ask `ps`");
        return Err(vec![
            error.with_hint("leave it out: processes are read from /proc"),
        ]);
    }
    Ok(Box::new(ProcessesInput { roots }))
}

struct ProcessesInput {
    roots: Roots,
}

#[async_trait]
impl Input for ProcessesInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let proc = self.roots.proc("");
        let counts = cx
            .blocking("count processes", move |work| {
                count(&proc, || work.is_cancelled())
            })
            .await??;
        let mut metric = batch.metric("processes").kind(MetricType::Gauge);
        for ((field, _), count) in STATES.iter().zip(counts.states) {
            metric.add_new_field(*field, count);
        }
        metric
            .add_new_field("unknown", counts.unknown)
            .add_new_field("total", counts.states.iter().sum::<i64>() + counts.unknown)
            .add_new_field("total_threads", counts.threads);
        metric.untimed();
        Ok(())
    }
}

/// The fields with the letters that the kernel has for the states.
const STATES: [(&str, &str); 9] = [
    ("blocked", "DU"),
    ("zombies", "Z"),
    ("stopped", "Tt"),
    ("running", "R"),
    ("sleeping", "S"),
    ("dead", "Xx"),
    ("paging", "W"),
    ("idle", "I"),
    ("parked", "P"),
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    states: [i64; STATES.len()],
    unknown: i64,
    threads: i64,
}

impl Counts {
    fn add(&mut self, process: Process) {
        match STATES
            .iter()
            .position(|(_, letters)| letters.contains(process.state))
        {
            Some(at) => self.states[at] += 1,
            None => self.unknown += 1,
        }
        self.threads = self.threads.saturating_add(process.threads);
    }
}

fn count(proc: &Path, cancelled: impl Fn() -> bool) -> Result<Counts, PluginError> {
    let mut counts = Counts::default();
    let mut buffer = Vec::new();
    for pid in numbered(proc).map_err(|error| cannot_read(proc, error))? {
        if cancelled() {
            break;
        }
        let path = proc.join(pid.to_string()).join("stat");
        match read_bytes(&path, &mut buffer) {
            Ok(stat) => counts.add(Process::of(stat).unwrap_or(Process::UNKNOWN)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // ESRCH: it ended between open and read.
            Err(error) if error.raw_os_error() == Some(3) => {}
            Err(_) => counts.add(Process::UNKNOWN),
        }
    }
    Ok(counts)
}

/// What counts of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    state: char,
    threads: i64,
}

impl Process {
    const UNKNOWN: Self = Self {
        state: '?',
        threads: 0,
    };

    /// Reads `/proc/<pid>/stat`. The name in it may hold anything, also parentheses and spaces.
    fn of(stat: &[u8]) -> Option<Self> {
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let text = std::str::from_utf8(&stat[after_name..]).ok()?;
        let mut words = text.split_ascii_whitespace();
        let state = words.next()?.chars().next()?;
        Some(Self {
            state,
            threads: words.nth(16)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Host, check, gather_live};

    fn stat(name: &str, state: char, threads: u32) -> String {
        format!("7 ({name}) {state} 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 {threads} 0 9 1 2\n")
    }

    #[test]
    fn counts_by_state() {
        let host = Host::server()
            .write("proc/7/stat", stat("a b) R (", 'S', 3))
            .write("proc/8/stat", stat("x", 'R', 2))
            .write("proc/9/stat", stat("x", 'D', 1))
            .write("proc/10/stat", stat("x", 'I', 1))
            .write("proc/11/stat", stat("x", 'Z', 1))
            .write("proc/12/stat", stat("x", 'q', 1))
            .write("proc/13/stat", "garbage")
            .write("proc/14/status", "ended meanwhile");
        check(
            build,
            "",
            &host,
            &[concat!(
                "processes blocked=1i,zombies=1i,stopped=0i,running=1i,sleeping=1i,dead=0i,paging=0i,",
                "idle=1i,parked=0i,unknown=2i,total=7i,total_threads=9i",
            )],
        );
    }

    #[test]
    fn ps_is_refused_and_the_other_options_do_nothing() {
        let table = toml::from_str("use_sudo = true\nforce_proc = true").unwrap();
        assert!(build(&table, Roots::from_env()).is_ok());
        let table = toml::from_str("force_ps = true").unwrap();
        assert_eq!(
            build(&table, Roots::from_env()).err().unwrap()[0].path,
            "force_ps"
        );
    }

    #[test]
    fn counts_this_machine() {
        let (batch, reports) = gather_live(build, "");
        assert!(reports.is_empty(), "{reports:?}");
        let metric = batch.iter().next().unwrap();
        let field = |name| metric.field(name).unwrap().as_f64().unwrap();
        assert!(field("total") >= 1.0 && field("total_threads") >= field("total"));
        assert_eq!(field("unknown"), 0.0);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,20}[)] ?([-0-9A-Z)( ]{0,8}){0,20}") {
            Process::of(text.as_bytes());
        }
    }
}
