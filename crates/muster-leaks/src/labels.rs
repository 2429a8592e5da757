//! Profiler labels as Go prints them, in three spellings: `"k":"v", ...` in grouped text,
//! `"k": "v", ...` in dumps of Go 1.26, and there from 1.27 on without the quotes where they are
//! not needed.

use std::sync::Arc;

use crate::intern::Interner;
use crate::profile::{Label, LabelValue, MAX_LABELS};

/// The labels of what stands between the braces, sorted; `None` if it is not such a list.
pub(crate) fn parse(text: &str, interner: &mut Interner) -> Option<Arc<[Label]>> {
    let mut labels = Vec::new();
    let mut rest = text;
    loop {
        let (key, after) = word(rest)?;
        let after = after.strip_prefix(':')?;
        let (value, after) = word(after.strip_prefix(' ').unwrap_or(after))?;
        if labels.len() < MAX_LABELS {
            labels.push(Label {
                key: interner.get(&key),
                value: LabelValue::Text(interner.get(&value)),
            });
        }
        if after.is_empty() {
            labels.sort();
            return Some(labels.into());
        }
        rest = after.strip_prefix(", ")?;
    }
}

/// Where the quoted text at the start of `bytes` ends: after the closing quote.
pub(crate) fn quoted_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A quoted or bare word, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let end = quoted_len(text.as_bytes())?;
        let inner = text.get(1..end - 1)?;
        return Some((unquote(inner)?, text.get(end..)?));
    }
    let end = text.find([':', ',']).unwrap_or(text.len());
    Some((text[..end].to_owned(), &text[end..]))
}

/// Undoes the escapes of a Go string.
fn unquote(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = *rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        let digits = match escape {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let number = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
            rest = &rest[digits..];
            match u8::try_from(number) {
                Ok(byte) if digits == 2 => out.push(byte),
                _ => {
                    let c = char::from_u32(number)?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            continue;
        }
        out.push(match escape {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'"' | b'\'' => escape,
            _ => return None,
        });
    }
    out.extend_from_slice(rest.as_bytes());
    Some(match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, want: Option<&[(&str, &str)]>) {
        let labels = parse(text, &mut Interner::default());
        let text_of = |label: &Label| match &label.value {
            LabelValue::Text(value) => (label.key.to_string(), value.to_string()),
            LabelValue::Number { .. } => unreachable!("text has no numbers"),
        };
        let got = labels.map(|labels| labels.iter().map(text_of).collect::<Vec<_>>());
        let want = want.map(|want| {
            let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            want.iter().map(own).collect::<Vec<_>>()
        });
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn all_spellings_are_read() {
        check(r#""a":"b", "c":"d e""#, Some(&[("a", "b"), ("c", "d e")]));
        check(r#""a": "b", "c": "d""#, Some(&[("a", "b"), ("c", "d")]));
        check(r#"z: 7, a: "/a b]:""#, Some(&[("a", "/a b]:"), ("z", "7")]));
        check(
            r#""a\"\\\n":"\x41\u00e9\U0001f600\xff""#,
            Some(&[("a\"\\\n", "Aé😀\u{fffd}")]),
        );
        check(r#""":"""#, Some(&[("", "")]));
        check("", None);
        check("a", None);
        check(r#""a":"b"#, None);
        check(r#""a":"b"x"#, None);
        check(r#""a":"\q""#, None);
        check(r#""a":"\ud800""#, None);
        check(r#""a":"\"#, None);
    }

    #[test]
    fn labels_are_bounded() {
        let text = vec!["a: b"; MAX_LABELS + 1].join(", ");
        let labels = parse(&text, &mut Interner::default()).unwrap();
        assert_eq!(labels.len(), MAX_LABELS);
    }

    proptest! {
        #[test]
        fn quoted_labels_come_back(labels in prop::collection::btree_map(any::<String>(), any::<String>(), 1..4)) {
            // Rust's quotes differ from Go's in `\u{..}` and `\0`.
            let go = |text: &str| {
                let mut out = String::new();
                for c in text.chars() {
                    match c {
                        '"' | '\\' => out.extend(['\\', c]),
                        c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                        c => out.push(c),
                    }
                }
                format!("\"{out}\"")
            };
            let text: Vec<String> = labels.iter().map(|(k, v)| format!("{}:{}", go(k), go(v))).collect();
            let want: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (&**k, &**v)).collect();
            check(&text.join(", "), Some(&want));
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = parse(&text, &mut Interner::default());
            let _ = parse(&format!("\"{text}"), &mut Interner::default());
        }
    }
}
