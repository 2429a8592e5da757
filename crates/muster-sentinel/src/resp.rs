//! Redis' protocol (RESP2): requests out, replies in.
//!
//! What a reply may be is bounded: [`Limits`]. Nothing is allocated for what was announced, only for
//! what has come.

use std::borrow::Cow;

use memchr::memchr;

/// How large a reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one reply, all its parts together.
    pub bytes: usize,
    /// The most parts of one reply.
    pub parts: usize,
}

impl Limits {
    /// For the replies of a check: 256 KiB, 64 parts.
    pub const CHECK: Self = Self {
        bytes: 256 << 10,
        parts: 64,
    };
    /// For lists of a cluster's or a sentinel's instances: 4 MiB, 262,144 parts.
    pub const LIST: Self = Self {
        bytes: 4 << 20,
        parts: 256 << 10,
    };
}

/// Arrays may hold arrays so deep.
const MOST_DEPTH: usize = 8;

/// A reply. It borrows from the buffer that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+PONG`
    Simple(&'a [u8]),
    /// `-ERR ...`
    Error(&'a [u8]),
    /// `:7`
    Integer(i64),
    /// Any bytes; `None` for the null of RESP2.
    Bulk(Option<&'a [u8]>),
    /// Several replies.
    Array(Vec<Self>),
}

impl<'a> Reply<'a> {
    /// The text of a simple reply or a bulk.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Simple(text) | Self::Bulk(Some(text)) => Some(String::from_utf8_lossy(text)),
            _ => None,
        }
    }
}

/// Bytes that are no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// Not the protocol.
    #[error("not Redis' protocol: {0:?}")]
    Syntax(String),
    /// More than the limits allow.
    #[error("a reply that is larger than {} bytes or {} parts", .0.bytes, .0.parts)]
    TooLarge(Limits),
}

/// Reads one reply from the beginning of `bytes`: it and its length, or `None` while it is not whole.
///
/// # Errors
/// If the bytes are no reply, or one that is too large.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Option<(Reply<'_>, usize)>, RespError> {
    let mut parser = Parser {
        bytes,
        at: 0,
        parts: 0,
        limits,
    };
    let reply = parser.reply(0)?;
    match reply {
        Some(reply) => Ok(Some((reply, parser.at))),
        None if bytes.len() >= limits.bytes => Err(RespError::TooLarge(limits)),
        None => Ok(None),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    parts: usize,
    limits: Limits,
}

impl<'a> Parser<'a> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply<'a>>, RespError> {
        self.parts += 1;
        if self.parts > self.limits.parts || depth > MOST_DEPTH {
            return Err(RespError::TooLarge(self.limits));
        }
        let Some(&kind) = self.bytes.get(self.at) else {
            return Ok(None);
        };
        if !b"+-:$*".contains(&kind) {
            return Err(self.syntax());
        }
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        Ok(Some(match kind {
            b'+' => Reply::Simple(line),
            b'-' => Reply::Error(line),
            b':' => Reply::Integer(number(line).ok_or_else(|| self.syntax())?),
            b'$' => match self.length(line)? {
                None => Reply::Bulk(None),
                Some(length) => match self.bulk(length)? {
                    Some(bulk) => Reply::Bulk(Some(bulk)),
                    None => return Ok(None),
                },
            },
            _ => match self.length(line)? {
                None => Reply::Bulk(None),
                Some(length) => {
                    let mut items = Vec::new();
                    for _ in 0..length {
                        match self.reply(depth + 1)? {
                            Some(item) => items.push(item),
                            None => return Ok(None),
                        }
                    }
                    Reply::Array(items)
                }
            },
        }))
    }

    /// The rest of the line after the kind, without its end.
    fn line(&mut self) -> Result<Option<&'a [u8]>, RespError> {
        let rest = &self.bytes[self.at + 1..];
        let Some(end) = memchr(b'\n', rest) else {
            return Ok(None);
        };
        let Some(line) = rest[..end].strip_suffix(b"\r") else {
            return Err(self.syntax());
        };
        self.at += end + 2;
        Ok(Some(line))
    }

    /// A length; `None` for -1.
    fn length(&self, line: &[u8]) -> Result<Option<usize>, RespError> {
        match number(line) {
            Some(-1) => Ok(None),
            Some(length) => match usize::try_from(length) {
                Ok(length) if length <= self.limits.bytes => Ok(Some(length)),
                Ok(_) => Err(RespError::TooLarge(self.limits)),
                Err(_) => Err(self.syntax()),
            },
            None => Err(self.syntax()),
        }
    }

    fn bulk(&mut self, length: usize) -> Result<Option<&'a [u8]>, RespError> {
        let rest = &self.bytes[self.at..];
        if rest.len() < length + 2 {
            return Ok(None);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return Err(self.syntax());
        }
        self.at += length + 2;
        Ok(Some(&rest[..length]))
    }

    #[cold]
    fn syntax(&self) -> RespError {
        let shown = &self.bytes[..self.bytes.len().min(40)];
        RespError::Syntax(String::from_utf8_lossy(shown).into_owned())
    }
}

fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Appends a request: a command with its arguments.
pub fn write_request<'a>(
    out: &mut Vec<u8>,
    words: impl IntoIterator<Item = &'a str, IntoIter: ExactSizeIterator>,
) {
    let words = words.into_iter();
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits::CHECK;

    #[track_caller]
    fn check(bytes: &[u8], want: Result<Option<Reply<'_>>, &str>) {
        let got = parse(bytes, LIMITS);
        match (got, want) {
            (Ok(Some((got, used))), Ok(Some(want))) => assert_eq!((got, used), (want, bytes.len())),
            (Ok(None), Ok(None)) => {}
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }

    #[test]
    fn reads_replies() {
        check(b"+PONG\r\n", Ok(Some(Reply::Simple(b"PONG"))));
        check(b"-ERR no\r\n", Ok(Some(Reply::Error(b"ERR no"))));
        check(b":-7\r\n", Ok(Some(Reply::Integer(-7))));
        check(b"$3\r\na\r\n\r\n", Ok(Some(Reply::Bulk(Some(b"a\r\n")))));
        check(b"$-1\r\n", Ok(Some(Reply::Bulk(None))));
        check(b"*-1\r\n", Ok(Some(Reply::Bulk(None))));
        let both = vec![
            Reply::Integer(1),
            Reply::Array(vec![Reply::Bulk(Some(b""))]),
        ];
        check(
            b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
            Ok(Some(Reply::Array(both))),
        );
    }

    #[test]
    fn waits_for_the_rest() {
        for bytes in [
            &b""[..],
            b"+",
            b"+PONG",
            b"+PONG\r",
            b"$3\r\nab",
            b"$3\r\nabc\r",
            b"*2\r\n:1\r\n",
        ] {
            check(bytes, Ok(None));
        }
    }

    #[test]
    fn refuses_what_it_is_not_and_what_is_too_large() {
        for bytes in [
            &b"HTTP/1.1 400\r\n"[..],
            b"+PONG\n",
            b":x\r\n",
            b"$-2\r\n",
            b"$1\r\nabc",
            b"*x\r\n",
        ] {
            check(bytes, Err("not Redis' protocol"));
        }
        check(b"$99999999\r\n", Err("larger than"));
        check(b"*65\r\n", Ok(None));
        check(
            &[&b"*65\r\n"[..], &b":1\r\n".repeat(65)].concat(),
            Err("larger than"),
        );
        check(&b"*1\r\n".repeat(10), Err("larger than"));
        check(&vec![b'+'; LIMITS.bytes], Err("larger than"));
    }

    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let line = "[a-zA-Z ]{0,20}";
        let leaf = prop_oneof![
            line.prop_map(|text| format!("+{text}\r\n").into_bytes()),
            line.prop_map(|text| format!("-{text}\r\n").into_bytes()),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..50).prop_map(|bytes| {
                [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
            }),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat()
            })
        })
    }

    proptest! {
        /// A whole reply is read to its last byte, and no part of it is taken for one.
        #[test]
        fn reads_whole_replies_only(reply in any_reply(), more in proptest::collection::vec(any::<u8>(), 0..10)) {
            let whole = [&reply[..], &more].concat();
            let (_, used) = parse(&whole, LIMITS).unwrap().unwrap();
            prop_assert_eq!(used, reply.len());
            for end in 0..reply.len() {
                prop_assert_eq!(parse(&reply[..end], LIMITS), Ok(None));
            }
        }

        #[test]
        fn takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, used))) = parse(&bytes, LIMITS) {
                prop_assert!(used <= bytes.len());
            }
        }

        #[test]
        fn requests_are_arrays_of_bulks(words in proptest::collection::vec(any::<String>(), 1..5)) {
            let mut out = Vec::new();
            write_request(&mut out, words.iter().map(String::as_str));
            let (reply, used) = parse(&out, LIMITS).unwrap().unwrap();
            prop_assert_eq!(used, out.len());
            let want = words.iter().map(|word| Reply::Bulk(Some(word.as_bytes()))).collect();
            prop_assert_eq!(reply, Reply::Array(want));
        }
    }
}
