//! Floats as Go writes them.

use std::fmt::Write;

/// As Go's `%g` with the fewest digits: an exponent from a million on and below 0.0001.
pub(crate) fn go_float(number: f64) -> String {
    let mut out = String::new();
    push_go_float(number, &mut out);
    out
}

/// As [`go_float`], at the end of a text.
pub(super) fn push_go_float(number: f64, out: &mut String) {
    let size = number.abs();
    if number.is_nan() {
        out.push_str("NaN");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
    } else if size < 1e6 && number.fract() == 0.0 && !(number == 0.0 && number.is_sign_negative()) {
        out.push_str(itoa::Buffer::new().format(number as i64));
    } else if size == 0.0 || (1e-4..1e6).contains(&size) {
        let _ = write!(out, "{number}");
    } else {
        // Rust writes 1e6 and 1e-7 where Go writes 1e+06 and 1e-07.
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_as_go() {
        let check = |number: f64, want: &str| assert_eq!(go_float(number), want);
        check(0.0, "0");
        check(-0.0, "-0");
        check(42.0, "42");
        check(-999_999.0, "-999999");
        check(1e6, "1e+06");
        check(1_234_567.5, "1.2345675e+06");
        check(0.25, "0.25");
        check(0.0001, "0.0001");
        check(0.00001, "1e-05");
        check(1e-300, "1e-300");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
    }

    proptest! {
        #[test]
        fn reads_back(number: f64) {
            prop_assert_eq!(go_float(number).parse::<f64>(), Ok(number));
        }
    }
}
