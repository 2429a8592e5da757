//! `/proc/loadavg`, `/proc/uptime`, `utmp`, and counting processors.

use std::collections::BTreeSet;

/// The load over one, five and fifteen minutes.
pub(super) fn loadavg(text: &str) -> Option<[f64; 3]> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    Some([words.next()??, words.next()??, words.next()??])
}

/// Whole seconds since boot.
pub(super) fn uptime(text: &str) -> Option<u64> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds as u64)
}

/// Days, hours and minutes: `14 days, 11:07`.
pub(super) fn format_uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    format!("{days}{hours:>2}:{minutes:02}")
}

/// How many processors `/proc/stat` lists.
pub(super) fn count_cpus(stat: &str) -> i64 {
    let lines = stat.lines().take_while(|line| line.starts_with("cpu"));
    lines
        .filter(|line| line.as_bytes().get(3).is_some_and(u8::is_ascii_digit))
        .count() as i64
}

/// How many cores `/proc/cpuinfo` lists; nothing if it does not tell.
pub(super) fn count_cores(cpuinfo: &str) -> Option<i64> {
    let mut package = "";
    let mut cores = BTreeSet::new();
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key.trim() {
            "physical id" => package = value.trim(),
            "core id" => {
                cores.insert((package, value.trim()));
            }
            _ => {}
        }
    }
    (!cores.is_empty()).then_some(cores.len() as i64)
}

/// Who is logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) logins: i64,
    pub(super) names: i64,
}

/// The size of a record of `utmp` with glibc and with musl, on all 64-bit processors and those
/// 32-bit ones that share the layout.
const RECORD: usize = 384;
const USER_PROCESS: i16 = 7;

/// Counts the logins of an `utmp` file.
pub(super) fn users(utmp: &[u8]) -> Users {
    let mut logins = 0;
    let mut names: BTreeSet<&[u8]> = BTreeSet::new();
    for record in utmp.chunks_exact(RECORD) {
        if i16::from_ne_bytes([record[0], record[1]]) != USER_PROCESS {
            continue;
        }
        logins += 1;
        let name = &record[44..76];
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        names.insert(&name[..end]);
    }
    Users {
        logins,
        names: names.len() as i64,
    }
}
