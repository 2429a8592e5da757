//! Writing text: what must be escaped, and how.

use crate::Text;

/// What is written: where `=` must be escaped, and where not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A measurement name.
    Name,
    /// A tag's key or value, or a field's key.
    KeyOrValue,
}

/// Tokens up to so many bytes are copied without a call.
const SHORT: usize = 16;

/// Writes the token that lies at `span` of `text`. Returns false if nothing is left of it.
///
/// A short token is loaded and stored whole, with what follows it in the text, and cut to its
/// length afterwards: that takes no branch for its length.
#[inline(always)]
pub(super) fn push(text: &str, span: Text, kind: Kind, out: &mut Vec<u8>) -> bool {
    let (from, len) = (span.start as usize, span.len as usize);
    let bytes = text.as_bytes().get(from..).unwrap_or_default();
    if let (1..=SHORT, Some(token)) = (len, bytes.first_chunk::<SHORT>()) {
        let [first, second] = *token.as_chunks::<8>().0 else {
            return false;
        };
        let [low, high] = MASKS[len];
        let found = (specials(first) & low) | (specials(second) & high);
        if found == 0 && token[len - 1] != b'\\' {
            let before = out.len();
            out.extend_from_slice(token);
            out.truncate(before + len);
            return true;
        }
    }
    push_any(&text[span.range()], kind, out)
}

/// For each length of a short token, which bytes of it and of what follows belong to it.
const MASKS: [[u64; 2]; SHORT + 1] = {
    let mut masks = [[0; 2]; SHORT + 1];
    let mut len = 1;
    while len <= SHORT {
        let bits = u128::MAX >> (128 - 8 * len);
        masks[len] = [bits as u64, (bits >> 64) as u64];
        len += 1;
    }
    masks
};

#[inline(never)]
fn push_any(text: &str, kind: Kind, out: &mut Vec<u8>) -> bool {
    let bytes = text.as_bytes();
    let Some(&last) = bytes.last() else {
        return false;
    };
    if is_plain(bytes) && last != b'\\' {
        out.extend_from_slice(bytes);
        return true;
    }
    push_escaped(text, kind, out)
}

#[cold]
fn push_escaped(text: &str, kind: Kind, out: &mut Vec<u8>) -> bool {
    let text = text.trim_end_matches('\\');
    for &byte in text.as_bytes() {
        let escaped = match byte {
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            b',' | b' ' => byte,
            b'=' if kind == Kind::KeyOrValue => byte,
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
    match bytes.last_chunk::<8>() {
        Some(last) => {
            let words = bytes.as_chunks::<8>().0.iter().chain([last]);
            words.fold(0, |found, word| found | specials(*word)) == 0
        }
        None => !bytes
            .iter()
            .any(|&byte| byte <= b' ' || matches!(byte, b',' | b'=')),
    }
}

/// Not zero if one of eight bytes is a comma, a `=`, a space or a control character. The first
/// of them has its top bit set, and only bytes after it may have theirs for nothing.
#[inline]
fn specials(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
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

    fn written(text: &str, kind: Kind) -> String {
        let mut out = Vec::new();
        let some = push_any(text, kind, &mut out);
        // Between other text, at its end, and as the whole.
        for (before, after) in [("a,b", "c,d=e and more"), ("=", ""), ("", "")] {
            let whole = format!("{before}{text}{after}");
            let span = Text {
                start: before.len() as u32,
                len: text.len() as u32,
            };
            let mut again = Vec::new();
            assert_eq!(push(&whole, span, kind, &mut again), some, "{whole:?}");
            assert_eq!(again, out, "{whole:?}");
        }
        assert_eq!(some, !out.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes() {
        let check = |text: &str, name: &str, key: &str| {
            assert_eq!(written(text, Kind::Name), name, "{text:?}");
            assert_eq!(written(text, Kind::KeyOrValue), key, "{text:?}");
        };
        check("", "", "");
        check("plain", "plain", "plain");
        check("exactly_16_bytes", "exactly_16_bytes", "exactly_16_bytes");
        check(
            "a_little_longer_one",
            "a_little_longer_one",
            "a_little_longer_one",
        );
        check("größe", "größe", "größe");
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
