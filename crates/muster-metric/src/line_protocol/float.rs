//! Writing floats as decimals without exponent.

/// Integers below this are exact as floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Writes the shortest decimal that reads back as `value`, never with an exponent: `98.5`, `3`,
/// `-0`, `0.0000001`. At most 327 bytes. `value` must be finite.
#[inline]
pub(super) fn push(value: f64, out: &mut Vec<u8>) {
    let whole = value as i64;
    let negative_zero = whole == 0 && value.is_sign_negative();
    if value.abs() < EXACT && whole as f64 == value && !negative_zero {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    match text.bytes().rposition(|byte| byte == b'e') {
        None => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
        Some(at) => expand(&text[..at], &text[at + 1..], out),
    }
}

/// Writes `mantissa` times ten to the power of `exponent`.
#[cold]
fn expand(mantissa: &str, exponent: &str, out: &mut Vec<u8>) {
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() < mantissa.len() {
        out.push(b'-');
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fraction = if fraction == "0" { "" } else { fraction };
    // The digits without a point, and where the point lies among them.
    let digits = whole.bytes().chain(fraction.bytes());
    let count = (whole.len() + fraction.len()) as i32;
    let point = whole.len() as i32 + exponent;
    let zeros = |count: i32| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0));
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(zeros(-point).chain(digits));
    } else if point >= count {
        out.extend(digits.chain(zeros(point - count)));
    } else {
        for (at, digit) in (0..).zip(digits) {
            if at == point {
                out.push(b'.');
            }
            out.push(digit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        push(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shortest_decimals_without_exponent() {
        let check = |value, want: &str| assert_eq!(written(value), want);
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(-42.0, "-42");
        check(98.5, "98.5");
        check(0.1 + 0.2, "0.30000000000000004");
        check(1e-7, "0.0000001");
        check(-1.25e-7, "-0.000000125");
        check(1e15, "1000000000000000");
        check(9_007_199_254_740_993.0, "9007199254740992");
        check(1e21, "1000000000000000000000");
        check(1.5e300, &format!("15{}", "0".repeat(299)));
        check(5e-324, &format!("0.{}5", "0".repeat(323)));
        assert_eq!(written(f64::MAX).len(), 309);
    }

    #[test]
    fn is_as_short_as_the_standard_library_and_reads_back() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                // Of two equally short decimals at the same distance either may be chosen.
                assert_eq!(written(value).len(), format!("{value}").len());
                assert_eq!(written(value).parse(), Ok(value));
            }
        }
    }
}
