//! Numbers and times in few characters.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time span, as `1.2ms` or `3m20s`.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let ns = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => short(ns / 1e3, "µs"),
        1_000_000..1_000_000_000 => short(ns / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => short(ns / 1e9, "s"),
        _ => {
            let s = nanoseconds / 1_000_000_000;
            let (d, h, m, s) = (s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
            match (d, h) {
                (0, 0) => format!("{m}m{s:02}s"),
                (0, _) => format!("{h}h{m:02}m"),
                _ => format!("{d}d{h:02}h"),
            }
        }
    }
}

fn short(value: f64, unit: &str) -> String {
    if value < 9.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

/// How long ago a time was, both in nanoseconds since 1970.
pub(crate) fn ago(then: i64, now: i64) -> String {
    let seconds = now.saturating_sub(then).max(0).unsigned_abs() / 1_000_000_000;
    duration(seconds * 1_000_000_000)
        .replace("0ns", "0s")
        .replace(".0s", "s")
}

/// A number with few digits, as `12.3k`.
pub(crate) fn count(number: u64) -> String {
    scaled(
        number as f64,
        number,
        &["", "k", "M", "G", "T", "P", "E"],
        1000.0,
    )
}

/// A number of bytes, as `1.5 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    scaled(
        number as f64,
        number,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"],
        1024.0,
    )
}

fn scaled(value: f64, exact: u64, units: &[&str], step: f64) -> String {
    let mut value = value;
    let mut at = 0;
    while value >= 10_000.0_f64.min(step * 10.0) && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let unit = units[at];
    match at {
        0 => format!("{exact}{unit}"),
        _ if value < 99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// Something in a second, as `12.5` or `3.1k`.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        r if r < 0.005 => "0".to_owned(),
        r if r < 10.0 => format!("{r:.2}"),
        r if r < 100.0 => format!("{r:.1}"),
        r => count(r as u64),
    }
}

/// `1 input`, `2 inputs`.
pub(crate) fn plural(number: usize, word: &str) -> String {
    if number == 1 {
        format!("1 {word}")
    } else {
        format!("{number} {word}s")
    }
}

/// A time in nanoseconds since 1970 on this machine's clock.
pub(crate) fn clock(at: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(at)) {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let check = |ns, want: &str| assert_eq!(duration(ns), want);
        check(0, "0ns");
        check(999, "999ns");
        check(1_240, "1.2µs");
        check(45_600_000, "46ms");
        check(1_500_000_000, "1.5s");
        check(200_000_000_000, "3m20s");
        check(7_260_000_000_000, "2h01m");
        check(180_000_000_000_000, "2d02h");
        assert_eq!(ago(5, 4), "0s");
        assert_eq!(ago(0, 3_900_000_000), "3s");
        assert_eq!(ago(0, 61_000_000_000), "1m01s");
    }

    #[test]
    fn numbers_are_short() {
        let check = |n, want: &str| assert_eq!(count(n), want);
        check(0, "0");
        check(9_999, "9999");
        check(12_345, "12.3k");
        check(1_234_567, "1235k");
        check(12_345_678, "12.3M");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(20 << 20), "20.0 MiB");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.1), "0.10");
        assert_eq!(rate(1234.5), "1234");
        assert_eq!(plural(1, "input"), "1 input");
        assert_eq!(plural(0, "input"), "0 inputs");
    }
}
