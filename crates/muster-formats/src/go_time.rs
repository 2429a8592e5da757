//! Times as Go writes them down: by an example of a reference time, or as Unix time.
//!
//! A layout is the reference time `Mon Jan 2 15:04:05 MST 2006` in the form that the times have:
//! `2006-01-02 15:04:05.000`. Also understood: the names of Go's own layouts (`RFC3339`,
//! `RFC1123Z`, `ANSIC`, ...), in any case, and `unix`, `unix_ms`, `unix_us`, `unix_ns`.
//!
//! ```
//! use muster_formats::go_time::{TimeFormat, zone};
//! use muster_metric::Timestamp;
//!
//! let format = TimeFormat::new("02/Jan/2006 15:04:05").unwrap();
//! let time = format.read("13/Sep/2018 15:03:28", &zone("Europe/Rome").unwrap()).unwrap();
//! assert_eq!(time, Timestamp::from_seconds(1_536_843_808));
//! assert_eq!(format.show(time, &zone("UTC").unwrap()), "13/Sep/2018 13:03:28");
//! ```

mod layout;
mod read;
mod write;

use jiff::tz::TimeZone;
use muster_metric::Timestamp;

use layout::Layout;

/// How a time is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// A number of units since 1970; the unit in nanoseconds. Fractions are allowed.
    Unix(i64),
    /// By a layout.
    Layout(TimeLayout),
}

/// A layout, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLayout(Layout);

/// A time or a layout that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The layout mentions nothing of the reference time.
    #[error(
        "{0:?} is no time format: write unix, unix_ms, unix_us, unix_ns, or the reference time \
         `Mon Jan 2 15:04:05 MST 2006` the way your times look"
    )]
    Format(String),
    /// There is no such zone, or this machine does not know it.
    #[error("there is no time zone {0:?}")]
    Zone(String),
    /// The time does not follow the layout.
    #[error("time {time} is not written as {layout:?}: {wanted}")]
    Mismatch {
        /// The time, shortened.
        time: String,
        /// The layout.
        layout: String,
        /// What was wanted where it stopped.
        wanted: String,
    },
    /// The time is no Unix time.
    #[error("time {0} is no number")]
    Number(String),
    /// The time is before 1677 or after 2262.
    #[error("time {0} is outside of the years 1677 to 2262")]
    Range(String),
}

/// The zone of that name: IANA's, `UTC` or nothing for UTC, `Local` for this machine's.
///
/// # Errors
/// If it is not known.
pub fn zone(name: &str) -> Result<TimeZone, TimeError> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name).map_err(|_| TimeError::Zone(name.to_owned())),
    }
}

impl TimeFormat {
    /// The format of that name, or by that layout.
    ///
    /// # Errors
    /// If the text mentions nothing of the reference time: then it would match only itself.
    pub fn new(text: &str) -> Result<Self, TimeError> {
        Ok(match text {
            "unix" => Self::Unix(1_000_000_000),
            "unix_ms" => Self::Unix(1_000_000),
            "unix_us" => Self::Unix(1_000),
            "unix_ns" => Self::Unix(1),
            text => {
                let layout = Layout::new(layout::named(text).unwrap_or(text));
                if layout.is_plain() {
                    return Err(TimeError::Format(text.to_owned()));
                }
                Self::Layout(TimeLayout(layout))
            }
        })
    }

    /// Reads a time. `zone` is for times that do not say theirs. A time without a year is taken
    /// to be of the current one.
    ///
    /// # Errors
    /// If the text is not so written or the time does not fit.
    pub fn read(&self, text: &str, zone: &TimeZone) -> Result<Timestamp, TimeError> {
        match self {
            Self::Unix(unit) => read_unix(text, *unit),
            Self::Layout(TimeLayout(layout)) => read::read(layout, text, zone),
        }
    }

    /// Writes a time, as seen in `zone`.
    pub fn write(&self, time: Timestamp, zone: &TimeZone, out: &mut String) {
        match self {
            // Times before 1970 round down, as the instant lies in that second.
            Self::Unix(unit) => out.push_str(&time.nanos().div_euclid(*unit).to_string()),
            Self::Layout(TimeLayout(layout)) => write::write(layout, time, zone, out),
        }
    }

    /// As [`write`](Self::write), into a text of its own.
    pub fn show(&self, time: Timestamp, zone: &TimeZone) -> String {
        let mut out = String::new();
        self.write(time, zone, &mut out);
        out
    }
}

/// A decimal number of units, exactly: no detour by floats.
fn read_unix(text: &str, unit: i64) -> Result<Timestamp, TimeError> {
    let wrong = || TimeError::Number(crate::format::excerpt(text));
    let range = || TimeError::Range(crate::format::excerpt(text));
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(wrong());
    }
    let mut nanos = match whole {
        "" => 0,
        whole => whole
            .parse::<i64>()
            .ok()
            .and_then(|n| n.checked_mul(unit))
            .ok_or_else(range)?,
    };
    let mut weight = unit;
    for digit in fraction.bytes() {
        weight /= 10;
        nanos = nanos
            .checked_add(i64::from(digit - b'0') * weight)
            .ok_or_else(range)?;
    }
    Ok(Timestamp::from_nanos(if negative { -nanos } else { nanos }))
}

#[cfg(test)]
mod tests;
