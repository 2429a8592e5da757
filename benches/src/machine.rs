//! What kind of machine this is.

use std::fmt;
use std::fs::read_to_string;

/// The machine and how busy it is when the measurements begin.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cores: usize,
    model: String,
    memory: String,
    kernel: String,
    load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let file = |path: &str| read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map_or_else(
                || "unknown".to_owned(),
                |rest| rest.trim_matches([' ', '\t', ':']).to_owned(),
            )
        };
        let memory = value(&file("/proc/meminfo"), "MemTotal:");
        let kib: Option<f64> = memory.split(' ').next().and_then(|n| n.parse().ok());
        let load = file("/proc/loadavg");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: value(&file("/proc/cpuinfo"), "model name"),
            memory: kib.map_or(memory, |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0)),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores,
            model,
            memory,
            kernel,
            load,
        } = self;
        write!(
            f,
            "{cores} cores of {model}, {memory} of memory, Linux {kernel}; \
             load average at the start: {load}"
        )
    }
}
