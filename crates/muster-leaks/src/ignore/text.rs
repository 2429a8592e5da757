//! Ignore rules as text, for options and files.

use std::str::FromStr;

use muster_options::Globs;

use super::IgnoreRule;

/// A text that is no ignore rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{rule}\" is no rule: {why}")]
pub struct RuleError {
    rule: String,
    why: String,
}

/// Reads a rule: words with `=`, separated by blanks, all of which must hold. `function=PATTERN`,
/// `file=PATTERN`, `created_by=PATTERN`, `label=KEY:PATTERN`, `max_count=NUMBER`. A word without
/// `=` is the pattern of a function. In patterns `*` and `?` stand for other characters.
///
/// ```
/// let rule: muster_leaks::IgnoreRule = "github.com/acme/cache.* max_count=20".parse()?;
/// assert_eq!(rule.max_count, Some(20));
/// assert!("size=3".parse::<muster_leaks::IgnoreRule>().is_err());
/// # Ok::<(), muster_leaks::ignore::RuleError>(())
/// ```
impl FromStr for IgnoreRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |why: String| RuleError {
            rule: text.to_owned(),
            why,
        };
        let globs = |pattern: &str| match pattern {
            "" => Err(wrong("a pattern is empty".to_owned())),
            _ => Globs::new(&[pattern], &[]).map_err(|error| wrong(error.to_string())),
        };
        let mut rule = Self::default();
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or(("function", word));
            match key {
                "function" => rule.function = globs(value)?,
                "file" => rule.file = globs(value)?,
                "created_by" => rule.created_by = globs(value)?,
                "label" => {
                    let (key, value) = value
                        .split_once(':')
                        .ok_or_else(|| wrong("a label is written label=KEY:PATTERN".to_owned()))?;
                    rule.label = Some((key.to_owned(), globs(value)?));
                }
                "max_count" => {
                    let count = value.parse();
                    let count = count.map_err(|_| wrong(format!("{value:?} is no number")))?;
                    rule.max_count = Some(count);
                }
                key => {
                    return Err(wrong(format!(
                        "there is no {key:?}; there are function, file, created_by, label and \
                         max_count"
                    )));
                }
            }
        }
        let patterns = [&rule.function, &rule.file, &rule.created_by];
        if rule.label.is_none() && patterns.iter().all(|globs| globs.is_empty()) {
            return Err(wrong(
                "it names no function, file, creator or label".to_owned(),
            ));
        }
        if rule.label.is_some() && (!rule.created_by.is_empty() || rule.max_count.is_some()) {
            let why = "a rule with a label has neither created_by nor max_count";
            return Err(wrong(why.to_owned()));
        }
        Ok(rule)
    }
}

/// Reads the rules of a file: one on each line; empty lines and those that begin with `#` are left
/// out.
///
/// # Errors
/// The number of the first line that is no rule, from 1, and what is wrong with it.
pub fn rules(text: &str) -> Result<Vec<IgnoreRule>, (usize, RuleError)> {
    (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| line.parse().map_err(|error| (number, error)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_wrong_ones_explained() {
        let rule: IgnoreRule = "main.* file=*/cache/* created_by=main.New* max_count=7"
            .parse()
            .unwrap();
        assert!(rule.function.matches("main.run") && rule.file.matches("a/cache/b.go"));
        assert!(rule.created_by.matches("main.NewPool") && rule.max_count == Some(7));
        let rule: IgnoreRule = "label=job:sweep*".parse().unwrap();
        assert!(
            rule.label
                .is_some_and(|(key, globs)| key == "job" && globs.matches("sweeper"))
        );
        let wrong = |text: &str, part: &str| {
            let error = text.parse::<IgnoreRule>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        };
        wrong("", "names no");
        wrong("max_count=3", "names no");
        wrong("function=", "empty");
        wrong("colour=red", "\"colour\"");
        wrong("f max_count=many", "\"many\"");
        wrong("label=job", "KEY:PATTERN");
        wrong("label=job:x max_count=3", "neither");
    }

    #[test]
    fn a_file_has_a_rule_on_each_line() {
        let read = rules("# known\n\nmain.pool max_count=9\n  file=*/x.go\n").unwrap();
        assert_eq!(read.len(), 2);
        let (line, error) = rules("main.f\nsize=3\n").unwrap_err();
        assert!(line == 2 && error.to_string().contains("size"));
    }
}
