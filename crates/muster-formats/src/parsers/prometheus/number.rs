//! Numbers as the text formats have them.

use std::borrow::Cow;

use crate::parsers::prometheus::Dialect;

const POWERS_OF_TEN: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// A sample's value; `NaN`, `+Inf` and `-Inf` included.
pub(super) fn value(text: &str) -> Option<f64> {
    short(text.as_bytes()).or_else(|| text.parse().ok())
}

/// Up to 15 digits with or without a point: most values, and exact, as both the digits and the
/// power of ten fit a float without loss.
fn short(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let mut mantissa = 0_u64;
    let mut count = 0;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let after = point.map_or(0, |at| digits.len() - at - 1);
    let number = mantissa as f64 / POWERS_OF_TEN[after];
    Some(if negative { -number } else { number })
}

/// A timestamp in nanoseconds: whole milliseconds, or seconds with a fraction.
pub(super) fn time(text: &str, dialect: Dialect) -> Option<i64> {
    match dialect {
        Dialect::Prometheus => text.parse::<i64>().ok()?.checked_mul(1_000_000),
        Dialect::OpenMetrics => {
            let nanos = text.parse::<f64>().ok()? * 1e9;
            if !nanos.is_finite() || nanos.abs() >= i64::MAX as f64 {
                return None;
            }
            // A float has no nanoseconds of today; digits have.
            Some(exact_seconds(text).unwrap_or(nanos as i64))
        }
    }
}

fn exact_seconds(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut nanos = whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    let mut weight = 1_000_000_000;
    for digit in fraction.bytes().take(9) {
        weight /= 10;
        nanos = nanos.checked_add(i64::from(digit - b'0') * weight)?;
    }
    Some(if negative { -nanos } else { nanos })
}

/// A bucket's bound or a quantile in the one form that Telegraf gives to equal numbers: `1` for
/// `1.0`, `1e+06` for `1000000`.
pub(super) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    if is_canonical(text.as_bytes()) {
        return Some(Cow::Borrowed(text));
    }
    let number: f64 = text.parse().ok()?;
    let shown = crate::serializers::go_float(number);
    Some(if shown == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(shown)
    })
}

/// At most six digits before a point, few after it, and no zero that could be left out.
fn is_canonical(text: &[u8]) -> bool {
    if text == b"+Inf" {
        return true;
    }
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(point) => (&text[..point], Some(&text[point + 1..])),
        None => (text, None),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let whole_is_fine =
        matches!(whole.len(), 1..=6) && digits(whole) && (whole[0] != b'0' || whole == b"0");
    let fraction_is_fine = match fraction {
        None => true,
        Some(fraction) => {
            let leading = fraction.iter().take_while(|b| **b == b'0').count();
            matches!(fraction.len(), 1..=9)
                && digits(fraction)
                && !fraction.ends_with(b"0")
                && (whole != b"0" || leading < 4)
        }
    };
    whole_is_fine && fraction_is_fine
}
