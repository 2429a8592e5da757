//! From a table to a struct of options, with every problem at once.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{OptionDoc, describe, suggest};

/// So many problems of one table are reported; more would bury the reader.
const MOST_ERRORS: usize = 50;

/// What is wrong with one option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct OptionError {
    /// Where: keys joined by dots, list positions in brackets (`servers[2].url`); empty for the
    /// table as a whole.
    pub path: String,
    /// What is wrong, as a lower-case phrase.
    pub message: String,
    /// What would be right, if that can be said.
    pub hint: Option<String>,
}

impl OptionError {
    /// A problem with the option at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what would be right.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A struct of options. Every type that serde can read and write and schemars can describe is
/// one; derive `Serialize`, `Deserialize` and `JsonSchema`, put
/// `#[serde(default, deny_unknown_fields)]` on it, and write a doc comment on every field.
pub trait Options: DeserializeOwned + Serialize + JsonSchema {
    /// Reads the options from a table whose strings are resolved already.
    ///
    /// # Errors
    /// All that is wrong, up to 50 problems: unknown keys, wrong types, bad values.
    fn parse(table: &Table) -> Result<Self, Vec<OptionError>> {
        parse(table)
    }

    /// Names, types, defaults and docs of the options, in the struct's order.
    fn describe() -> Vec<OptionDoc> {
        describe::describe::<Self>()
    }
}

impl<T: DeserializeOwned + Serialize + JsonSchema> Options for T {}

/// One table that holds the options of several structs side by side: a plugin's own, and those
/// that it shares with others (TLS, HTTP, a data format).
///
/// ```
/// # use muster_options::{JsonSchema, Parts};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, JsonSchema)]
/// # #[serde(default, deny_unknown_fields)]
/// # #[derive(Default)]
/// # struct Tls { tls_ca: String }
/// # #[derive(Serialize, Deserialize, JsonSchema)]
/// # #[serde(default, deny_unknown_fields)]
/// # #[derive(Default)]
/// # struct Own { url: String }
/// let table = toml::from_str("url = 'https://localhost'\ntls_ca = 'ca.pem'").unwrap();
/// let mut parts = Parts::new(&table);
/// let tls: Tls = parts.take();
/// let own: Own = parts.rest().unwrap();
/// assert_eq!((tls.tls_ca.as_str(), own.url.as_str()), ("ca.pem", "https://localhost"));
/// ```
#[derive(Debug)]
pub struct Parts {
    rest: Table,
    taken: Vec<String>,
    errors: Vec<OptionError>,
}

impl Parts {
    /// Starts with all options of the table.
    pub fn new(table: &Table) -> Self {
        Self {
            rest: table.clone(),
            taken: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Takes out and reads the options that belong to `T`. What is wrong is reported by
    /// [`rest`](Self::rest); until then the defaults stand in.
    pub fn take<T: Options + Default>(&mut self) -> T {
        let mut own = Table::new();
        for option in T::describe() {
            if let Some(value) = self.rest.remove(&option.name) {
                own.insert(option.name.clone(), value);
            }
            self.taken.push(option.name);
        }
        match T::parse(&own) {
            Ok(options) => options,
            Err(errors) => {
                self.errors.extend(errors);
                T::default()
            }
        }
    }

    /// Reads what is left as `T`.
    ///
    /// # Errors
    /// All that is wrong with this part and those taken before.
    pub fn rest<T: Options>(self) -> Result<T, Vec<OptionError>> {
        let mut errors = self.errors;
        match T::parse(&self.rest) {
            Ok(options) if errors.is_empty() => Ok(options),
            Ok(_) => Err(errors),
            Err(mut more) => {
                for error in &mut more {
                    let near = suggest(&error.path, self.taken.iter().map(String::as_str));
                    let guessed = error
                        .hint
                        .as_ref()
                        .is_some_and(|h| h.starts_with("did you"));
                    if error.message.starts_with("unknown option") && !guessed {
                        error.hint = near
                            .map(|n| format!("did you mean `{n}`?"))
                            .or(error.hint.take());
                    }
                }
                errors.extend(more);
                Err(errors)
            }
        }
    }
}

/// Serde stops at the first problem: so each problem is noted, its key taken out, and the rest
/// read again.
fn parse<T: DeserializeOwned>(table: &Table) -> Result<T, Vec<OptionError>> {
    let mut rest = table.clone();
    let mut errors = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(rest.clone())) {
            Ok(options) if errors.is_empty() => return Ok(options),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let (path, problem) = explain(path, error.inner().message());
        let removed = remove(&mut rest, &path);
        errors.push(problem);
        if !removed || errors.len() >= MOST_ERRORS {
            return Err(errors);
        }
    }
}

/// Puts serde's words into the user's, and finds the key that an unknown-field error is about.
fn explain(path: String, message: &str) -> (String, OptionError) {
    let message = message.trim_end();
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((key, expected)) = rest.split_once('`')
    {
        let parent = path
            .strip_suffix(key)
            .map_or(path.as_str(), |p| p.trim_end_matches('.'));
        let full = if parent.is_empty() {
            key.to_owned()
        } else {
            format!("{parent}.{key}")
        };
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let mut error = OptionError::new(&full, format!("unknown option `{key}`"));
        if let Some(near) = suggest(key, known.iter().copied()) {
            error = error.with_hint(format!("did you mean `{near}`?"));
        } else if !known.is_empty() {
            error = error.with_hint(format!("known options: {}", known.join(", ")));
        }
        return (full, error);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((given, expected)) = rest.split_once('`')
    {
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let mut error = OptionError::new(
            &path,
            format!(
                "unknown value \"{given}\"; possible are {}",
                known.join(", ")
            ),
        );
        if let Some(near) = suggest(given, known.iter().copied()) {
            error = error.with_hint(format!("did you mean \"{near}\"?"));
        }
        return (path, error);
    }
    let words = match message
        .strip_prefix("invalid type: ")
        .and_then(|m| m.split_once(", expected "))
    {
        Some((found, expected)) => format!("expected {expected}, found {found}"),
        None => message.to_owned(),
    };
    let error = OptionError::new(&path, words);
    (path, error)
}

/// Takes the value at `path` out of the table. Of a list, the whole list goes.
fn remove(table: &mut Table, path: &str) -> bool {
    let path = path.split('[').next().unwrap_or(path);
    match path.split_once('.') {
        _ if table.contains_key(path) => table.remove(path).is_some(),
        Some((first, rest)) => match table.get_mut(first) {
            Some(Value::Table(inner)) => remove(inner, rest) || table.remove(first).is_some(),
            Some(_) => table.remove(first).is_some(),
            None => false,
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Duration, Secret, Size};
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        urls: Vec<String>,
        timeout: Duration,
        limit: Size,
        token: Secret,
        #[serde(alias = "old_mode")]
        mode: Mode,
        nested: Vec<Nested>,
        headers: BTreeMap<String, String>,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Fast,
        Slow,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Nested {
        name: String,
        count: u32,
    }

    fn check(text: &str, want: &[(&str, &str, Option<&str>)]) {
        let table: Table = toml::from_str(text).unwrap();
        let got = Sample::parse(&table).err().unwrap_or_default();
        let got: Vec<_> = got
            .iter()
            .map(|e| (e.path.as_str(), e.message.as_str(), e.hint.as_deref()))
            .collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn reports_every_problem_with_its_place() {
        check(
            "urls = ['a']\ntimeout = 3\nlimit = '1KiB'\nold_mode = 'slow'",
            &[],
        );
        check(
            "url = ['a']\nlimit = 'much'\nmode = 'fats'",
            &[
                (
                    "limit",
                    "\"much\" is no size: write a number of bytes or for example \"64KiB\" or \"10MB\"",
                    None,
                ),
                (
                    "mode",
                    "unknown value \"fats\"; possible are fast, slow",
                    Some("did you mean \"fast\"?"),
                ),
                ("url", "unknown option `url`", Some("did you mean `urls`?")),
            ],
        );
        check(
            "[[nested]]\nname = 'x'\n[[nested]]\nnam = 'y'",
            &[(
                "nested[1].nam",
                "unknown option `nam`",
                Some("did you mean `name`?"),
            )],
        );
        check(
            "[headers]\nx = 1",
            &[("headers.x", "expected a string, found integer `1`", None)],
        );
        check(
            "[[nested]]\ncount = -1",
            &[(
                "nested[0].count",
                "invalid value: integer `-1`, expected u32",
                None,
            )],
        );
    }
}
