//! Keeping secrets out of error messages.

use muster_options::{OptionDoc, OptionError};
use toml::{Table, Value};

use crate::mask;

/// A shorter secret is only taken out of messages about itself: it would be found in any text.
const SHORTEST: usize = 4;

/// Replaces the secrets of the table by `***` wherever a message holds them.
pub(super) fn redact(errors: &mut [OptionError], table: &Table, docs: &[OptionDoc]) {
    let mut secrets = Vec::new();
    for (key, value) in table {
        let (secret, parts) = mask::of_key(key, docs);
        collect(value, key, secret, parts, &mut secrets);
    }
    // A secret may hold a shorter one.
    secrets.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    for error in errors {
        for (path, text) in &secrets {
            if text.len() >= SHORTEST || error.path.starts_with(path) {
                hide(&mut error.message, text);
                error.hint.iter_mut().for_each(|hint| hide(hint, text));
            }
        }
    }
}

fn hide(message: &mut String, secret: &str) {
    let quoted = format!("{secret:?}");
    let escaped = quoted.trim_matches('"');
    for form in [secret, escaped] {
        if !form.is_empty() && message.contains(form) {
            *message = message.replace(form, "***");
        }
    }
}

fn collect(
    value: &Value,
    path: &str,
    secret: bool,
    docs: &[OptionDoc],
    out: &mut Vec<(String, String)>,
) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let (is_secret, parts) = mask::of_key(key, docs);
                collect(
                    value,
                    &format!("{path}.{key}"),
                    secret || is_secret,
                    parts,
                    out,
                );
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{at}]"), secret, docs, out);
            }
        }
        Value::Boolean(_) => {}
        Value::String(text) if secret => out.push((path.to_owned(), text.clone())),
        Value::String(text) => {
            let password = mask::url_password(text).and_then(|range| text.get(range));
            out.extend(password.map(|password| (path.to_owned(), password.to_owned())));
        }
        other if secret => out.push((path.to_owned(), other.to_string())),
        _ => {}
    }
}
