//! The changes themselves: from a text to a text.

use base64::Engine as _;

/// One sort of change with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Lower,
    Upper,
    Title,
    /// The characters to cut off; blanks if there are none.
    Trim(String),
    TrimLeft(String),
    TrimRight(String),
    Prefix(String),
    Suffix(String),
    Replace(String, String),
    Left(usize),
    Base64,
    Nothing,
}

impl Change {
    /// Appends the changed text to `out`.
    pub(super) fn apply(&self, text: &str, out: &mut String) {
        match self {
            Self::Lower => out.extend(text.chars().flat_map(char::to_lowercase)),
            Self::Upper => out.extend(text.chars().flat_map(char::to_uppercase)),
            Self::Title => titlecase(text, out),
            Self::Trim(cutset) => out.push_str(text.trim_matches(|c| cuts(cutset, c))),
            Self::TrimLeft(cutset) => out.push_str(text.trim_start_matches(|c| cuts(cutset, c))),
            Self::TrimRight(cutset) => out.push_str(text.trim_end_matches(|c| cuts(cutset, c))),
            Self::Prefix(prefix) => out.push_str(text.strip_prefix(&**prefix).unwrap_or(text)),
            Self::Suffix(suffix) => out.push_str(text.strip_suffix(&**suffix).unwrap_or(text)),
            Self::Replace(old, new) => replace(text, old, new, out),
            Self::Left(width) => out.push_str(&text[..text.floor_char_boundary(*width)]),
            Self::Base64 => {
                let engine = &base64::engine::general_purpose::STANDARD;
                let decoded = engine
                    .decode(text)
                    .ok()
                    .and_then(|b| String::from_utf8(b).ok());
                out.push_str(decoded.as_deref().unwrap_or(text));
            }
            Self::Nothing => out.push_str(text),
        }
    }
}

fn cuts(cutset: &str, c: char) -> bool {
    if cutset.is_empty() {
        c.is_whitespace()
    } else {
        cutset.contains(c)
    }
}

fn titlecase(text: &str, out: &mut String) {
    let mut in_word = false;
    for c in text.chars() {
        // An apostrophe does not begin a word.
        let letter = c.is_alphanumeric() || c == '_' || (in_word && c == '\'');
        if letter && !in_word {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        in_word = letter;
    }
}

fn replace(text: &str, old: &str, new: &str, out: &mut String) {
    let start = out.len();
    let mut rest = text;
    if old.is_empty() {
        // Between all characters and at both ends.
        out.push_str(new);
        for c in text.chars() {
            out.push(c);
            out.push_str(new);
        }
    } else {
        while let Some(at) = rest.find(old) {
            out.push_str(&rest[..at]);
            out.push_str(new);
            rest = &rest[at + old.len()..];
        }
        out.push_str(rest);
    }
    if out.len() == start {
        out.push_str(text);
    }
}
