//! Reports for people: plain text, and a page that can be sent to who owns the service. For
//! programs, [`Verdict`](crate::Verdict) and the others serialize.

mod chart;
mod html;
mod text;

pub use html::{Page, Target, html};
pub use text::{changes, rows, verdict};

/// A time span of so many seconds, in its largest unit: `3 h`.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A size of so many bytes: `1.5 MiB`.
fn size(bytes: u64) -> String {
    match bytes as f64 / 1024.0 {
        kib if kib < 1024.0 => format!("{kib:.0} KiB"),
        kib if kib < 1024.0 * 1024.0 => format!("{:.1} MiB", kib / 1024.0),
        kib => format!("{:.1} GiB", kib / 1024.0 / 1024.0),
    }
}

/// A rate, with its sign: `+3600`.
fn rate(per_hour: f64) -> String {
    if per_hour.abs() < 10.0 {
        format!("{per_hour:+.1}")
    } else {
        format!("{per_hour:+.0}")
    }
}

#[cfg(test)]
mod tests;
