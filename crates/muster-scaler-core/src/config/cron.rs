//! The minutes to which an entry of a schedule applies.
//!
//! Own code, as it must only tell whether one minute is meant: the crates for it come with a calendar
//! search that nothing here needs, and with macro libraries that cost more to build than this crate.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use muster_options::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Time;

/// Minutes, as cron has them: minute, hour, day of month, month and day of week, each `*`, numbers,
/// ranges, steps or lists of those; months and days of the week also by name. If both days are
/// restricted, one of them must fit. Never, if empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

/// A text that is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("{0:?} has {1} fields: write minute, hour, day of month, month and day of week")]
    Fields(String, usize),
    /// A field that cannot be read.
    #[error("{0:?} is no {1}: write *, a number from {2} to {3}, a range, a step or a list")]
    Field(String, &'static str, u8, u8),
}

struct Field {
    what: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const MINUTE: Field = field("minute", 0, 59, &[]);
const HOUR: Field = field("hour", 0, 23, &[]);
const DAY: Field = field("day of month", 1, 31, &[]);
const MONTH: Field = field("month", 1, 12, &MONTHS);
const WEEKDAY: Field = field("day of week", 0, 7, &WEEKDAYS);
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fn field(what: &'static str, least: u8, most: u8, names: &'static [&'static str]) -> Field {
    Field {
        what,
        least,
        most,
        names,
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, CronError> {
        let wrong = || CronError::Field(text.to_owned(), self.what, self.least, self.most);
        let mut set = 0;
        for part in text.split(',') {
            set |= self.part(part).ok_or_else(wrong)?;
        }
        Ok(set)
    }

    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u8>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None if part.contains('/') => (self.number(range)?, self.most),
            None => (self.number(range)?, self.number(range)?),
        };
        let values = (from..=to).step_by(usize::from(step));
        (from <= to).then(|| values.fold(0, |set, value| set | 1 << value))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(place) => u8::try_from(place).ok()? + self.least,
            None => text.parse().ok()?,
        };
        (self.least..=self.most).contains(&number).then_some(number)
    }
}

impl Cron {
    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the minute is meant.
    pub fn matches(&self, at: DateTime) -> bool {
        let has =
            |set: u64, value: i8| u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1);
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        let days = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        has(self.minutes, at.minute())
            && has(self.hours, at.hour())
            && has(self.months, at.month())
            && days
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.is_empty() {
            return Ok(Self::default());
        }
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError::Fields(text.to_owned(), fields.len()));
        };
        let weekdays = WEEKDAY.read(weekday)?;
        Ok(Self {
            text: text.to_owned(),
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            // Sunday is 0 and 7.
            weekdays: weekdays | weekdays >> 7,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// The zone of a schedule's times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            name: String::new(),
            zone: TimeZone::UTC,
        }
    }
}

impl Zone {
    /// What clocks there show.
    pub fn clock(&self, at: Time) -> DateTime {
        let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
        self.zone.to_datetime(at)
    }
}

/// A zone that is not in the system's time zone database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time zone of this system: write for example \"Europe/Berlin\", or install tzdata"
)]
pub struct ZoneError(String);

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        if name.is_empty() {
            return Ok(Self::default());
        }
        let zone = TimeZone::get(name).map_err(|_| ZoneError(name.to_owned()))?;
        let name = name.to_owned();
        Ok(Self { name, zone })
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl JsonSchema for Cron {
    fn schema_name() -> Cow<'static, str> {
        "Cron".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cron: &str, at: &str, want: bool) {
        let read: Cron = cron.parse().unwrap();
        assert_eq!(read.matches(at.parse().unwrap()), want, "{cron} at {at}");
    }

    #[test]
    fn tells_which_minutes_are_meant() {
        // 2026-11-23 is a Monday.
        check("* 7-9 * * mon-fri", "2026-11-23T07:00", true);
        check("* 7-9 * * mon-fri", "2026-11-23T09:59", true);
        check("* 7-9 * * mon-fri", "2026-11-23T10:00", false);
        check("* 7-9 * * MON-FRI", "2026-11-22T08:00", false);
        check("*/15 * * * *", "2026-11-22T08:30", true);
        check("*/15 * * * *", "2026-11-22T08:31", false);
        check("5/20 * * * *", "2026-11-22T08:45", true);
        check("0,30 22-23 * * *", "2026-11-22T22:30", true);
        check("* * * feb,Nov *", "2026-11-22T00:00", true);
        check("* * * * 0", "2026-11-22T00:00", true);
        check("* * * * 7", "2026-11-22T00:00", true);
        check("* * 1 * mon", "2026-11-23T00:00", true);
        check("* * 1 * mon", "2026-12-01T00:00", true);
        check("* * 1 * *", "2026-11-23T00:00", false);
        check("", "2026-11-22T00:00", false);
    }

    #[test]
    fn says_which_field_is_wrong() {
        let wrong = |cron: &str| cron.parse::<Cron>().unwrap_err().to_string();
        assert!(wrong("* *").contains("has 2 fields"));
        assert!(wrong("60 * * * *").contains("\"60\" is no minute"));
        assert!(wrong("* 9-7 * * *").contains("\"9-7\" is no hour"));
        assert!(wrong("* * 0 * *").contains("is no day of month"));
        assert!(wrong("* * * thermidor *").contains("is no month"));
        assert!(wrong("* * * * mon-").contains("is no day of week"));
        assert!(wrong("*/0 * * * *").contains("is no minute"));
    }

    #[test]
    fn knows_the_zones_of_the_system() {
        assert!("Europe/Nowhere".parse::<Zone>().is_err());
        let utc = Zone::default().clock(Time::from_secs(0));
        assert_eq!(utc, "1970-01-01T00:00".parse().unwrap());
    }
}
