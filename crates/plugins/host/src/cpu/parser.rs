//! `/proc/stat` and `/proc/cpuinfo`.

use std::collections::BTreeMap;
use std::fmt;

/// A processor, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CpuId {
    Number(u32),
    Total,
}

impl CpuId {
    /// Reads what `Display` writes.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text.strip_prefix("cpu")? {
            "-total" => Some(Self::Total),
            number => number.parse().ok().map(Self::Number),
        }
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "cpu{number}"),
            Self::Total => f.write_str("cpu-total"),
        }
    }
}

/// The states, in the order in which they are reported: the names of their fields and their places
/// in [`Ticks`].
pub(super) const STATES: [State; 10] = [
    State {
        time: "time_user",
        usage: "usage_user",
        at: USER,
    },
    State {
        time: "time_system",
        usage: "usage_system",
        at: 2,
    },
    State {
        time: "time_idle",
        usage: "usage_idle",
        at: IDLE,
    },
    State {
        time: "time_nice",
        usage: "usage_nice",
        at: NICE,
    },
    State {
        time: "time_iowait",
        usage: "usage_iowait",
        at: 4,
    },
    State {
        time: "time_irq",
        usage: "usage_irq",
        at: 5,
    },
    State {
        time: "time_softirq",
        usage: "usage_softirq",
        at: 6,
    },
    State {
        time: "time_steal",
        usage: "usage_steal",
        at: 7,
    },
    State {
        time: "time_guest",
        usage: "usage_guest",
        at: GUEST,
    },
    State {
        time: "time_guest_nice",
        usage: "usage_guest_nice",
        at: GUEST_NICE,
    },
];

/// What a processor can be busy with.
pub(super) struct State {
    pub(super) time: &'static str,
    pub(super) usage: &'static str,
    pub(super) at: usize,
}

pub(super) const USER: usize = 0;
pub(super) const NICE: usize = 1;
pub(super) const IDLE: usize = 3;
pub(super) const GUEST: usize = 8;
pub(super) const GUEST_NICE: usize = 9;

/// Ticks since boot in each state, in the order of `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticks(pub(super) [u64; 10]);

impl Ticks {
    /// All states; the guests are in `user` and `nice` already.
    pub(super) fn total(&self) -> u64 {
        self.0[..GUEST]
            .iter()
            .fold(0, |sum, ticks| sum.saturating_add(*ticks))
    }

    /// All states but idle.
    pub(super) fn active(&self) -> u64 {
        self.total() - self.0[IDLE]
    }
}

/// The times of all processors, from `/proc/stat`. Lines that are not understood are left out.
pub(super) fn cpus(stat: &str) -> impl Iterator<Item = (CpuId, Ticks)> {
    stat.lines()
        .take_while(|line| line.starts_with("cpu"))
        .filter_map(cpu)
}

fn cpu(line: &str) -> Option<(CpuId, Ticks)> {
    let mut words = line.split_ascii_whitespace();
    let id = match words.next()? {
        "cpu" => CpuId::Total,
        name => CpuId::read(name)?,
    };
    let mut ticks = Ticks::default();
    let mut found = 0;
    // Old kernels know fewer states.
    for (slot, word) in ticks.0.iter_mut().zip(words) {
        *slot = word.parse().ok()?;
        found += 1;
    }
    (found > IDLE).then_some((id, ticks))
}

/// Where a processor sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CoreIds {
    core: Option<u32>,
    package: Option<u32>,
}

impl CoreIds {
    pub(super) fn tags(&self) -> impl Iterator<Item = (&'static str, u32)> + use<> {
        let tags = [("core_id", self.core), ("physical_id", self.package)];
        tags.into_iter()
            .filter_map(|(key, number)| Some((key, number?)))
    }
}

/// The cores and packages of the processors, from `/proc/cpuinfo`.
pub(super) fn cores(cpuinfo: &str) -> BTreeMap<u32, CoreIds> {
    let mut found: BTreeMap<u32, CoreIds> = BTreeMap::new();
    let mut current = None;
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let number: Option<u32> = value.trim().parse().ok();
        match key.trim() {
            "processor" => {
                current = number;
                found.extend(number.map(|n| (n, CoreIds::default())));
            }
            key @ ("core id" | "physical id") => {
                let Some(ids) = current.and_then(|n| found.get_mut(&n)) else {
                    continue;
                };
                match key {
                    "core id" => ids.core = number,
                    _ => ids.package = number,
                }
            }
            _ => {}
        }
    }
    found
}
