//! Taking a layout apart.

/// One part of the reference time, or text that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Part(Part),
}

/// What a part of a layout stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    ShortYear,
    MonthName,
    ShortMonthName,
    Month(Pad),
    WeekdayName,
    ShortWeekdayName,
    Day(Pad),
    YearDay(Pad),
    Hour,
    Hour12(Pad),
    Minute(Pad),
    Second(Pad),
    /// Digits after the second with their point: so many, or up to so many without zeros at the
    /// end.
    Fraction {
        digits: usize,
        fixed: bool,
        point: char,
    },
    /// `PM`, or `pm`.
    HalfDay {
        upper: bool,
    },
    ZoneName,
    Offset(Offset),
}

/// With what a number is filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pad {
    None,
    Zero,
    Space,
}

/// The form of an offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    /// Whether no offset is written `Z`.
    pub(super) z: bool,
    /// Whether colons stand between the numbers.
    pub(super) colons: bool,
    /// How many numbers: hours, minutes, seconds.
    pub(super) numbers: usize,
}

/// A layout as pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) source: String,
    pub(super) pieces: Vec<Piece>,
}

impl Layout {
    pub(super) fn new(source: &str) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            match part_at(rest) {
                Some((part, len)) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Part(part));
                    rest = &rest[len..];
                }
                None => {
                    text.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self {
            source: source.to_owned(),
            pieces,
        }
    }

    /// Whether nothing of the reference time is mentioned.
    pub(super) fn is_plain(&self) -> bool {
        !self
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Part(_)))
    }
}

const fn offset(z: bool, colons: bool, numbers: usize) -> Part {
    Part::Offset(Offset { z, colons, numbers })
}

/// Longer ones stand before those that they begin with.
const PARTS: &[(&str, Part)] = &[
    ("January", Part::MonthName),
    ("Jan", Part::ShortMonthName),
    ("Monday", Part::WeekdayName),
    ("Mon", Part::ShortWeekdayName),
    ("MST", Part::ZoneName),
    ("002", Part::YearDay(Pad::Zero)),
    ("01", Part::Month(Pad::Zero)),
    ("02", Part::Day(Pad::Zero)),
    ("03", Part::Hour12(Pad::Zero)),
    ("04", Part::Minute(Pad::Zero)),
    ("05", Part::Second(Pad::Zero)),
    ("06", Part::ShortYear),
    ("15", Part::Hour),
    ("1", Part::Month(Pad::None)),
    ("2006", Part::Year),
    ("2", Part::Day(Pad::None)),
    ("__2", Part::YearDay(Pad::Space)),
    ("_2", Part::Day(Pad::Space)),
    ("3", Part::Hour12(Pad::None)),
    ("4", Part::Minute(Pad::None)),
    ("5", Part::Second(Pad::None)),
    ("PM", Part::HalfDay { upper: true }),
    ("pm", Part::HalfDay { upper: false }),
    ("-07:00:00", offset(false, true, 3)),
    ("-07:00", offset(false, true, 2)),
    ("-070000", offset(false, false, 3)),
    ("-0700", offset(false, false, 2)),
    ("-07", offset(false, false, 1)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z07:00", offset(true, true, 2)),
    ("Z070000", offset(true, false, 3)),
    ("Z0700", offset(true, false, 2)),
    ("Z07", offset(true, false, 1)),
];

/// The part at the start of `rest`, and its length.
fn part_at(rest: &str) -> Option<(Part, usize)> {
    if rest.starts_with(['.', ',']) {
        return fraction_at(rest);
    }
    let (word, part) = PARTS.iter().find(|(word, _)| rest.starts_with(word))?;
    let after = &rest[word.len()..];
    let is_part = match part {
        // "Month" and "Janet" are words of their own.
        Part::ShortMonthName | Part::ShortWeekdayName => {
            !after.starts_with(|c: char| c.is_ascii_lowercase())
        }
        // In "_2006" the underscore is just that, before a year.
        Part::Day(Pad::Space) => !after.starts_with("006"),
        _ => true,
    };
    is_part.then_some((*part, word.len()))
}

/// `.000` or `,999`: a point and only zeros or only nines, then no digit.
fn fraction_at(rest: &str) -> Option<(Part, usize)> {
    let (point, digits) = (rest.chars().next()?, &rest[1..]);
    let kind = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == kind).count();
    if digits[count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((
        Part::Fraction {
            digits: count,
            fixed: kind == '0',
            point,
        },
        1 + count,
    ))
}

/// Go's own layouts, by name in any case.
pub(super) fn named(name: &str) -> Option<&'static str> {
    const NAMED: &[(&str, &str)] = &[
        ("ansic", "Mon Jan _2 15:04:05 2006"),
        ("unixdate", "Mon Jan _2 15:04:05 MST 2006"),
        ("rubydate", "Mon Jan 02 15:04:05 -0700 2006"),
        ("rfc822", "02 Jan 06 15:04 MST"),
        ("rfc822z", "02 Jan 06 15:04 -0700"),
        ("rfc850", "Monday, 02-Jan-06 15:04:05 MST"),
        ("rfc1123", "Mon, 02 Jan 2006 15:04:05 MST"),
        ("rfc1123z", "Mon, 02 Jan 2006 15:04:05 -0700"),
        ("rfc3339", "2006-01-02T15:04:05Z07:00"),
        ("rfc3339nano", "2006-01-02T15:04:05.999999999Z07:00"),
        ("kitchen", "3:04PM"),
        ("stamp", "Jan _2 15:04:05"),
        ("stampmilli", "Jan _2 15:04:05.000"),
        ("stampmicro", "Jan _2 15:04:05.000000"),
        ("stampnano", "Jan _2 15:04:05.000000000"),
        ("datetime", "2006-01-02 15:04:05"),
        ("dateonly", "2006-01-02"),
        ("timeonly", "15:04:05"),
    ];
    NAMED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, layout)| *layout)
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Monday on, as jiff counts.
pub(super) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
