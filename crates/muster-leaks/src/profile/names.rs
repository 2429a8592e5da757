//! The names of functions, brought into one form.

use std::borrow::Cow;

/// The name in the form of the model: type arguments as `[...]`, escapes undone, and `panic` for
/// the runtime's function behind it, as dumps have it.
pub(crate) fn normal(name: &str) -> Cow<'_, str> {
    if name == "runtime.gopanic" {
        return Cow::Borrowed("panic");
    }
    if !name.bytes().any(|b| matches!(b, b'[' | b'%')) {
        return Cow::Borrowed(name);
    }
    without_type_arguments(&unescaped(name)).into()
}

/// Whether Go leaves the frame of this function out of a dump: the private functions of the
/// runtime, but for the one behind `panic`.
pub(crate) fn is_hidden(name: &str) -> bool {
    match name.strip_prefix("runtime.") {
        Some("gopanic") => false,
        Some(rest) => !rest.starts_with(|c: char| c.is_ascii_uppercase()),
        None => name.starts_with("internal/runtime/"),
    }
}

/// Brackets stay, with dots for what is in them.
fn without_type_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_u32;
    for c in name.chars() {
        match c {
            '[' => {
                if depth == 0 {
                    out.push_str("[...]");
                }
                depth += 1;
            }
            ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// The linker writes dots in the last element of a path, and what is not printable, as `%2e`.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [byte, tail @ ..] = rest {
        let escape = match tail {
            [high, low, ..] if *byte == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_one_form() {
        let check = |name: &str, want: &str| assert_eq!(normal(name), want);
        check("main.main", "main.main");
        check("main.F[go.shape.string]", "main.F[...]");
        check("main.(*T[go.shape.[]int_0,a/b.C[x]]).M", "main.(*T[...]).M");
        check("main.(*T[...]).M.func1", "main.(*T[...]).M.func1");
        check("gopkg.in/yaml%2ev3.Load", "gopkg.in/yaml.v3.Load");
        check("a%zz%2", "a%zz%2");
        check("a%c3%a9%ff", "aé\u{fffd}");
        check("runtime.gopanic", "panic");
    }

    #[test]
    fn the_private_functions_of_the_runtime_are_hidden() {
        for name in [
            "runtime.gopark",
            "runtime.(*x).y",
            "internal/runtime/maps.f",
        ] {
            assert!(is_hidden(name), "{name}");
        }
        for name in [
            "runtime.GC",
            "runtime/pprof.Do",
            "time.Sleep",
            "panic",
            "runtime.gopanic",
            "main.runtime.x",
        ] {
            assert!(!is_hidden(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn normal_names_stay(name in "\\PC*") {
            // An escape may stand for a percent sign; names of Go never hold one.
            let once = normal(&name).into_owned();
            if !once.contains('%') {
                prop_assert_eq!(normal(&once), once.clone());
            }
        }
    }
}
