//! Texts in URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 leaves alone everywhere.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A text as one segment of a path, or as a key or value of a query: whatever it holds, it ends
/// nothing there. The encoding is that of RFC 3986, section 2.1.
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_it_is_encoded() {
        let check = |text, expected| assert_eq!(path_segment(text), expected);
        check("42", "42");
        check("a-b_c.d~e", "a-b_c.d~e");
        check("group/sub-group/a b", "group%2Fsub-group%2Fa%20b");
        check("^a?b&c=d#e%", "%5Ea%3Fb%26c%3Dd%23e%25");
        check("^a b/ö", "%5Ea%20b%2F%C3%B6");
        check("a/b c&d", "a%2Fb%20c%26d");
    }
}
