//! Patterns as Telegraf's filters have them.

use std::fmt;

use regex::Regex;

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern: {problem}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// A list of patterns, of which one must match the whole text.
///
/// `*` stands for any text, `?` for any character, `[abc]`, `[a-z]` and `[!abc]` for one of or none
/// of these characters, `{one,other}` for one of these patterns; a backslash takes the meaning from
/// the next character. `*` and `?` do not match separators, if there are any; `**` does.
///
/// As in Telegraf, a list without separators in which no pattern has `*`, `?` or `[` is a list of
/// plain texts: then `{a,b}` matches only `{a,b}`.
#[derive(Clone, Default)]
pub struct Globs {
    matchers: Vec<Matcher>,
}

/// How one pattern is matched: what is common is quick.
#[derive(Clone)]
enum Matcher {
    Exactly(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Anything,
    Regex(Regex),
}

impl Globs {
    /// Compiles a list of patterns.
    ///
    /// # Errors
    /// If a pattern is malformed.
    pub fn new<S: AsRef<str>>(patterns: &[S], separators: &[char]) -> Result<Self, GlobError> {
        let is_glob = |p: &S| p.as_ref().contains(['*', '?', '[']);
        if separators.is_empty() && !patterns.iter().any(is_glob) {
            let exactly = |p: &S| Matcher::Exactly(p.as_ref().into());
            return Ok(Self {
                matchers: patterns.iter().map(exactly).collect(),
            });
        }
        // Several patterns are one with alternatives: a comma at the top divides there, too.
        let inside_list = patterns.len() > 1;
        let mut matchers = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let wrong = |problem| GlobError {
                pattern: pattern.to_owned(),
                problem,
            };
            let mut parser = PatternParser {
                rest: pattern,
                depth: 0,
            };
            loop {
                let tokens = parser.sequence(inside_list).map_err(wrong)?;
                matchers.push(Matcher::of(&tokens, separators).map_err(wrong)?);
                match parser.next() {
                    None => break,
                    Some(',') => {}
                    Some(_) => return Err(wrong("a } has no {")),
                }
            }
        }
        Ok(Self { matchers })
    }

    /// Whether one of the patterns matches the whole text.
    pub fn matches(&self, text: &str) -> bool {
        self.matchers.iter().any(|matcher| matcher.matches(text))
    }

    /// Whether there is no pattern; then nothing matches.
    pub fn is_empty(&self) -> bool {
        self.matchers.is_empty()
    }
}

impl fmt::Debug for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.matchers.iter().map(|matcher| match matcher {
            Matcher::Exactly(text) => format!("={text}"),
            Matcher::Prefix(text) => format!("{text}*"),
            Matcher::Suffix(text) => format!("*{text}"),
            Matcher::Contains(text) => format!("*{text}*"),
            Matcher::Anything => "*".to_owned(),
            Matcher::Regex(regex) => regex.as_str().to_owned(),
        });
        f.debug_list().entries(shown).finish()
    }
}

impl Matcher {
    fn of(tokens: &[Token], separators: &[char]) -> Result<Self, &'static str> {
        use Token::{Any, Super, Text};
        let wide = |t: &Token| matches!(t, Super) || (matches!(t, Any) && separators.is_empty());
        Ok(match tokens {
            [] => Self::Exactly("".into()),
            [Text(text)] => Self::Exactly(text.as_str().into()),
            [one] if wide(one) => Self::Anything,
            [Text(text), end] if wide(end) => Self::Prefix(text.as_str().into()),
            [start, Text(text)] if wide(start) => Self::Suffix(text.as_str().into()),
            [start, Text(text), end] if wide(start) && wide(end) => {
                Self::Contains(text.as_str().into())
            }
            tokens => {
                let mut source = String::from(r"(?s)\A");
                write_all(tokens, separators, &mut source);
                source.push_str(r"\z");
                Self::Regex(Regex::new(&source).map_err(|_| "it is too large")?)
            }
        })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(want) => **want == *text,
            Self::Prefix(want) => text.starts_with(&**want),
            Self::Suffix(want) => text.ends_with(&**want),
            Self::Contains(want) => text.contains(&**want),
            Self::Anything => true,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug)]
enum Token {
    Text(String),
    /// `*`
    Any,
    /// `**`
    Super,
    /// `?`
    Single,
    /// Ranges of characters, ends included, and whether it is none of them.
    Class(Vec<(char, char)>, bool),
    OneOf(Vec<Vec<Self>>),
}

fn write_all(tokens: &[Token], separators: &[char], out: &mut String) {
    let not_separator = || {
        let mut class = String::from("[^");
        separators
            .iter()
            .for_each(|c| push_class_char(*c, &mut class));
        class + "]"
    };
    for token in tokens {
        match token {
            Token::Text(text) => out.push_str(&regex::escape(text)),
            Token::Super => out.push_str(".*"),
            Token::Any if separators.is_empty() => out.push_str(".*"),
            Token::Single if separators.is_empty() => out.push('.'),
            Token::Any => out.push_str(&(not_separator() + "*")),
            Token::Single => out.push_str(&not_separator()),
            Token::Class(ranges, negated) => {
                out.push_str(if *negated { "[^" } else { "[" });
                for (from, to) in ranges {
                    push_class_char(*from, out);
                    out.push('-');
                    push_class_char(*to, out);
                }
                out.push(']');
            }
            Token::OneOf(branches) => {
                out.push_str("(?:");
                for (at, branch) in branches.iter().enumerate() {
                    if at > 0 {
                        out.push('|');
                    }
                    write_all(branch, separators, out);
                }
                out.push(')');
            }
        }
    }
}

fn push_class_char(c: char, out: &mut String) {
    out.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
}

/// Braces in braces are read to this depth.
const MOST_DEPTH: usize = 32;

struct PatternParser<'a> {
    rest: &'a str,
    depth: usize,
}

impl PatternParser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn next_is(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Reads to the end or, within braces or a list, up to the `,` or `}` that ends this branch.
    fn sequence(&mut self, inside: bool) -> Result<Vec<Token>, &'static str> {
        let mut tokens = Vec::new();
        loop {
            if inside && self.rest.starts_with([',', '}']) {
                break;
            }
            let Some(c) = self.next() else { break };
            let c = match c {
                '*' if self.next_is('*') => {
                    tokens.push(Token::Super);
                    continue;
                }
                '*' => {
                    tokens.push(Token::Any);
                    continue;
                }
                '?' => {
                    tokens.push(Token::Single);
                    continue;
                }
                '[' => {
                    tokens.push(self.class()?);
                    continue;
                }
                '{' => {
                    tokens.push(self.one_of()?);
                    continue;
                }
                '\\' => match self.next() {
                    Some(escaped) => escaped,
                    None => break,
                },
                c => c,
            };
            match tokens.last_mut() {
                Some(Token::Text(text)) => text.push(c),
                _ => tokens.push(Token::Text(c.into())),
            }
        }
        Ok(tokens)
    }

    fn one_of(&mut self) -> Result<Token, &'static str> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err("it has too many braces in braces");
        }
        let mut branches = Vec::new();
        loop {
            branches.push(self.sequence(true)?);
            match self.next() {
                Some(',') => {}
                Some(_) => break,
                None => return Err("a { has no }"),
            }
        }
        self.depth -= 1;
        Ok(Token::OneOf(branches))
    }

    /// A class is a list of ranges if its first character begins one; else its characters stand
    /// for themselves, `-` included.
    fn class(&mut self) -> Result<Token, &'static str> {
        const OPEN: &str = "a [ has no ]";
        let negated = self.next_is('!');
        let mut chars = Vec::new();
        let ranges = self.rest.chars().nth(1) == Some('-') && !self.rest.starts_with('\\');
        loop {
            let c = match self.next().ok_or(OPEN)? {
                ']' if chars.is_empty() => return Err("a [ is followed by ] at once"),
                ']' => break,
                '\\' => self.next().ok_or(OPEN)?,
                c => c,
            };
            if ranges && self.next_is('-') {
                let to = self.next().ok_or(OPEN)?;
                if to < c {
                    return Err("a range ends before it begins");
                }
                chars.push((c, to));
            } else {
                chars.push((c, c));
            }
        }
        Ok(Token::Class(chars, negated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(patterns: &[&str], separators: &str, yes: &[&str], no: &[&str]) {
        let separators: Vec<char> = separators.chars().collect();
        let globs = Globs::new(patterns, &separators).unwrap();
        for text in yes {
            assert!(globs.matches(text), "{patterns:?} {text:?} {globs:?}");
        }
        for text in no {
            assert!(!globs.matches(text), "{patterns:?} {text:?} {globs:?}");
        }
    }

    #[test]
    fn matches_as_telegraf_does() {
        check(&["cpu"], "", &["cpu"], &["cpu0", "", "CPU"]);
        check(&["cpu*"], "", &["cpu", "cpu.total"], &["acpu"]);
        check(&["*cpu"], "", &["cpu", "x.cpu"], &["cpu0"]);
        check(&["*cpu*"], "", &["cpu", "x.cpu.y"], &["cp"]);
        check(&["*"], "", &["", "x\ny"], &[]);
        check(&["c?u"], "", &["cpu", "cäu"], &["cu", "cppu"]);
        check(&["[abc]x"], "", &["ax", "cx"], &["dx", "x"]);
        check(&["[!abc]x"], "", &["dx"], &["ax"]);
        check(&["cpu[0-3]"], "", &["cpu0", "cpu3"], &["cpu4", "cpu-"]);
        check(&["[ab-d]"], "", &["a", "b", "-", "d"], &["c"]);
        check(&["[a-zA-Z]"], "", &["q", "Q"], &["1"]);
        check(&["{cpu,mem}*"], "", &["cpu", "memory"], &["disk"]);
        check(
            &["a{b,{c,d}e,}f"],
            ".",
            &["abf", "acef", "adef", "af"],
            &["aef"],
        );
        check(&[r"a\*?"], "", &["a*b"], &["axb"]);
        check(
            &["disk", "net*"],
            "",
            &["disk", "net", "netstat"],
            &["disks"],
        );
        check(&[], "", &[], &["", "x"]);
    }

    #[test]
    fn a_list_of_plain_texts_is_no_glob() {
        check(&["{a,b}"], "", &["{a,b}"], &["a"]);
        check(&["{a,b}", "c"], "", &["{a,b}", "c"], &["a"]);
        check(&["{a,b}", "c*"], "", &["a", "b", "c"], &["{a,b}"]);
        check(&["a,b", "c*"], "", &["a", "b", "cc"], &["a,b"]);
        check(&["a,b*"], "", &["a,b", "a,bc"], &["a"]);
        check(&["{a,b}"], ".", &["a", "b"], &["{a,b}"]);
    }

    #[test]
    fn separators_stop_one_star_but_not_two() {
        check(&["a.*.c"], ".", &["a.b.c", "a..c"], &["a.b.b.c"]);
        check(&["a.**"], ".", &["a.b.c", "a."], &["a"]);
        check(&["a?b"], ".:", &["axb"], &["a.b", "a:b"]);
        check(&["*"], ".", &["ab", ""], &["a.b"]);
        check(&["[!x]"], ".", &["."], &["x"]);
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |pattern: &str, want| {
            assert_eq!(
                Globs::new(&[pattern], &['.']).unwrap_err().problem,
                want,
                "{pattern}"
            );
        };
        check("{a", "a { has no }");
        check("[a", "a [ has no ]");
        check("[]", "a [ is followed by ] at once");
        check("[c-a]", "a range ends before it begins");
        check(&"{".repeat(100), "it has too many braces in braces");
        assert!(Globs::new(&["a*", "b}"], &[]).is_err());
    }

    /// The rules once more, in the simplest form: which texts the tokens can begin.
    fn model(tokens: &[Token], separators: &[char], text: &str) -> bool {
        fn rests<'t>(tokens: &[Token], separators: &[char], text: &'t str) -> Vec<&'t str> {
            let Some((first, more)) = tokens.split_first() else {
                return vec![text];
            };
            let mut heads = Vec::new();
            let head = text.chars().next();
            let skip = |n: usize| &text[n..];
            match first {
                Token::Text(want) => heads.extend(text.strip_prefix(want.as_str())),
                Token::Any | Token::Super => {
                    heads.push(text);
                    for (at, c) in text.char_indices() {
                        if matches!(first, Token::Any) && separators.contains(&c) {
                            break;
                        }
                        heads.push(skip(at + c.len_utf8()));
                    }
                }
                Token::Single => {
                    heads.extend(
                        head.filter(|c| !separators.contains(c))
                            .map(|c| skip(c.len_utf8())),
                    );
                }
                Token::Class(ranges, negated) => heads.extend(
                    head.filter(|c| ranges.iter().any(|(a, b)| (a..=b).contains(&c)) != *negated)
                        .map(|c| skip(c.len_utf8())),
                ),
                Token::OneOf(branches) => {
                    branches
                        .iter()
                        .for_each(|b| heads.extend(rests(b, separators, text)));
                }
            }
            heads
                .into_iter()
                .flat_map(|rest| rests(more, separators, rest))
                .collect()
        }
        rests(tokens, separators, text).contains(&"")
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(pattern in r"[ab.*?\[\]!{},\\-]{0,7}", text in "[ab.]{0,6}", dot: bool) {
            let separators: &[char] = if dot { &['.'] } else { &[] };
            let mut parser = PatternParser { rest: &pattern, depth: 0 };
            let parsed = parser.sequence(false);
            let globs = Globs::new(&[&pattern], separators);
            if dot || pattern.contains(['*', '?', '[']) {
                match (parsed, globs) {
                    (Ok(tokens), Ok(globs)) => {
                        prop_assert_eq!(globs.matches(&text), model(&tokens, separators, &text), "{:?}", globs);
                    }
                    (parsed, globs) => prop_assert_eq!(parsed.is_err(), globs.is_err()),
                }
            }
        }

        #[test]
        fn never_panics(patterns in prop::collection::vec(".*", 0..3), text: String) {
            let _ = Globs::new(&patterns, &['.']).map(|globs| globs.matches(&text));
            let _ = Globs::new(&patterns, &[]).map(|globs| globs.matches(&text));
        }
    }
}
