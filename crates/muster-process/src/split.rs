//! Cutting a command line into words, as a shell does, but without running anything.

/// A command line that ends inside of something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quotation mark without its partner.
    #[error("the quotation mark {0} is not closed")]
    Unclosed(char),
    /// A backslash at the very end.
    #[error("there is nothing after the last backslash")]
    Escape,
}

/// Cuts a command line into words. Words are separated by white space; single quotes keep
/// everything, double quotes keep everything but `\"`, `\\`, `\$` and `` \` ``; a backslash outside
/// of quotes keeps the next character. Nothing is expanded.
///
/// ```
/// let words = muster_process::split(r#"awk -F: '{print $1}' "my file" a\ b"#).unwrap();
/// assert_eq!(words, ["awk", "-F:", "{print $1}", "my file", "a b"]);
/// ```
///
/// # Errors
/// If a quotation mark is not closed or the line ends with a backslash.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::Unclosed('\''))? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next().ok_or(SplitError::Escape)? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), SplitError> {
    let unclosed = SplitError::Unclosed('"');
    loop {
        match chars.next().ok_or(unclosed.clone())? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(unclosed.clone())? {
                '\n' => {}
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// Writes words as a command line that [`split`] and a shell read back as the same words.
pub fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quote = |word: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
        if !word.is_empty() && word.bytes().all(plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_as_a_shell_does() {
        let check = |line: &str, want: &[&str]| {
            assert_eq!(
                split(line).as_deref(),
                Ok(&want.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{line}"
            );
        };
        check("", &[]);
        check("  a  b\tc\n", &["a", "b", "c"]);
        check("a'b c'd", &["ab cd"]);
        check("'' \"\"", &["", ""]);
        check(r#""a \" \$ \` \\ \n""#, &[r#"a " $ ` \ \n"#]);
        check(r"'a\b'", &[r"a\b"]);
        check("a\\\nb", &["ab"]);
        check(
            "sh -c 'echo \"$A\" | wc -c'",
            &["sh", "-c", "echo \"$A\" | wc -c"],
        );
        assert_eq!(split("a 'b"), Err(SplitError::Unclosed('\'')));
        assert_eq!(split("a \"b\\"), Err(SplitError::Unclosed('"')));
        assert_eq!(split("a \\"), Err(SplitError::Escape));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(words in proptest::collection::vec(".{0,8}", 0..5)) {
            let line = join(words.iter().map(String::as_str));
            prop_assert_eq!(split(&line), Ok(words));
        }

        #[test]
        fn never_panics(line in ".*") {
            let _ = split(&line);
        }
    }
}
