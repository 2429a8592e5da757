//! Joining lines to records.

use std::time::Duration as StdDuration;

use muster_options::{Duration, JsonSchema, OptionError};
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A record longer than this is taken as it is.
const LONGEST: usize = 1 << 20;

/// How several lines are joined to one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MultilineOptions {
    /// The regular expression that lines are held against. Without one no lines are joined.
    pattern: String,
    /// With which line one that matches belongs together: the `previous` or the `next`.
    match_which_line: Which,
    /// Lines that do not match are meant instead.
    invert_match: bool,
    /// Keeps the line breaks inside of what was joined.
    preserve_newline: bool,
    /// How long to wait for more lines before what has come is taken as it is.
    timeout: Duration,
}

impl Default for MultilineOptions {
    fn default() -> Self {
        Self {
            pattern: String::new(),
            match_which_line: Which::Previous,
            invert_match: false,
            preserve_newline: false,
            timeout: Duration::from_secs(5),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Which {
    Previous,
    Next,
}

/// The rules by which lines are joined.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pattern: Regex,
    which: Which,
    invert: bool,
    keep_breaks: bool,
    pub(super) timeout: StdDuration,
}

impl Rules {
    /// The rules that the options ask for, if any.
    pub(super) fn new(options: &MultilineOptions) -> Result<Option<Self>, OptionError> {
        if options.pattern.is_empty() {
            return Ok(None);
        }
        let pattern = Regex::new(&options.pattern)
            .map_err(|error| OptionError::new("multiline.pattern", error.to_string()))?;
        Ok(Some(Self {
            pattern,
            which: options.match_which_line,
            invert: options.invert_match,
            keep_breaks: options.preserve_newline,
            timeout: options.timeout.get(),
        }))
    }
}

/// Joins the lines of one file.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    open: Option<Open>,
}

/// A record that may go on.
#[derive(Debug)]
struct Open {
    text: Vec<u8>,
    end: u64,
    since: Instant,
}

impl Joiner {
    /// Takes a line that ends at `end` in its file, and gives the records that are complete now,
    /// with their ends.
    pub(super) fn push(
        &mut self,
        rules: &Rules,
        line: Vec<u8>,
        end: u64,
    ) -> impl Iterator<Item = (Vec<u8>, u64)> + use<> {
        let matches = rules.pattern.is_match(&line) != rules.invert;
        // Whether the line goes on with what is open, and whether that is complete then.
        let (goes_on, complete) = match rules.which {
            Which::Previous => (matches, false),
            Which::Next => (true, !matches),
        };
        let before = if goes_on { None } else { self.finish() };
        let open = self.open.get_or_insert_with(|| Open {
            text: Vec::new(),
            end,
            since: Instant::now(),
        });
        if rules.keep_breaks && !open.text.is_empty() {
            open.text.push(b'\n');
        }
        open.text.extend_from_slice(&line);
        (open.end, open.since) = (end, Instant::now());
        let too_long = open.text.len() > LONGEST;
        let after = if complete || too_long {
            self.finish()
        } else {
            None
        };
        before.into_iter().chain(after)
    }

    /// Takes what is open as it is.
    pub(super) fn finish(&mut self) -> Option<(Vec<u8>, u64)> {
        self.open.take().map(|open| (open.text, open.end))
    }

    /// Since when what is open has waited.
    pub(super) fn since(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &str, lines: &[&str], want: &[&str]) {
        let options: MultilineOptions = toml::from_str(options).unwrap();
        let rules = Rules::new(&options).unwrap().unwrap();
        let mut joiner = Joiner::default();
        let mut got = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            got.extend(joiner.push(&rules, line.as_bytes().to_vec(), at as u64 + 1));
        }
        got.extend(joiner.finish());
        let got: Vec<String> = got
            .iter()
            .map(|(text, end)| format!("{} {end}", String::from_utf8_lossy(text)))
            .collect();
        assert_eq!(got, want, "{options:?}");
    }

    #[test]
    fn joins_lines() {
        check(
            r"pattern = '^\s'",
            &["a", " b", " c", "d"],
            &["a b c 3", "d 4"],
        );
        check(
            "pattern = '^[0-9]'\ninvert_match = true",
            &["1", "x", "2", "y"],
            &["1x 2", "2y 4"],
        );
        check(
            r"pattern = '\\$'
match_which_line = 'next'",
            &[r"a\", "b", "c"],
            &[r"a\b 2", "c 3"],
        );
        check(
            "pattern = '^\\s'\npreserve_newline = true",
            &[" a", " b", "c"],
            &[" a\n b 2", "c 3"],
        );
    }

    #[test]
    fn refuses_a_bad_pattern() {
        let options = MultilineOptions {
            pattern: "(".to_owned(),
            ..MultilineOptions::default()
        };
        assert_eq!(Rules::new(&options).unwrap_err().path, "multiline.pattern");
        assert!(Rules::new(&MultilineOptions::default()).unwrap().is_none());
    }
}
