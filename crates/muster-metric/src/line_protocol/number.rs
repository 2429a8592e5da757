//! Reading numbers: the forms of line protocol, and nothing more.

use super::Fault;
use crate::value::Slot;

/// Powers of ten. The whole table is exact as integers and, being below 10^23, as floats.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The largest integer up to which a float holds each one exactly.
const EXACT: u64 = 1 << 53;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The field value in `input[from..end]`, which is not a string: `12i`, `12u`, `1.5e3`, `true`.
/// If there is none, [`fault`] says why.
#[inline(always)]
pub(super) fn field(input: &[u8], from: usize, end: usize) -> Option<Slot> {
    let token = &input[from..end];
    match token {
        [.., b'i'] => int(input, from, end - 1).map(Slot::Int),
        [.., b'0'..=b'9' | b'.'] => float(input, from, end).map(Slot::Float),
        [.., b'u'] => uint(input, from, end - 1).map(Slot::Uint),
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(Slot::Bool(true)),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(Slot::Bool(false)),
        _ => None,
    }
}

/// What is wrong with a field value.
#[cold]
pub(super) fn fault(token: &[u8]) -> Fault {
    let unsigned = token.strip_prefix(b"-").unwrap_or(token);
    match (token, unsigned) {
        ([], _) => Fault::FieldValue,
        (_, [digits @ .., b'i']) | ([digits @ .., b'u'], _)
            if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) =>
        {
            Fault::IntegerRange
        }
        _ if standard(token).is_some() => Fault::FloatRange,
        _ => Fault::NotANumber,
    }
}

/// The timestamp in `input[from..end]` as it is written: 1 to 19 digits after an optional sign.
#[inline(always)]
pub(super) fn timestamp(input: &[u8], from: usize, end: usize) -> Result<i64, Fault> {
    let negative = input.get(from) == Some(&b'-');
    let from = from + usize::from(negative);
    if from >= end || end - from > 19 {
        return Err(Fault::Timestamp);
    }
    let number = digits(input, from, end).ok_or(Fault::Timestamp)?;
    signed(number, negative).ok_or(Fault::TimestampRange)
}

#[inline(always)]
fn int(input: &[u8], from: usize, end: usize) -> Option<i64> {
    let negative = input.get(from) == Some(&b'-');
    signed(uint(input, from + usize::from(negative), end)?, negative)
}

#[inline(always)]
fn signed(number: u64, negative: bool) -> Option<i64> {
    if negative {
        0_i64.checked_sub_unsigned(number)
    } else {
        i64::try_from(number).ok()
    }
}

#[inline(always)]
fn uint(input: &[u8], from: usize, end: usize) -> Option<u64> {
    if from >= end || end - from > 19 {
        return long(input.get(from..end)?);
    }
    digits(input, from, end)
}

#[cold]
fn long(bytes: &[u8]) -> Option<u64> {
    let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let add =
        |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    if digits {
        bytes.iter().try_fold(0, add)
    } else {
        None
    }
}

/// The number in `input[from..end]`, at most 19 digits; `None` if another byte is among them.
/// Nothing at all counts as 0.
#[inline(always)]
fn digits(input: &[u8], from: usize, end: usize) -> Option<u64> {
    match end - from {
        0 => Some(0),
        len @ 1..=8 => value(last(input, len, end)),
        _ => many(input, from, end),
    }
}

/// The number in `input[from..end]`, 9 to 19 digits.
#[inline(never)]
fn many(input: &[u8], from: usize, end: usize) -> Option<u64> {
    let low = value(last(input, 8, end))?;
    let len = end - from - 8;
    if len <= 8 {
        return Some(value(last(input, len, end - 8))? * 100_000_000 + low);
    }
    let middle = value(last(input, 8, end - 8))?;
    let high = value(last(input, len - 8, end - 16))?;
    Some((high * 100_000_000 + middle) * 100_000_000 + low)
}

/// The last `len` digits, 1 to 8, of `input[..end]`: one digit in each byte, the first one
/// lowest, after zeros.
#[inline(always)]
fn last(input: &[u8], len: usize, end: usize) -> u64 {
    let word = match input[..end].last_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => from_start(input, end),
    };
    (word ^ (ONES * u64::from(b'0'))) & (u64::MAX << (64 - 8 * len))
}

/// The number that eight digits make; `None` if one of them is none. They are checked and joined
/// all at once: neighbours to pairs, pairs to fours, fours to the number.
#[inline(always)]
fn value(digits: u64) -> Option<u64> {
    const EVEN: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & EVEN).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & EVEN).wrapping_mul(1 + (10_000 << 32));
    let all_digits = (digits | digits.wrapping_add(ONES * 0x76)) & HIGHS == 0;
    all_digits.then_some(high.wrapping_add(low) >> 32)
}

/// The bytes up to `end`, fewer than eight, as the upper ones of a word.
#[cold]
fn from_start(input: &[u8], end: usize) -> u64 {
    let bytes = input[..end].iter();
    bytes.fold(0_u64, |word, &byte| (word >> 8) | (u64::from(byte) << 56))
}

/// `-?(digits[.digits] | .digits)` with an optional exponent. What has few digits is computed
/// at once, the rest goes to the standard library.
#[inline]
fn float(input: &[u8], from: usize, end: usize) -> Option<f64> {
    let negative = input[from] == b'-';
    let first = from + usize::from(negative);
    let (whole, fraction) = match point(input, first, end) {
        Some(point) => (point, point + 1),
        None => (end, end),
    };
    let places = end - fraction;
    let count = whole - first + places;
    if !(1..=19).contains(&count) {
        return slow(&input[from..end]);
    }
    let (Some(high), Some(low)) = (digits(input, first, whole), digits(input, fraction, end))
    else {
        return slow(&input[from..end]);
    };
    let mantissa = high * POWERS[places] + low;
    // An exact integer over an exact power of ten is rounded once, so correctly.
    let number = if mantissa <= EXACT {
        mantissa as f64 / POWERS[places] as f64
    } else {
        divide(mantissa, POWERS[places])
    };
    Some(if negative { -number } else { number })
}

/// Where the first point in `input[from..end]` is.
#[inline]
fn point(input: &[u8], from: usize, end: usize) -> Option<usize> {
    let mut at = from;
    if let Some(bytes) = input[from..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*bytes) ^ (ONES * u64::from(b'.'));
        // The lowest top bit that is set marks the first zero byte.
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        at += zeros.trailing_zeros() as usize / 8;
        if at >= end {
            return None;
        }
    }
    let rest = input[at..end].iter().position(|&byte| byte == b'.');
    rest.map(|len| at + len)
}

/// The float nearest to `number / by`, the even one of two. Both are at least 1.
#[inline]
fn divide(number: u64, by: u64) -> f64 {
    // With both top bits set, the quotient of number * 2^63 and by has 63 or 64 bits.
    let (up, by_up) = (number.leading_zeros(), by.leading_zeros());
    let (number, by) = (u128::from(number << up) << 63, u128::from(by << by_up));
    let (quotient, rest) = ((number / by) as u64, number % by);
    // The lowest bit stands for all that was cut off: the conversion rounds as it must.
    let rounded = (quotient | u64::from(rest != 0)) as f64;
    let exponent = by_up as i32 - up as i32 - 63;
    rounded * f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[cold]
#[inline(never)]
fn slow(token: &[u8]) -> Option<f64> {
    standard(token).filter(|number| number.is_finite())
}

/// What the standard library reads, without what is no line protocol: a plus sign before the
/// number and names of infinities. Numbers that are too large are infinite.
fn standard(token: &[u8]) -> Option<f64> {
    let allowed = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    if !token.iter().all(allowed) || token.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &str, want: &str) {
        // Among other bytes, and alone.
        let (within, alone) = (format!("some=9{token}9,text=1"), token.as_bytes());
        let among = field(within.as_bytes(), 6, 6 + token.len());
        assert_eq!(
            format!("{among:?}"),
            format!("{:?}", field(alone, 0, token.len()))
        );
        let got = match among {
            Some(slot) => format!("{slot:?}"),
            None => format!("{:?}", fault(alone)),
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
        let check = |text: &str, want| {
            assert_eq!(timestamp(text.as_bytes(), 0, text.len()), want, "{text}");
        };
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

    #[test]
    fn floats_are_the_nearest_ones() {
        let mut bits = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..100_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963);
            let digits = (bits >> (bits % 50)).to_string();
            let at = (bits >> 32) as usize % (digits.len() + 1);
            let token = format!("{}.{}", &digits[..at], &digits[at..]);
            let got = float(token.as_bytes(), 0, token.len());
            assert_eq!(got, Some(token.parse().unwrap()), "{token}");
        }
        // Halfway between two floats, just below and just above.
        for token in [
            "9007199254740993.0",
            "9007199254740992.999",
            "9007199254740993.001",
        ] {
            let got = float(token.as_bytes(), 0, token.len());
            assert_eq!(got, Some(token.parse().unwrap()), "{token}");
        }
    }
}
