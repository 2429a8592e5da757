//! Character encodings of files.

use std::borrow::Cow;

use muster_options::JsonSchema;
use serde::{Deserialize, Serialize};

/// How text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Encoding {
    /// As it is: what is no text is the parser's business.
    #[default]
    #[serde(rename = "")]
    Raw,
    /// The same.
    #[serde(rename = "none")]
    None,
    /// A byte order mark is passed over, what is no UTF-8 is replaced.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Two bytes a unit, the lower first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// Two bytes a unit, the higher first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
}

impl Encoding {
    /// The text in UTF-8 as far as that can be said.
    pub(crate) fn decode(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Raw | Self::None => Cow::Borrowed(bytes),
            Self::Utf8 => {
                let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
                match String::from_utf8_lossy(text) {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                }
            }
            Self::Utf16Le | Self::Utf16Be => {
                let units = bytes.as_chunks::<2>().0.iter().map(|pair| match self {
                    Self::Utf16Be => u16::from_be_bytes(*pair),
                    _ => u16::from_le_bytes(*pair),
                });
                let text: String = char::decode_utf16(units)
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .filter(|c| *c != '\u{feff}')
                    .collect();
                Cow::Owned(text.into_bytes())
            }
        }
    }

    /// Where the first line of `bytes` ends, the newline included.
    pub(crate) fn line_end(self, bytes: &[u8]) -> Option<usize> {
        let newline = match self {
            Self::Utf16Le => [b'\n', 0],
            Self::Utf16Be => [0, b'\n'],
            _ => return memchr::memchr(b'\n', bytes).map(|at| at + 1),
        };
        let at = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .position(|pair| *pair == newline)?;
        Some(at * 2 + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_finds_lines() {
        let check = |encoding: Encoding, bytes: &[u8], text: &str, first: Option<usize>| {
            assert_eq!(encoding.decode(bytes), text.as_bytes(), "{encoding:?}");
            assert_eq!(encoding.line_end(bytes), first, "{encoding:?}");
        };
        check(Encoding::Raw, b"a\nb", "a\nb", Some(2));
        check(
            Encoding::Utf8,
            b"\xef\xbb\xbfa\xff\n",
            "a\u{fffd}\n",
            Some(6),
        );
        let text = "\u{feff}aĊ\u{1f980}\nb";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(Encoding::Utf16Le, &le, "aĊ\u{1f980}\nb", Some(12));
        check(Encoding::Utf16Be, &be, "aĊ\u{1f980}\nb", Some(12));
        check(Encoding::Utf16Le, b"a\0\n", "a", None);
        check(Encoding::Utf16Be, &[0xd8, 0], "\u{fffd}", None);
    }
}
