//! Go's notation for regular expressions, in that of the `regex` crate.
//!
//! Both come from RE2, but differ in small things that configurations rely on:
//! - `\d`, `\w`, `\s` and `\b` mean ASCII in Go.
//! - `[`, `&&`, `--` and `~~` within a class are plain characters in Go.
//! - A brace that is no repetition is a plain character in Go.
//! - `\Q...\E` quotes, and any punctuation may be escaped, also `<` and `>`.

use muster_options::OptionError;
use regex::{Regex, RegexBuilder};

/// The most memory that a compiled pattern takes.
const SIZE_LIMIT: usize = 8 << 20;

/// Compiles the pattern that stands in the option `path`.
pub(super) fn compile(path: &str, pattern: &str) -> Result<Regex, OptionError> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| {
            // The crate shows the pattern with a caret; its last line says what is wrong.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            OptionError::new(
                path,
                format!("\"{pattern}\" is no regular expression: {reason}"),
            )
        })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' => escape(rest, false, &mut out),
            '[' => class(rest, &mut out),
            '{' if !is_repetition(rest) => {
                out.push_str(r"\{");
                1
            }
            c => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// Translates the class at the beginning of `pattern`; returns how many bytes it has.
fn class(pattern: &str, out: &mut String) -> usize {
    let negated = pattern[1..].starts_with('^');
    out.push_str(if negated { "[^" } else { "[" });
    let start = 1 + usize::from(negated);
    let mut at = start;
    while let Some(c) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        at += match c {
            // A bracket that would close at once is a member.
            ']' if at > start => {
                out.push(']');
                return at + 1;
            }
            '[' if posix_class(rest).is_some() => {
                let len = posix_class(rest).unwrap_or(1);
                out.push_str(&rest[..len]);
                len
            }
            '\\' => escape(rest, true, out),
            c => {
                push_literal(c, out);
                c.len_utf8()
            }
        };
        // A dash between two characters makes a range; elsewhere it is a member.
        if rest.starts_with(r"\") && rest[1..].starts_with(['d', 'D', 'w', 'W', 's', 'S', 'p', 'P'])
        {
            continue;
        }
        let range = pattern[at..]
            .strip_prefix('-')
            .and_then(|rest| rest.chars().next());
        if let Some(end) = range.filter(|end| *end != ']') {
            out.push('-');
            at += 1;
            at += match end {
                '\\' => escape(&pattern[at..], true, out),
                end => {
                    push_literal(end, out);
                    end.len_utf8()
                }
            };
        }
    }
    at
}

fn push_literal(c: char, out: &mut String) {
    let mut buffer = [0; 4];
    out.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
}

/// Translates the escape at the beginning of `rest`; returns how many bytes it has.
fn escape(rest: &str, in_class: bool, out: &mut String) -> usize {
    let Some(c) = rest[1..].chars().next() else {
        out.push('\\');
        return 1;
    };
    let ascii = match (c, in_class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => r"[\t\n\f\r ]",
        ('s', true) => r"\t\n\f\r ",
        ('S', _) => r"[^\t\n\f\r ]",
        ('b', false) => r"(?-u:\b)",
        ('B', false) => r"(?-u:\B)",
        ('<', _) => "<",
        ('>', _) => ">",
        ('Q', false) => {
            let quoted = &rest[2..];
            let end = quoted.find(r"\E");
            out.push_str(&regex::escape(&quoted[..end.unwrap_or(quoted.len())]));
            return 2 + end.map_or(quoted.len(), |end| end + 2);
        }
        ('p' | 'P' | 'x', _) if rest[2..].starts_with('{') => {
            // What is in the braces belongs to the escape.
            let len = rest.find('}').map_or(rest.len(), |end| end + 1);
            out.push_str(&rest[..len]);
            return len;
        }
        _ => {
            out.push('\\');
            out.push(c);
            return 1 + c.len_utf8();
        }
    };
    out.push_str(ascii);
    2
}

/// The length of `[:alpha:]` and the like.
fn posix_class(rest: &str) -> Option<usize> {
    let name = rest.strip_prefix("[:")?;
    let end = name.find(":]")?;
    let plain = name[..end]
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b == b'^');
    plain.then_some(end + 4)
}

/// Whether a brace opens `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some(end) = rest.find('}') else {
        return false;
    };
    let (from, to) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !from.is_empty() && digits(from) && digits(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, text: &str, want: Option<&str>) {
        let regex = compile("p", pattern).unwrap();
        assert_eq!(
            regex.find(text).map(|m| m.as_str()),
            want,
            "{pattern} on {text}"
        );
    }

    #[test]
    fn means_what_it_means_in_go() {
        check(r"\d+", "٣12", Some("12"));
        check(r"[^\d]+", "1٣2", Some("٣"));
        check(r"[\D]+", "1ab2", Some("ab"));
        check(r"\w+", "é_a1", Some("_a1"));
        check(r"[\w-]+", "..a-b..", Some("a-b"));
        check(r"\bab\b", "x ab y", Some("ab"));
        check(r"[[a]+", "x[a[", Some("[a["));
        check(r"[[:alpha:]]+", "1ab1", Some("ab"));
        check(r"[a&&b]+", "x&&b", Some("&&b"));
        check(r"[+--]+", "a+,-b", Some("+,-"));
        check(r"[\w-]+[.-]", "a-b.", Some("a-b."));
        check(r"[\d-]+", "1-2", Some("1-2"));
        check(r"[\w-.]+", "/a-b.c/", Some("a-b.c"));
        check(r"[a\-c]+", "xb-a", Some("-a"));
        check(r"\p{Greek}\x{41}", "αA", Some("αA"));
        check(r"[\p{Greek}\x{41}]+", "αA", Some("αA"));
        check(r"[]a]+", "x]a]", Some("]a]"));
        check(r"[^]a]+", "]xy]", Some("xy"));
        check(r"a{2}", "aaa", Some("aa"));
        check(r"{name}", "x{name}y", Some("{name}"));
        check(r"a{,2}", "a{,2}", Some("a{,2}"));
        check(r"\<\>\/", "x<>/", Some("<>/"));
        check(r"\Qa.b\Ec", "axbc a.bc", Some("a.bc"));
        check(r"(?i)ABC", "xabc", Some("abc"));
        check(r"^(?P<v>.)$", "é", Some("é"));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = compile("tags[0].pattern", "(a").unwrap_err();
        assert_eq!(error.path, "tags[0].pattern");
        assert_eq!(
            error.message,
            "\"(a\" is no regular expression: unclosed group"
        );
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "\\PC{0,16}", text in "\\PC{0,16}") {
            if let Ok(regex) = compile("p", &pattern) {
                let _ = regex.replace_all(&text, "$1${x}$$");
            }
        }

        #[test]
        fn never_panics_on_what_looks_like_a_pattern(pattern in r"[\\\[\]{}()^$a-c0-9dwsbQE:,&~-]{0,16}") {
            let _ = compile("p", &pattern);
        }
    }
}
