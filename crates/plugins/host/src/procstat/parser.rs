//! The files of a process, and `passwd`.

use std::collections::HashMap;

/// What `/proc/<pid>/stat` tells. Times are in ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: String,
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) minor_faults: u64,
    pub(super) child_minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) child_major_faults: u64,
    pub(super) user: u64,
    pub(super) system: u64,
    pub(super) nice: i64,
    pub(super) threads: i64,
    /// Ticks between boot and the start of the process.
    pub(super) started: u64,
    pub(super) realtime_priority: u64,
    /// Ticks of waiting for disks.
    pub(super) waited: u64,
}

impl Stat {
    /// Reads the file. The name in it may hold anything, also parentheses and spaces.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let words: Vec<&str> = tail.split_ascii_whitespace().collect();
        // The manual counts from one, and the state is the third.
        let word = |number: usize| words.get(number - 3);
        let count = |number| word(number)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            state: word(3)?.chars().next()?,
            parent: word(4)?.parse().ok()?,
            minor_faults: count(10)?,
            child_minor_faults: count(11)?,
            major_faults: count(12)?,
            child_major_faults: count(13)?,
            user: count(14)?,
            system: count(15)?,
            nice: word(19)?.parse().ok()?,
            threads: word(20)?.parse().ok()?,
            started: count(22)?,
            realtime_priority: count(40).unwrap_or_default(),
            waited: count(42).unwrap_or_default(),
        })
    }

    /// The state in a word.
    pub(super) fn status(&self) -> &'static str {
        match self.state {
            'R' => "running",
            'S' => "sleep",
            'D' => "blocked",
            'I' => "idle",
            'T' | 't' => "stop",
            'W' => "wait",
            'Z' => "zombie",
            'X' | 'x' => "dead",
            _ => "unknown",
        }
    }
}

/// The values of `/proc/<pid>/status` and `/proc/<pid>/io` by name, as texts.
pub(super) fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// The effective user of a process, from its `status`.
pub(super) fn uid(status: &str) -> Option<u32> {
    value(status, "Uid")?
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// How many signals wait for the process as a whole, from its `status`: a mask with a bit for each.
pub(super) fn pending_signals(status: &str) -> Option<u64> {
    let mask = u64::from_str_radix(value(status, "ShdPnd")?, 16).ok()?;
    Some(u64::from(mask.count_ones()))
}

/// The command line as people write it, from `/proc/<pid>/cmdline`.
pub(super) fn command_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\0').replace('\0', " ")
}

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The name that it has in fields.
    pub(super) name: &'static str,
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// Limits that are reported: the names in fields and in the file.
const LIMITS: [(&str, &str); 11] = [
    ("cpu_time", "Max cpu time"),
    ("memory_data", "Max data size"),
    ("memory_stack", "Max stack size"),
    ("memory_rss", "Max resident set"),
    ("num_fds", "Max open files"),
    ("memory_locked", "Max locked memory"),
    ("memory_vms", "Max address space"),
    ("file_locks", "Max file locks"),
    ("signals_pending", "Max pending signals"),
    ("nice_priority", "Max nice priority"),
    ("realtime_priority", "Max realtime priority"),
];

/// The limits of `/proc/<pid>/limits`. `unlimited` is the largest number.
pub(super) fn limits(text: &str) -> impl Iterator<Item = Limit> {
    text.lines().filter_map(|line| {
        let named = |(name, title): &(&'static str, &str)| {
            // "Max realtime priority" must not be taken for "Max realtime timeout" or the like.
            Some((*name, line.strip_prefix(title)?.strip_prefix(' ')?))
        };
        let (name, rest) = LIMITS.iter().find_map(named)?;
        let mut words = rest.split_ascii_whitespace().map(|word| match word {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        });
        Some(Limit {
            name,
            soft: words.next()??,
            hard: words.next()??,
        })
    })
}

/// The paths of the control groups of a process, from `/proc/<pid>/cgroup`.
pub(super) fn cgroups(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// The systemd unit that a path of control groups belongs to: its last part that can be one.
pub(super) fn unit(path: &str) -> Option<&str> {
    let kinds = [".service", ".scope", ".socket", ".mount", ".swap"];
    path.rsplit('/')
        .find(|part| kinds.iter().any(|kind| part.ends_with(kind)))
}

/// The names of users by number, from `/etc/passwd`.
pub(super) fn users(passwd: &str) -> HashMap<u32, String> {
    let user = |line: &str| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        Some((parts.nth(1)?.parse().ok()?, name.to_owned()))
    };
    passwd.lines().filter_map(user).collect()
}
