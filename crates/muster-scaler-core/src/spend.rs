//! What servers have cost: by the day (UTC) in hours, by the month in money.
//!
//! A server is billed from its request until nobody has it any more. What those in the ledger have
//! cost is reckoned when it is asked for; what those that left it have cost stands in the pool's
//! [`Tally`].

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::memory::Tally;
use crate::server::Server;

const DAY: i64 = 24 * 3600 * 1000;
const HOUR: f64 = 3600.0 * 1000.0;
/// Whole numbers come back from disk as they were; sums of fractions need not.
const MILLION: f64 = 1e6;

/// What was spent on the day and in the month of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Hours of servers on the day.
    pub day_hours: f64,
    /// Money in the month.
    pub month_money: f64,
}

impl Spent {
    /// What a pool has spent by `now`.
    pub fn reckon<'a>(
        tally: &Tally,
        servers: impl IntoIterator<Item = &'a Server>,
        now: Time,
    ) -> Self {
        let mut all = *tally;
        for server in servers {
            all.add(server, now);
        }
        all.turn(now);
        Self {
            day_hours: all.day_millis as f64 / HOUR,
            month_money: all.month_millionths as f64 / MILLION,
        }
    }
}

impl Tally {
    /// Adds what a server has cost by `until`, on that day and in that month.
    pub(crate) fn add(&mut self, server: &Server, until: Time) {
        self.turn(until);
        let Some(from) = server.requested else {
            return;
        };
        let today = until.since(from.max(day_begins(self.day)));
        let month = until.since(from.max(month_begins(self.month)));
        self.day_millis = self.day_millis.saturating_add(millis(today));
        let money = month.as_millis() as f64 / HOUR * server.price_per_hour;
        let millionths = (money * MILLION).round() as u64;
        self.month_millionths = self.month_millionths.saturating_add(millionths);
    }

    /// A new day or month begins with nothing.
    fn turn(&mut self, now: Time) {
        let (day, month) = (now.millis().div_euclid(DAY), month_of(now));
        if day > self.day {
            self.day = day;
            self.day_millis = 0;
        }
        if month > self.month {
            self.month = month;
            self.month_millionths = 0;
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn day_begins(day: i64) -> Time {
    Time::from_millis(day.saturating_mul(DAY))
}

fn month_of(at: Time) -> i64 {
    let date = Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    let date = TimeZone::UTC.to_datetime(date).date();
    (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1
}

fn month_begins(month: i64) -> Time {
    let year = i16::try_from(1970 + month.div_euclid(12)).unwrap_or(i16::MAX);
    let number = i8::try_from(month.rem_euclid(12) + 1).unwrap_or(1);
    let first = Date::new(year, number, 1).and_then(|date| date.to_zoned(TimeZone::UTC));
    Time::from_millis(first.map_or(0, |first| first.timestamp().as_millisecond()))
}
