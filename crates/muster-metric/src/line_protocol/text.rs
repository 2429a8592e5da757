//! Writing text: what must be escaped, and how.

/// Writes a measurement name. Returns false if nothing is left of it.
#[inline]
pub(super) fn push_name(name: &str, out: &mut Vec<u8>) -> bool {
    push(name, false, out)
}

/// Writes a tag's or field's key. Returns false if nothing is left of it.
#[inline]
pub(super) fn push_key(key: &str, out: &mut Vec<u8>) -> bool {
    push(key, true, out)
}

/// Writes a tag's value. Returns false if nothing is left of it.
#[inline]
pub(super) fn push_value(value: &str, out: &mut Vec<u8>) -> bool {
    push(value, true, out)
}

#[inline]
fn push(text: &str, equals: bool, out: &mut Vec<u8>) -> bool {
    let bytes = text.as_bytes();
    let Some(&last) = bytes.last() else {
        return false;
    };
    if is_plain(bytes) && last != b'\\' {
        out.extend_from_slice(bytes);
        return true;
    }
    push_escaped(text, equals, out)
}

#[cold]
fn push_escaped(text: &str, equals: bool, out: &mut Vec<u8>) -> bool {
    let text = text.trim_end_matches('\\');
    for &byte in text.as_bytes() {
        let escaped = match byte {
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            b',' | b' ' => byte,
            b'=' if equals => byte,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
    !text.is_empty()
}

/// Writes a string in quotes.
#[inline]
pub(super) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Whether nothing must be escaped: no comma, no `=`, no space and no control character. May say
/// no where `=` or a control character would not matter.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    // Eight bytes at a time; the last eight overlap with those before.
    if let (words, Some(last)) = (bytes.as_chunks::<8>().0, bytes.last_chunk::<8>()) {
        let found = words
            .iter()
            .chain([last])
            .fold(0, |found, word| found | specials(*word));
        return found == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let mut word = [0; 8];
        word[..4].copy_from_slice(first);
        word[4..].copy_from_slice(last);
        return specials(word) == 0;
    }
    !bytes
        .iter()
        .any(|&byte| byte <= b' ' || matches!(byte, b',' | b'='))
}

/// Not zero if one of eight bytes is a comma, a `=`, a space or a control character.
#[inline]
fn specials(word: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(word);
    // Subtracting borrows into a byte's top bit if the byte is below the bound; borrows into
    // higher bytes happen only where a lower byte was found.
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, b' ' + 1) | equal(b',') | equal(b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_told_apart_at_every_length_and_place() {
        for len in 1..40 {
            assert!(is_plain(&vec![b'x'; len]), "{len}");
            assert!(is_plain(&vec![0xff; len]), "{len}");
            assert!(is_plain(&vec![b'!'; len]), "{len}");
            for at in 0..len {
                for special in [b' ', b',', b'=', b'\n', b'\t', 0] {
                    let mut bytes = vec![b'x'; len];
                    bytes[at] = special;
                    assert!(!is_plain(&bytes), "{special} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn escapes() {
        let check = |text: &str, name: &str, key: &str| {
            let mut out = Vec::new();
            assert_eq!(push_name(text, &mut out), !name.is_empty(), "{text:?}");
            assert_eq!(String::from_utf8_lossy(&out), name, "{text:?}");
            out.clear();
            assert_eq!(push_key(text, &mut out), !key.is_empty(), "{text:?}");
            assert_eq!(String::from_utf8_lossy(&out), key, "{text:?}");
        };
        check("", "", "");
        check("plain", "plain", "plain");
        check("a b,c=d", r"a\ b\,c=d", r"a\ b\,c\=d");
        check("a\tb\nc\x0cd\re", r"a\tb\nc\fd\re", r"a\tb\nc\fd\re");
        check(r"C:\dir\", r"C:\dir", r"C:\dir");
        check(r"\\", "", "");
        check("a\"b\x0b", "a\"b\x0b", "a\"b\x0b");
    }

    #[test]
    fn strings() {
        let check = |text: &str, want: &str| {
            let mut out = Vec::new();
            push_string(text, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want);
        };
        check("", "\"\"");
        check("a\nb\t", "\"a\nb\t\"");
        check(r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#);
    }
}
