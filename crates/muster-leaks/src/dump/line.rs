//! The lines of a dump, one by one.

use memchr::{memchr, memmem, memrchr};

use crate::labels::quoted_len;

/// `goroutine 7 [chan receive, 2 minutes]:`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) id: u64,
    /// The wait reason with its marks: `select (no cases) (leaked)`.
    pub(super) word: &'a [u8],
    pub(super) minutes: Option<u64>,
    /// What stands between the braces of the labels; empty if there are none.
    pub(super) labels: &'a [u8],
}

const GOROUTINE: &[u8] = b"goroutine ";

/// Reads a header.
pub(super) fn header(line: &[u8]) -> Option<Header<'_>> {
    let (id, rest) = header_start(line)?;
    let line = rest.strip_suffix(b":")?;
    // Only labels hold brackets or quotes.
    let close = memchr(b']', line)?;
    if close + 1 == line.len() && !line.contains(&b'"') {
        return Some(state(id, &line[..close], b""));
    }
    if let Some(open) = memmem::find(&line[..close], b" labels:{") {
        let inner = line[open + b" labels:{".len()..].strip_suffix(b"}]")?;
        return Some(state(id, &line[..open], inner));
    }
    let inner = line[close..].strip_prefix(b"] {")?.strip_suffix(b"}")?;
    quotes_close(inner).then(|| state(id, &line[..close], inner))
}

/// The ID, and what follows the opening bracket: what is enough to know that this is a header.
pub(super) fn header_start(line: &[u8]) -> Option<(u64, &[u8])> {
    let (id, rest) = number(line.strip_prefix(GOROUTINE)?)?;
    if let Some(rest) = rest.strip_prefix(b" [") {
        return Some((id, rest));
    }
    let rest = rest.strip_prefix(b" gp=0x")?;
    let open = memmem::find(rest, b" [")?;
    Some((id, &rest[open + 2..]))
}

/// Where in a line a header may start, perhaps after other text.
pub(super) fn find_header(line: &[u8]) -> Option<usize> {
    // Nearly always it is at the start; a search takes longer than reading the whole line.
    if line.starts_with(GOROUTINE) {
        return Some(0);
    }
    memmem::find(line, GOROUTINE)
}

/// Whether the labels end outside of quotes.
fn quotes_close(mut labels: &[u8]) -> bool {
    while let Some(quote) = memchr(b'"', labels) {
        match quoted_len(&labels[quote..]) {
            Some(len) => labels = &labels[quote + len..],
            None => return false,
        }
    }
    true
}

fn state<'a>(id: u64, state: &'a [u8], labels: &'a [u8]) -> Header<'a> {
    let (word, mut marks) = match memchr(b',', state) {
        Some(comma) => (&state[..comma], &state[comma..]),
        None => (state, &b""[..]),
    };
    let mut minutes = None;
    while let Some(mark) = marks.strip_prefix(b", ") {
        let end = memchr(b',', mark).unwrap_or(mark.len());
        if let Some(count) = mark[..end].strip_suffix(b" minutes") {
            minutes = number(count).map(|(count, _)| count);
        }
        marks = &mark[end..];
    }
    Header {
        id,
        word,
        minutes,
        labels,
    }
}

/// `main.work(0xc000012345, ...)`: the function and its arguments.
pub(super) fn call(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = line.strip_suffix(b")")?;
    let open = memrchr(b'(', inner).filter(|open| *open > 0)?;
    Some((&inner[..open], &inner[open + 1..]))
}

/// `created by main.start in goroutine 7`: the function.
pub(super) fn creator(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"created by ")?;
    let words = memrchr(b' ', rest).map_or(rest, |last| &rest[..last]);
    Some(words.strip_suffix(b" in goroutine").unwrap_or(rest))
}

/// The line below a function: a tab, the path, a colon, the line, and perhaps offsets. Yields
/// `path:line`, and whether offsets follow.
pub(super) fn place(line: &[u8]) -> Option<(&[u8], bool)> {
    let line = line.strip_prefix(b"\t")?;
    let colon = memrchr(b':', line)?;
    let digits = line[colon + 1..]
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let end = colon + 1 + digits;
    match line.get(end) {
        _ if digits == 0 => None,
        None => Some((&line[..end], false)),
        Some(b' ') => Some((&line[..end], true)),
        Some(_) => None,
    }
}

/// The path and the line number of a [`place`].
pub(super) fn split_place(place: &str) -> (&str, u32) {
    match place.rsplit_once(':') {
        Some((path, line)) => (path, line.parse().unwrap_or(0)),
        None => (place, 0),
    }
}

/// `...31 frames elided...`, of old Go `...additional frames elided...`.
pub(super) fn is_elided(line: &[u8]) -> bool {
    line.starts_with(b"...") && line.ends_with(b" frames elided...")
}

/// `[originating from goroutine 7]:`
pub(super) fn is_ancestor(line: &[u8]) -> bool {
    line.starts_with(b"[originating from goroutine ")
}

/// What Go prints in place of a stack that it cannot show.
pub(super) fn is_unavailable(line: &[u8]) -> bool {
    line.starts_with(b"\tgoroutine running on other thread")
        || line.starts_with(b"\tgoroutine in C code")
}

/// The first argument, if it is a word that surely holds what it says and is not nil.
pub(super) fn first_word(arguments: &[u8]) -> Option<u64> {
    let open = arguments.iter().take_while(|b| **b == b'{').count();
    let digits = arguments[open..].strip_prefix(b"0x")?;
    let mut word = 0_u64;
    for (at, byte) in digits.iter().enumerate() {
        match char::from(*byte).to_digit(16) {
            Some(digit) if at < 16 => word = word << 4 | u64::from(digit),
            None if at > 0 && *byte != b'?' => break,
            _ => return None,
        }
    }
    (word != 0).then_some(word)
}

/// A decimal number of at most 64 bits, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut digits = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            break;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        digits += 1;
    }
    (digits > 0).then(|| (value, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_header(line: &str, want: Option<(u64, &str, Option<u64>, &str)>) {
        let got = header(line.as_bytes());
        let want = want.map(|(id, word, minutes, labels)| Header {
            id,
            word: word.as_bytes(),
            minutes,
            labels: labels.as_bytes(),
        });
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn headers_of_all_versions() {
        check_header("goroutine 1 [running]:", Some((1, "running", None, "")));
        check_header(
            "goroutine 7 [chan receive (nil chan), 12 minutes, locked to thread]:",
            Some((7, "chan receive (nil chan)", Some(12), "")),
        );
        check_header(
            "goroutine 7 [select (no cases) (leaked) (durable), 1 minutes, synctest bubble 3]:",
            Some((7, "select (no cases) (leaked) (durable)", Some(1), "")),
        );
        check_header(
            "goroutine 4 gp=0x2cd m=nil [GC worker (idle), 2 minutes]:",
            Some((4, "GC worker (idle)", Some(2), "")),
        );
        check_header(
            "goroutine 1 gp=0xc00 m=0 mp=0x55 [running]:",
            Some((1, "running", None, "")),
        );
        check_header(
            r#"goroutine 9 [select, 3 minutes labels:{"a": "]: {", "b": "c"}]:"#,
            Some((9, "select", Some(3), r#""a": "]: {", "b": "c""#)),
        );
        check_header(
            r#"goroutine 9 [select, 3 minutes] {a: "x]:}", b: 7}:"#,
            Some((9, "select", Some(3), r#"a: "x]:}", b: 7"#)),
        );
        check_header(
            r#"goroutine 9 [select] {a: " labels:{] {", b: 7}:"#,
            Some((9, "select", None, r#"a: " labels:{] {", b: 7"#)),
        );
        for bad in [
            "goroutine 1 [running]",
            "goroutine x [running]:",
            "goroutine 99999999999999999999 [running]:",
            "goroutine 1 [running",
            "goroutine profile: total 3",
            r#"goroutine 1 [select] {a: "}:"#,
            "goroutine 1 [:",
            "",
        ] {
            check_header(bad, None);
        }
    }

    #[test]
    fn calls_places_and_creators() {
        let call = |line: &'static str| super::call(line.as_bytes());
        assert_eq!(call("main.f()"), Some((&b"main.f"[..], &b""[..])));
        assert_eq!(
            call("main.(*T[...]).Wait({0x1, 0x2}, ...)"),
            Some((&b"main.(*T[...]).Wait"[..], &b"{0x1, 0x2}, ..."[..]))
        );
        assert_eq!(call("()"), None);
        assert_eq!(call("text"), None);
        let place = |line: &'static str| super::place(line.as_bytes());
        assert_eq!(
            place("\tC:/Program Files/x.go:12 +0x1d fp=0x1 sp=0x2 pc=0x3"),
            Some((&b"C:/Program Files/x.go:12"[..], true))
        );
        assert_eq!(
            place("\t<autogenerated>:1"),
            Some((&b"<autogenerated>:1"[..], false))
        );
        assert_eq!(place("\t??:0 +0x5"), Some((&b"??:0"[..], true)));
        assert_eq!(place("\tx.go:"), None);
        assert_eq!(place("\tx.go:1x"), None);
        assert_eq!(place("x.go:1"), None);
        assert_eq!(creator(b"created by a.b in goroutine 7"), Some(&b"a.b"[..]));
        assert_eq!(creator(b"created by a.b"), Some(&b"a.b"[..]));
    }

    #[test]
    fn first_words() {
        let check = |arguments: &str, want| {
            assert_eq!(first_word(arguments.as_bytes()), want, "{arguments}");
        };
        check("0xc000", Some(0xc000));
        check("{{0xc000, 0x1}}, 0x2", Some(0xc000));
        check("0xffffffffffffffff, 0x1", Some(u64::MAX));
        for nothing in [
            "",
            "0x0",
            "0xc000?",
            "...",
            "_",
            "0x",
            "0x11111111111111111",
            "{}",
        ] {
            check(nothing, None);
        }
    }
}
