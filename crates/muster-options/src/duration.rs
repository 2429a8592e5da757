//! Durations in Go's notation, with days, as Telegraf's configuration has them.

use std::fmt;
use std::ops::Deref;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A duration in configuration: `"1m30s"`, `"1.5h"`, `"2d"`, or a number of seconds.
///
/// Never negative; at most about 292 years, as in Go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(StdDuration);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(StdDuration::ZERO);

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(StdDuration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(StdDuration::from_millis(millis))
    }

    /// The standard library's type.
    pub const fn get(self) -> StdDuration {
        self.0
    }
}

impl Deref for Duration {
    type Target = StdDuration;
    fn deref(&self) -> &StdDuration {
        &self.0
    }
}

impl From<StdDuration> for Duration {
    fn from(d: StdDuration) -> Self {
        Self(d)
    }
}

impl From<Duration> for StdDuration {
    fn from(d: Duration) -> Self {
        d.0
    }
}

impl std::str::FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, ParseDurationError> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Not of the form number-unit-number-unit.
    #[error("{0:?} is no duration: write for example \"10s\", \"1m30s\", \"500ms\" or \"2d\"")]
    Syntax(String),
    /// Below zero.
    #[error("{0:?} is negative; a duration here is at least zero")]
    Negative(String),
    /// More than fits into 64 bits of nanoseconds.
    #[error("{0:?} is too long; the longest duration is about 292 years")]
    TooLong(String),
}

/// Reads a duration: Go's notation (`h`, `m`, `s`, `ms`, `us`, `µs`, `ns`, fractions), also days
/// (`d`), a bare number of seconds, or nothing at all for zero.
///
/// # Errors
/// If the text is none of these, negative, or too long.
pub fn parse_duration(text: &str) -> Result<StdDuration, ParseDurationError> {
    let syntax = || ParseDurationError::Syntax(text.to_owned());
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(StdDuration::ZERO);
    }
    if let Some(rest) = trimmed.strip_prefix('-') {
        return match parse_duration(rest) {
            Ok(StdDuration::ZERO) => Ok(StdDuration::ZERO),
            Ok(_) | Err(ParseDurationError::TooLong(_)) => {
                Err(ParseDurationError::Negative(text.to_owned()))
            }
            Err(_) => Err(syntax()),
        };
    }
    let digits_only = trimmed
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.' || b == b'e');
    if digits_only && let Ok(seconds) = trimmed.parse::<f64>() {
        return from_seconds(seconds).ok_or_else(|| ParseDurationError::TooLong(text.to_owned()));
    }
    let mut rest = trimmed.strip_prefix('+').unwrap_or(trimmed);
    let mut nanos = 0f64;
    let mut whole = 0u128;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(syntax)?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let scale: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(syntax()),
        };
        if let Ok(count) = number.parse::<u64>() {
            whole = whole.saturating_add(u128::from(count) * u128::from(scale));
        } else {
            nanos += number.parse::<f64>().map_err(|_| syntax())? * scale as f64;
        }
        rest = tail;
    }
    let total = whole.saturating_add(nanos.round() as u128);
    match i64::try_from(total) {
        Ok(total) => Ok(StdDuration::from_nanos(total.unsigned_abs())),
        Err(_) => Err(ParseDurationError::TooLong(text.to_owned())),
    }
}

fn from_seconds(seconds: f64) -> Option<StdDuration> {
    let nanos = seconds * 1e9;
    (nanos.is_finite() && nanos >= 0.0 && nanos < i64::MAX as f64)
        .then(|| StdDuration::from_nanos(nanos.round() as u64))
}

/// Writes a duration in the notation that [`parse_duration`] reads, in its shortest form:
/// `90s` becomes `1m30s`, `10s` stays `10s`.
pub fn format_duration(d: StdDuration) -> String {
    let nanos = d.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let (sub, unit) = match nanos {
        n if n < 1_000 => return format!("{n}ns"),
        n if n < 1_000_000 => (n as f64 / 1e3, "us"),
        n if n < 1_000_000_000 => (n as f64 / 1e6, "ms"),
        _ => (0.0, ""),
    };
    if !unit.is_empty() {
        return format!("{sub}{unit}");
    }
    let seconds = d.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = (nanos - u128::from(hours * 3600 + minutes * 60) * 1_000_000_000) as f64 / 1e9;
    let mut out = String::new();
    if hours > 0 {
        out.push_str(&format!("{hours}h"));
    }
    if minutes > 0 {
        out.push_str(&format!("{minutes}m"));
    }
    if rest > 0.0 {
        out.push_str(&format!("{rest}s"));
    }
    out
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"10s\" or a number of seconds")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Duration, E> {
                parse_duration(v).map(Duration).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Duration, E> {
                self.visit_str(&v.to_string())
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Duration, E> {
                self.visit_str(&v.to_string())
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Duration, E> {
                let wrong = || E::custom(ParseDurationError::Syntax(v.to_string()));
                from_seconds(v).map(Duration).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "format": "duration" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_go_notation_days_and_seconds() {
        let check = |text, millis: u128| {
            let got = parse_duration(text).map(|d| d.as_millis());
            assert_eq!(got, Ok(millis), "{text}");
        };
        check("10s", 10_000);
        check("1m30s", 90_000);
        check("1.5h", 5_400_000);
        check("2d", 172_800_000);
        check("500ms", 500);
        check("1h0m0.5s", 3_600_500);
        check("10", 10_000);
        check("0.25", 250);
        check("", 0);
        check("0", 0);
        check("-0s", 0);
        check("5000us", 5);
        check("5000µs", 5);
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["x", "10", "s", "10x", "1h-3m", "1..5s", "10 s", "١s"] {
            let ok = parse_duration(text).is_ok();
            assert_eq!(ok, text == "10", "{text}");
        }
        assert!(matches!(
            parse_duration("-1s"),
            Err(ParseDurationError::Negative(_))
        ));
        assert!(matches!(
            parse_duration("300000d"),
            Err(ParseDurationError::TooLong(_))
        ));
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(nanos in 0u64..1_000_000_000_000_000) {
            let d = StdDuration::from_nanos(nanos);
            let back = parse_duration(&format_duration(d)).unwrap();
            let off = back.abs_diff(d);
            prop_assert!(off <= StdDuration::from_nanos(1), "{d:?} -> {} -> {back:?}", format_duration(d));
        }

        #[test]
        fn never_panics(text in ".{0,24}") {
            let _ = parse_duration(&text);
        }
    }
}
