//! Writing a time by a layout.

use std::fmt::Write;

use jiff::tz::TimeZone;
use muster_metric::Timestamp;

use super::layout::{Layout, MONTHS, Offset, Pad, Part, Piece, WEEKDAYS};

pub(super) fn write(layout: &Layout, time: Timestamp, zone: &TimeZone, out: &mut String) {
    // Every time of 64 bits of nanoseconds lies within jiff's years.
    let instant = jiff::Timestamp::from_nanosecond(i128::from(time.nanos())).unwrap_or_default();
    let info = zone.to_offset_info(instant);
    let at = instant.to_zoned(zone.clone()).datetime();
    for piece in &layout.pieces {
        let part = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Part(part) => *part,
        };
        let hour12 = (i32::from(at.hour()) + 11) % 12 + 1;
        // Writing into a string cannot fail.
        let _ = match part {
            Part::Year => write!(out, "{:04}", at.year()),
            Part::ShortYear => write!(out, "{:02}", at.year().rem_euclid(100)),
            Part::MonthName => write!(out, "{}", name(&MONTHS, at.month())),
            Part::ShortMonthName => write!(out, "{:.3}", name(&MONTHS, at.month())),
            Part::WeekdayName => {
                write!(
                    out,
                    "{}",
                    name(&WEEKDAYS, at.weekday().to_monday_one_offset())
                )
            }
            Part::ShortWeekdayName => {
                write!(
                    out,
                    "{:.3}",
                    name(&WEEKDAYS, at.weekday().to_monday_one_offset())
                )
            }
            Part::Month(pad) => padded(out, at.month().into(), pad, 2),
            Part::Day(pad) => padded(out, at.day().into(), pad, 2),
            Part::YearDay(pad) => padded(out, at.day_of_year().into(), pad, 3),
            Part::Hour => padded(out, at.hour().into(), Pad::Zero, 2),
            Part::Hour12(pad) => padded(out, hour12, pad, 2),
            Part::Minute(pad) => padded(out, at.minute().into(), pad, 2),
            Part::Second(pad) => padded(out, at.second().into(), pad, 2),
            Part::Fraction {
                digits,
                fixed,
                point,
            } => {
                fraction(out, at.subsec_nanosecond(), digits, fixed, point);
                Ok(())
            }
            Part::HalfDay { upper } => out.write_str(match (at.hour() >= 12, upper) {
                (true, true) => "PM",
                (false, true) => "AM",
                (true, false) => "pm",
                (false, false) => "am",
            }),
            Part::ZoneName => out.write_str(info.abbreviation()),
            Part::Offset(form) => {
                offset(out, info.offset().seconds(), form);
                Ok(())
            }
        };
    }
}

/// The name of a number from 1.
fn name<'a>(names: &[&'a str], number: i8) -> &'a str {
    let at = usize::try_from(number).unwrap_or(1).saturating_sub(1);
    names.get(at).copied().unwrap_or_default()
}

fn padded(out: &mut String, number: i32, pad: Pad, width: usize) -> std::fmt::Result {
    match pad {
        Pad::None => write!(out, "{number}"),
        Pad::Zero => write!(out, "{number:0width$}"),
        Pad::Space => write!(out, "{number:width$}"),
    }
}

fn fraction(out: &mut String, nanos: i32, digits: usize, fixed: bool, point: char) {
    let nine = format!("{nanos:09}");
    let mut shown: String = nine
        .chars()
        .chain(std::iter::repeat('0'))
        .take(digits)
        .collect();
    if !fixed {
        shown.truncate(shown.trim_end_matches('0').len());
        if shown.is_empty() {
            return;
        }
    }
    out.push(point);
    out.push_str(&shown);
}

fn offset(out: &mut String, seconds: i32, form: Offset) {
    if form.z && seconds == 0 {
        out.push('Z');
        return;
    }
    out.push(if seconds < 0 { '-' } else { '+' });
    let seconds = seconds.abs();
    let numbers = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    for (at, number) in numbers.into_iter().take(form.numbers).enumerate() {
        if at > 0 && form.colons {
            out.push(':');
        }
        let _ = write!(out, "{number:02}");
    }
}
