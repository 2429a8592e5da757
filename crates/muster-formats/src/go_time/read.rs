//! Reading a time by a layout.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset as UtcOffset, TimeZone};
use muster_metric::Timestamp;

use super::TimeError;
use super::layout::{Layout, MONTHS, Offset, Pad, Part, Piece, WEEKDAYS};
use crate::format::excerpt;

/// What a text said of a time.
#[derive(Debug, Default)]
struct Said {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone_name: Option<String>,
}

pub(super) fn read(layout: &Layout, text: &str, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    let mismatch = |wanted: &str| TimeError::Mismatch {
        time: excerpt(text),
        layout: layout.source.clone(),
        wanted: wanted.to_owned(),
    };
    let said = take_apart(layout, text).map_err(|wanted| mismatch(&wanted))?;
    let civil = civil(&said).map_err(mismatch)?;
    instant(civil, &said, zone).ok_or_else(|| TimeError::Range(excerpt(text)))
}

fn take_apart(layout: &Layout, text: &str) -> Result<Said, String> {
    let mut said = Said::default();
    let mut rest = text;
    for (at, piece) in layout.pieces.iter().enumerate() {
        let part = match piece {
            Piece::Text(wanted) => {
                rest = skip(rest, wanted).ok_or_else(|| format!("wanted {wanted:?}"))?;
                continue;
            }
            Piece::Part(part) => *part,
        };
        rest = take(part, rest, &mut said).ok_or_else(|| wanted(part).to_owned())?;
        // A fraction may follow the seconds although the layout has none.
        let fraction_is_next = matches!(
            layout.pieces.get(at + 1),
            Some(Piece::Part(Part::Fraction { .. }))
        );
        if matches!(part, Part::Second(_)) && !fraction_is_next {
            rest = take_fraction(rest, None, &mut said).unwrap_or(rest);
        }
    }
    if rest.is_empty() {
        Ok(said)
    } else {
        Err(format!("did not expect {}", excerpt(rest)))
    }
}

/// Takes the literal text off; a space in it matches any number of spaces.
fn skip<'a>(mut text: &'a str, mut wanted: &str) -> Option<&'a str> {
    while let Some(first) = wanted.chars().next() {
        if first == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            wanted = wanted.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
        } else {
            text = text.strip_prefix(first)?;
            wanted = &wanted[first.len_utf8()..];
        }
    }
    Some(text)
}

fn take<'a>(part: Part, text: &'a str, said: &mut Said) -> Option<&'a str> {
    match part {
        Part::Year => {
            let (year, rest) = digits(text, 4, 4)?;
            said.year = Some(year as i16);
            Some(rest)
        }
        Part::ShortYear => {
            let (year, rest) = digits(text, 2, 2)?;
            said.year = Some(if year >= 69 { 1900 } else { 2000 } + year as i16);
            Some(rest)
        }
        Part::MonthName => {
            let (month, rest) = word(text, &MONTHS, None)?;
            said.month = Some(month as i8 + 1);
            Some(rest)
        }
        Part::ShortMonthName => {
            let (month, rest) = word(text, &MONTHS, Some(3))?;
            said.month = Some(month as i8 + 1);
            Some(rest)
        }
        Part::WeekdayName => word(text, &WEEKDAYS, None).map(|(_, rest)| rest),
        Part::ShortWeekdayName => word(text, &WEEKDAYS, Some(3)).map(|(_, rest)| rest),
        Part::Month(pad) => number(text, pad, 1..=12).map(|(month, rest)| {
            said.month = Some(month);
            rest
        }),
        Part::Day(pad) => number(text, pad, 0..=31).map(|(day, rest)| {
            said.day = Some(day);
            rest
        }),
        Part::YearDay(pad) => {
            let text = if pad == Pad::Space {
                text.trim_start_matches(' ')
            } else {
                text
            };
            let (day, rest) = digits(text, if pad == Pad::Zero { 3 } else { 1 }, 3)?;
            said.year_day = Some(day as i16);
            Some(rest)
        }
        Part::Hour => set(&mut said.hour, number(text, Pad::None, 0..=23)),
        Part::Hour12(pad) => set(&mut said.hour, number(text, pad, 0..=12)),
        Part::Minute(pad) => set(&mut said.minute, number(text, pad, 0..=59)),
        Part::Second(pad) => set(&mut said.second, number(text, pad, 0..=59)),
        Part::Fraction { digits, fixed, .. } => {
            let taken = take_fraction(text, fixed.then_some(digits), said);
            if fixed { taken } else { taken.or(Some(text)) }
        }
        Part::HalfDay { upper } => {
            let words = if upper { ["AM", "PM"] } else { ["am", "pm"] };
            let afternoon = words.iter().position(|word| text.starts_with(word))? == 1;
            said.afternoon = Some(afternoon);
            Some(&text[2..])
        }
        Part::ZoneName => take_zone_name(text, said),
        Part::Offset(form) => take_offset(text, form, said),
    }
}

fn wanted(part: Part) -> &'static str {
    match part {
        Part::Year => "wanted a year of four digits",
        Part::ShortYear => "wanted a year of two digits",
        Part::MonthName | Part::ShortMonthName => "wanted the name of a month",
        Part::Month(_) => "wanted a month from 1 to 12",
        Part::WeekdayName | Part::ShortWeekdayName => "wanted the name of a weekday",
        Part::Day(_) => "wanted a day from 1 to 31",
        Part::YearDay(_) => "wanted a day of the year",
        Part::Hour | Part::Hour12(_) => "wanted an hour",
        Part::Minute(_) => "wanted a minute",
        Part::Second(_) => "wanted a second",
        Part::Fraction { .. } => "wanted a fraction of a second",
        Part::HalfDay { .. } => "wanted AM or PM",
        Part::ZoneName => "wanted the abbreviation of a time zone",
        Part::Offset(_) => "wanted an offset from UTC",
    }
}

fn set<'a>(slot: &mut i8, taken: Option<(i8, &'a str)>) -> Option<&'a str> {
    let (number, rest) = taken?;
    *slot = number;
    Some(rest)
}

/// A number of `least` to `most` digits.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if count < least {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// A number of one or two digits, padded as the layout says, within bounds.
fn number(text: &str, pad: Pad, bounds: std::ops::RangeInclusive<i8>) -> Option<(i8, &str)> {
    let text = if pad == Pad::Space {
        text.strip_prefix(' ').unwrap_or(text)
    } else {
        text
    };
    let (number, rest) = digits(text, if pad == Pad::Zero { 2 } else { 1 }, 2)?;
    let number = i8::try_from(number).ok().filter(|n| bounds.contains(n))?;
    Some((number, rest))
}

/// One of the words, in any case, whole or by so many letters.
fn word<'a>(text: &'a str, words: &[&str], letters: Option<usize>) -> Option<(usize, &'a str)> {
    words.iter().enumerate().find_map(|(at, word)| {
        let word = &word[..letters.unwrap_or(word.len())];
        let start = text.get(..word.len())?;
        start
            .eq_ignore_ascii_case(word)
            .then(|| (at, &text[word.len()..]))
    })
}

/// A point or comma and digits: exactly so many, or any number of them.
fn take_fraction<'a>(text: &'a str, exactly: Option<usize>, said: &mut Said) -> Option<&'a str> {
    let digits = text.strip_prefix(['.', ','])?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let count = exactly.unwrap_or(count);
    let (fraction, rest) = digits.split_at_checked(count)?;
    if count == 0 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut weight = 1_000_000_000;
    said.nanos = 0;
    for digit in fraction.bytes() {
        weight /= 10;
        said.nanos += i32::from(digit - b'0') * weight;
    }
    Some(rest)
}

/// `UTC`, `GMT+3`, `+03`, or three to five capital letters.
fn take_zone_name<'a>(text: &'a str, said: &mut Said) -> Option<&'a str> {
    let hours = |text: &'a str| -> Option<(i32, &'a str)> {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let (hours, rest) = digits(text.strip_prefix(['+', '-'])?, 1, 2)?;
        (hours <= 23).then_some((sign * hours as i32 * 3600, rest))
    };
    if let Some((offset, rest)) = hours(text) {
        said.offset = Some(offset);
        return Some(rest);
    }
    let count = text
        .bytes()
        .take(6)
        .take_while(u8::is_ascii_uppercase)
        .count();
    if !(3..=5).contains(&count) {
        return None;
    }
    let (name, rest) = text.split_at(count);
    if name == "UTC" {
        said.offset = Some(0);
        return Some(rest);
    }
    if name == "GMT"
        && let Some((offset, rest)) = hours(rest)
    {
        said.offset = Some(offset);
        return Some(rest);
    }
    said.zone_name = Some(name.to_owned());
    Some(rest)
}

fn take_offset<'a>(text: &'a str, form: Offset, said: &mut Said) -> Option<&'a str> {
    if form.z && text.starts_with('Z') {
        said.offset = Some(0);
        return Some(&text[1..]);
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut rest = &text[1..];
    let mut seconds = 0;
    for (at, (weight, most)) in [(3600, 24), (60, 60), (1, 60)].into_iter().enumerate() {
        if at == form.numbers {
            break;
        }
        if at > 0 && form.colons {
            rest = rest.strip_prefix(':')?;
        }
        let (number, after) = digits(rest, 2, 2)?;
        if number > most {
            return None;
        }
        seconds += number as i32 * weight;
        rest = after;
    }
    said.offset = Some(sign * seconds);
    Some(rest)
}

fn civil(said: &Said) -> Result<DateTime, &'static str> {
    let this_year = || jiff::Timestamp::now().to_zoned(TimeZone::UTC).year();
    let year = said.year.unwrap_or_else(this_year);
    let hour = match said.afternoon {
        Some(true) if said.hour < 12 => said.hour + 12,
        Some(false) if said.hour == 12 => 0,
        _ => said.hour,
    };
    let date = match said.year_day {
        Some(day) if said.month.is_none() && said.day.is_none() => Date::new(year, 1, 1)
            .and_then(|first| first.with().day_of_year(day).build())
            .map_err(|_| "there is no such day in that year")?,
        _ => Date::new(year, said.month.unwrap_or(1), said.day.unwrap_or(1))
            .map_err(|_| "there is no such day in that month")?,
    };
    date.to_datetime(jiff::civil::Time::MIN)
        .with()
        .hour(hour)
        .minute(said.minute)
        .second(said.second)
        .subsec_nanosecond(said.nanos)
        .build()
        .map_err(|_| "there is no such time of day")
}

fn instant(civil: DateTime, said: &Said, zone: &TimeZone) -> Option<Timestamp> {
    let offset = match (said.offset, &said.zone_name) {
        (Some(offset), _) => Some(offset),
        (None, Some(name)) => Some(abbreviated(name, civil, zone).unwrap_or(0)),
        (None, None) => None,
    };
    let instant = match offset {
        Some(seconds) => UtcOffset::from_seconds(seconds)
            .ok()?
            .to_timestamp(civil)
            .ok()?,
        None => zone.to_timestamp(civil).ok()?,
    };
    i64::try_from(instant.as_nanosecond())
        .ok()
        .map(Timestamp::from_nanos)
}

/// The offset in seconds of an abbreviation that the zone uses at that time, or else somewhen in
/// that year. Abbreviations of other zones are not unique and count as UTC, as in Go.
fn abbreviated(name: &str, civil: DateTime, zone: &TimeZone) -> Option<i32> {
    let january = civil.with().month(1).day(1).build().ok()?;
    let july = civil.with().month(7).day(1).build().ok()?;
    [civil, january, july].into_iter().find_map(|civil| {
        let info = zone.to_offset_info(zone.to_timestamp(civil).ok()?);
        (info.abbreviation() == name).then(|| info.offset().seconds())
    })
}
