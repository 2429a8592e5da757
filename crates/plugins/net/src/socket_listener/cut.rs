//! Cutting a stream into messages.

use std::ops::Range;

/// How a stream is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cutter {
    /// At newlines, where the parser sees records end.
    Lines,
    /// At these bytes.
    Delimiter(Vec<u8>),
    /// After so many bytes.
    Fixed(usize),
    /// As each message's header says.
    Prefixed {
        offset: usize,
        bytes: usize,
        little: bool,
        header: usize,
    },
}

/// What lies at the beginning of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message; the next begins after `used` bytes.
    Message { data: Range<usize>, used: usize },
    /// The beginning of one.
    More,
    /// A message that is longer than the limit; it ends after so many bytes, if that is known.
    TooLong(Option<u64>),
}

impl Cutter {
    /// Looks for a message of at most `limit` bytes.
    pub(super) fn next(&self, buffer: &[u8], limit: usize) -> Next {
        match self {
            Self::Lines => delimited(memchr::memchr(b'\n', buffer), 1, buffer.len(), limit),
            Self::Delimiter(bytes) => {
                let found = memchr::memmem::find(buffer, bytes);
                delimited(found, bytes.len(), buffer.len(), limit)
            }
            Self::Fixed(length) if *length > limit => Next::TooLong(Some(*length as u64)),
            Self::Fixed(length) if buffer.len() < *length => Next::More,
            Self::Fixed(length) => Next::Message {
                data: 0..*length,
                used: *length,
            },
            Self::Prefixed {
                offset,
                bytes,
                little,
                header,
            } => {
                let Some(field) = buffer.get(*offset..offset + bytes) else {
                    return Next::More;
                };
                let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
                let length = if *little {
                    field.iter().rev().fold(0, add)
                } else {
                    field.iter().fold(0, add)
                };
                let total = length.saturating_add(*header as u64);
                match usize::try_from(total)
                    .ok()
                    .filter(|_| length <= limit as u64)
                {
                    None => Next::TooLong(Some(total)),
                    Some(total) if buffer.len() < total => Next::More,
                    Some(total) => Next::Message {
                        data: *header..total,
                        used: total,
                    },
                }
            }
        }
    }

    /// Whether the last message of a stream needs no end of its own.
    pub(super) fn has_open_end(&self) -> bool {
        matches!(self, Self::Lines | Self::Delimiter(_))
    }

    /// Of a message without an end that is too long: how many bytes of `buffer` still belong to
    /// it, and whether it ends there.
    pub(super) fn skip(&self, buffer: &[u8]) -> (usize, bool) {
        let (found, length) = match self {
            Self::Delimiter(bytes) => (memchr::memmem::find(buffer, bytes), bytes.len()),
            _ => (memchr::memchr(b'\n', buffer), 1),
        };
        match found {
            Some(at) => (at + length, true),
            // The delimiter itself may be cut in two.
            None => (buffer.len() - (length - 1).min(buffer.len()), false),
        }
    }
}

fn delimited(found: Option<usize>, width: usize, held: usize, limit: usize) -> Next {
    match found {
        Some(at) if at > limit => Next::TooLong(Some((at + width) as u64)),
        Some(at) => Next::Message {
            data: 0..at,
            used: at + width,
        },
        None if held > limit => Next::TooLong(None),
        None => Next::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_every_strategy() {
        let check = |cutter: &Cutter, buffer: &[u8], want: Next| {
            assert_eq!(cutter.next(buffer, 8), want, "{cutter:?} {buffer:?}");
        };
        let message = |data, used| Next::Message { data, used };
        check(&Cutter::Lines, b"ab\ncd", message(0..2, 3));
        check(&Cutter::Lines, b"ab", Next::More);
        check(&Cutter::Lines, b"123456789", Next::TooLong(None));
        check(&Cutter::Lines, b"123456789\n", Next::TooLong(Some(10)));
        let delimiter = Cutter::Delimiter(b"\r\n".to_vec());
        check(&delimiter, b"ab\r\nc", message(0..2, 4));
        check(&delimiter, b"ab\r", Next::More);
        check(&Cutter::Fixed(3), b"abcd", message(0..3, 3));
        check(&Cutter::Fixed(3), b"ab", Next::More);
        check(&Cutter::Fixed(9), b"ab", Next::TooLong(Some(9)));
        let big = Cutter::Prefixed {
            offset: 1,
            bytes: 2,
            little: false,
            header: 4,
        };
        check(&big, b"x\x00\x02_hello", message(4..6, 6));
        check(&big, b"x\x00", Next::More);
        check(&big, b"x\x00\x05_hi", Next::More);
        check(&big, b"x\x01\x00_hi", Next::TooLong(Some(260)));
        let little = Cutter::Prefixed {
            offset: 0,
            bytes: 2,
            little: true,
            header: 2,
        };
        check(&little, b"\x02\x00hello", message(2..4, 4));
        let huge = Cutter::Prefixed {
            offset: 0,
            bytes: 8,
            little: true,
            header: 8,
        };
        check(&huge, &[0xff; 8], Next::TooLong(Some(u64::MAX)));
    }

    #[test]
    fn skips_to_the_end_of_a_message() {
        assert_eq!(Cutter::Lines.skip(b"rest\nnext"), (5, true));
        assert_eq!(Cutter::Lines.skip(b"rest"), (4, false));
        let delimiter = Cutter::Delimiter(b"\r\n".to_vec());
        assert_eq!(delimiter.skip(b"rest\r"), (4, false));
        assert_eq!(delimiter.skip(b"\r\nx"), (2, true));
    }
}
