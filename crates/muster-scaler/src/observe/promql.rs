//! Whether a text can be PromQL at all, before Prometheus is asked.
//!
//! Selectors are checked whole. Of an expression only what can be said without its grammar: that
//! texts and brackets are closed. The rest Prometheus says when the configuration is checked.

/// What is wrong with a selector as between braces, such as `job="runner",env=~"a|b"`.
///
/// # Errors
/// The problem and where it is, counted in characters from 1.
pub fn check_selector(text: &str) -> Result<(), String> {
    let mut reader = Reader::new(text);
    loop {
        reader.spaces();
        let label = reader.while_matches(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(reader.expected("the name of a label"));
        }
        reader.spaces();
        let operators = ["=~", "!~", "!=", "="];
        if !operators.iter().any(|operator| reader.take(operator)) {
            return Err(reader.expected("=, !=, =~ or !~"));
        }
        reader.spaces();
        reader.text()?;
        reader.spaces();
        if reader.is_at_end() {
            return Ok(());
        }
        if !reader.take(",") {
            return Err(reader.expected("a comma"));
        }
        reader.spaces();
        if reader.is_at_end() {
            return Ok(());
        }
    }
}

/// What is wrong with an expression, as far as that can be said here.
///
/// # Errors
/// The problem and where it is, counted in characters from 1.
pub fn check_expression(text: &str) -> Result<(), String> {
    let mut reader = Reader::new(text);
    let mut open: Vec<char> = Vec::new();
    reader.spaces();
    if reader.is_at_end() {
        return Err("the expression is empty".to_owned());
    }
    while let Some(c) = reader.peek() {
        match c {
            '"' | '\'' | '`' => {
                reader.text()?;
                continue;
            }
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => {
                let wanted = match open.pop() {
                    Some('(') => ')',
                    Some('[') => ']',
                    Some('{') => '}',
                    _ => return Err(reader.expected("no bracket that closes")),
                };
                if c != wanted {
                    return Err(reader.expected(&format!("\"{wanted}\"")));
                }
            }
            '#' => {
                reader.while_matches(|c| c != '\n');
                continue;
            }
            ';' | '$' | '?' | '\\' | '&' | '|' => {
                return Err(reader.expected("something that PromQL knows"));
            }
            _ => {}
        }
        reader.next();
    }
    match open.pop() {
        Some(bracket) => Err(format!("\"{bracket}\" is not closed")),
        None => Ok(()),
    }
}

struct Reader<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, at: 1 }
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.at += 1;
        Some(c)
    }

    fn take(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else {
            return false;
        };
        self.rest = rest;
        self.at += word.len();
        true
    }

    fn while_matches(&mut self, matches: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !matches(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += taken.chars().count();
        taken
    }

    fn spaces(&mut self) {
        self.while_matches(char::is_whitespace);
    }

    fn text(&mut self) -> Result<(), String> {
        let begin = self.at;
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return Err(self.expected("a text in quotes"));
        };
        self.next();
        while let Some(c) = self.next() {
            if c == quote {
                return Ok(());
            }
            if c == '\\' && quote != '`' {
                self.next();
            }
        }
        Err(format!("the text that begins at {begin} is not closed"))
    }

    fn expected(&self, what: &str) -> String {
        let found = match self.peek() {
            Some(c) => format!("\"{c}\""),
            None => "the end".to_owned(),
        };
        format!("{what} is expected at {}, not {found}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors() {
        let check = |text: &str, want: Result<(), &str>| {
            let got = check_selector(text);
            match want {
                Ok(()) => assert_eq!(got, Ok(()), "{text}"),
                Err(part) => {
                    let error = got.expect_err(text);
                    assert!(error.contains(part), "{text}: {error}");
                }
            }
        };
        check(r#"job="gitlab-runner",pool="small""#, Ok(()));
        check(r#" job =~ "a|b\"}" , x != 'y', "#, Ok(()));
        check("job=`x`", Ok(()));
        check(r#"job=runner"#, Err("a text in quotes is expected at 5"));
        check(r#"job="x" pool="y""#, Err("a comma is expected at 9"));
        check(r#"{job="x"}"#, Err("the name of a label"));
        check(r#"job="x"} or up{a="b""#, Err("a comma"));
        check(r#"job=="x""#, Err("a text"));
        check(r#"job="x"#, Err("not closed"));
        check("", Err("the name of a label"));
    }

    #[test]
    fn expressions() {
        let check = |text: &str, fits: bool| {
            let got = check_expression(text);
            assert_eq!(got.is_ok(), fits, "{text}: {got:?}");
        };
        check(
            r#"sum(ci_pending_builds{shared_runners="yes"}) or vector(0)"#,
            true,
        );
        check("rate(x[5m] offset 1m) # a word", true);
        check("sum(x", false);
        check("sum(x]", false);
        check("x)", false);
        check(r#"x{a="b}"#, false);
        check("a && b", false);
        check(" ", false);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = (check_selector(&text), check_expression(&text));
        }

        #[test]
        fn a_selector_that_fits_cannot_end_its_braces(text in "[a-z=\"'`{}, !~\\\\]*") {
            if check_selector(&text).is_ok() {
                prop_assert_eq!(check_expression(&format!("up{{{text}}}")), Ok(()));
            }
        }
    }
}
