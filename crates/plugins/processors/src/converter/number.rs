//! Values as numbers and booleans, with Go's notation for numbers in text.

use muster_metric::Value;

/// The value as a signed integer, rounded and held at the limits.
pub(super) fn to_integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(v) => Some(v),
        Value::Uint(v) => Some(i64::try_from(v).unwrap_or(i64::MAX)),
        Value::Bool(v) => Some(i64::from(v)),
        Value::Float(v) => round(v).map(|v| v as i64),
        Value::Text(text) => match parse_integer(text) {
            Some(v) => Some(v.clamp(i64::MIN.into(), i64::MAX.into()) as i64),
            None => round(parse_float(text)?).map(|v| v as i64),
        },
    }
}

/// The value as an unsigned integer, rounded and held at the limits.
pub(super) fn to_unsigned(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Int(v) => Some(u64::try_from(v).unwrap_or(0)),
        Value::Uint(v) => Some(v),
        Value::Bool(v) => Some(u64::from(v)),
        Value::Float(v) => round(v).map(|v| v as u64),
        Value::Text(text) => match parse_integer(text) {
            Some(v) => Some(v.clamp(0, u64::MAX.into()) as u64),
            None => round(parse_float(text)?).map(|v| v as u64),
        },
    }
}

/// The value as a float.
pub(super) fn to_float(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Text(text) => parse_float(text).or_else(|| parse_prefixed(text).map(|v| v as f64)),
        number => number.as_f64(),
    }
}

/// The value as a boolean.
pub(super) fn to_bool(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Int(v) => Some(v != 0),
        Value::Uint(v) => Some(v != 0),
        Value::Float(v) => Some(v != 0.0),
        Value::Bool(v) => Some(v),
        Value::Text("1" | "t" | "T" | "true" | "True" | "TRUE") => Some(true),
        Value::Text("0" | "f" | "F" | "false" | "False" | "FALSE") => Some(false),
        Value::Text(_) => None,
    }
}

/// Halves away from zero. What is beyond an integer's limits is held there by the cast that
/// follows; NaN has no integer.
fn round(v: f64) -> Option<f64> {
    (!v.is_nan()).then(|| v.round())
}

/// A decimal float; infinities only if they are spelled out.
fn parse_float(text: &str) -> Option<f64> {
    let v: f64 = text.parse().ok()?;
    let spelled = || text.bytes().any(|b| b.eq_ignore_ascii_case(&b'i'));
    (v.is_finite() || v.is_nan() || spelled()).then_some(v)
}

fn parse_prefixed(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefixed = matches!(
        digits.as_bytes(),
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]
    );
    if prefixed { parse_integer(text) } else { None }
}

/// An integer with a sign and a prefix for its base. Saturates far beyond 64 bits.
fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        all => (10, all),
    };
    // An underscore stands between digits, or between the prefix and a digit.
    let mut underscore_allowed = base != 10;
    let mut ends_in_digit = false;
    let mut value = 0i128;
    for byte in digits {
        if *byte == b'_' {
            if !underscore_allowed {
                return None;
            }
            (underscore_allowed, ends_in_digit) = (false, false);
            continue;
        }
        let digit = char::from(*byte).to_digit(base)?;
        value = value
            .saturating_mul(base.into())
            .saturating_add(digit.into());
        (underscore_allowed, ends_in_digit) = (true, true);
    }
    if !ends_in_digit {
        return None;
    }
    Some(if negative { -value } else { value })
}
