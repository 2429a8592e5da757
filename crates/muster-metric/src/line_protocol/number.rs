//! Reading numbers: the forms of line protocol, and nothing more.

use super::Fault;
use crate::value::Slot;

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The largest integer up to which a float holds each one exactly.
const EXACT: u64 = 1 << 53;

/// A field value that is not a string: `12i`, `12u`, `1.5e3`, `true`.
#[inline]
pub(super) fn field(token: &[u8]) -> Result<Slot, Fault> {
    match token {
        [number @ .., b'i'] => int(number).map(Slot::Int),
        [number @ .., b'u'] => uint(number).map(Slot::Uint),
        [.., b'0'..=b'9' | b'.'] => float(token).map(Slot::Float),
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(Slot::Bool(true)),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(Slot::Bool(false)),
        [] => Err(Fault::FieldValue),
        _ => Err(Fault::NotANumber),
    }
}

/// Digits as a number; `None` if there is another byte among them or nothing at all.
/// `Err` if the number has more than 64 bits.
#[inline]
fn digits(bytes: &[u8]) -> Option<Result<u64, Fault>> {
    if bytes.is_empty() {
        return None;
    }
    let (mut number, mut wrong) = (0_u64, false);
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        wrong |= digit > 9;
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    if wrong {
        return None;
    }
    Some(if bytes.len() < 20 {
        Ok(number)
    } else {
        long(bytes)
    })
}

#[cold]
fn long(bytes: &[u8]) -> Result<u64, Fault> {
    bytes
        .iter()
        .try_fold(0_u64, |n, b| {
            n.checked_mul(10)?.checked_add(u64::from(b - b'0'))
        })
        .ok_or(Fault::IntegerRange)
}

#[inline]
fn sign(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    }
}

#[inline]
fn int(bytes: &[u8]) -> Result<i64, Fault> {
    let (negative, bytes) = sign(bytes);
    let number = digits(bytes).ok_or(Fault::NotANumber)??;
    let number = if negative {
        0_i64.checked_sub_unsigned(number)
    } else {
        number.try_into().ok()
    };
    number.ok_or(Fault::IntegerRange)
}

#[inline]
fn uint(bytes: &[u8]) -> Result<u64, Fault> {
    digits(bytes).ok_or(Fault::NotANumber)?
}

/// A timestamp as it is written: 1 to 19 digits after an optional sign.
#[inline]
pub(super) fn timestamp(bytes: &[u8]) -> Result<i64, Fault> {
    let (negative, bytes) = sign(bytes);
    if bytes.len() > 19 {
        return Err(Fault::Timestamp);
    }
    let number = digits(bytes)
        .ok_or(Fault::Timestamp)?
        .map_err(|_| Fault::TimestampRange)?;
    let number = if negative {
        0_i64.checked_sub_unsigned(number)
    } else {
        number.try_into().ok()
    };
    number.ok_or(Fault::TimestampRange)
}

/// `-?(digits[.digits] | .digits)` with an optional exponent. What has few digits is computed
/// exactly at once, the rest goes to the standard library.
#[inline]
fn float(token: &[u8]) -> Result<f64, Fault> {
    let (negative, bytes) = sign(token);
    let (mut mantissa, mut seen, mut fraction, mut point) = (0_u64, 0_usize, 0_usize, false);
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            seen += 1;
            fraction += usize::from(point);
        } else if byte == b'.' && !point {
            point = true;
        } else {
            return slow(token);
        }
    }
    if seen == 0 {
        return Err(Fault::NotANumber);
    }
    // An exact integer over an exact power of ten is rounded once, so correctly.
    if seen <= 19 && mantissa <= EXACT && fraction < POWERS.len() {
        let number = mantissa as f64 / POWERS[fraction];
        return Ok(if negative { -number } else { number });
    }
    slow(token)
}

fn slow(token: &[u8]) -> Result<f64, Fault> {
    // The standard library also knows a plus sign and names of infinities: those are no line
    // protocol.
    let allowed = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    if !token.iter().all(allowed) || token.first() == Some(&b'+') {
        return Err(Fault::NotANumber);
    }
    let text = std::str::from_utf8(token).map_err(|_| Fault::NotANumber)?;
    let number: f64 = text.parse().map_err(|_| Fault::NotANumber)?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err(Fault::FloatRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &str, want: &str) {
        let got = match field(token.as_bytes()) {
            Ok(slot) => format!("{slot:?}"),
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(got, want, "{token}");
    }

    #[test]
    fn numbers_and_booleans() {
        check("0", "Float(0.0)");
        check("-0", "Float(-0.0)");
        check("1.", "Float(1.0)");
        check(".5", "Float(0.5)");
        check("-.5", "Float(-0.5)");
        check("1e3", "Float(1000.0)");
        check("-1.5E-3", "Float(-0.0015)");
        check("1e+2", "Float(100.0)");
        check("98.5123124572351", "Float(98.5123124572351)");
        check("12345678901234567890123", "Float(1.2345678901234568e22)");
        check("9007199254740993", "Float(9007199254740992.0)");
        check("0.1234567890123456789012345", "Float(0.12345678901234568)");
        check("1e400", "FloatRange");
        for bad in [
            "+1", "1e", ".", "-", "-.", "1.2.3", "inf", "nan", "NaN", "1e5e5", "0x10", "1_0",
        ] {
            check(bad, "NotANumber");
        }
        check("9223372036854775807i", "Int(9223372036854775807)");
        check("-9223372036854775808i", "Int(-9223372036854775808)");
        check("9223372036854775808i", "IntegerRange");
        check("-9223372036854775809i", "IntegerRange");
        check("99999999999999999999999i", "IntegerRange");
        check("007i", "Int(7)");
        for bad in ["i", "-i", "1.5i", "+1i", "1e3i", "xi"] {
            check(bad, "NotANumber");
        }
        check("18446744073709551615u", "Uint(18446744073709551615)");
        check("18446744073709551616u", "IntegerRange");
        check("-1u", "NotANumber");
        check("u", "NotANumber");
        for yes in ["t", "T", "true", "True", "TRUE"] {
            check(yes, "Bool(true)");
        }
        for no in ["f", "F", "false", "False", "FALSE"] {
            check(no, "Bool(false)");
        }
        for bad in ["tr", "tRUE", "yes", "Tru", "é"] {
            check(bad, "NotANumber");
        }
        check("", "FieldValue");
    }

    #[test]
    fn timestamps() {
        let check = |text: &str, want| assert_eq!(timestamp(text.as_bytes()), want, "{text}");
        check("0", Ok(0));
        check("-1", Ok(-1));
        check("9223372036854775807", Ok(i64::MAX));
        check("-9223372036854775808", Ok(i64::MIN));
        check("9223372036854775808", Err(Fault::TimestampRange));
        check("12345678901234567890", Err(Fault::Timestamp));
        check("1.5", Err(Fault::Timestamp));
        check("", Err(Fault::Timestamp));
        check("-", Err(Fault::Timestamp));
    }
}
