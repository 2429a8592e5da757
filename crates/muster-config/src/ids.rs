//! Identifiers: which texts are one, and how a component without one gets it.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::document::{Document, Node};

/// The longest identifier.
const LONGEST: usize = 128;

/// So many characters of the hash make an identifier.
const HASH_DIGITS: usize = 8;

/// A text that is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no ID: an ID has 1 to 128 letters, digits and `.` `_` `:` `@` `-`, and begins with a letter, a digit or `_`"
)]
pub struct InvalidId(pub String);

/// Checks that a text can be a component's ID.
///
/// # Errors
/// If it cannot.
pub fn check_id(id: &str) -> Result<(), InvalidId> {
    let first = id.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let valid = first && id.len() <= LONGEST && id.chars().all(is_id_char);
    if valid {
        Ok(())
    } else {
        Err(InvalidId(id.chars().take(LONGEST).collect()))
    }
}

fn is_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '@' | '-')
}

/// The ID of a component that was given none: its alias, else the plugin's name with a hash of the
/// options. For components that are not read from a text.
pub fn derive_id(plugin: &str, options: &Table) -> String {
    if let Some(id) = options
        .get("alias")
        .and_then(Value::as_str)
        .and_then(from_alias)
    {
        return id;
    }
    let mut pairs = Vec::new();
    flatten(options, "", &mut pairs);
    hashed(plugin, plugin, pairs)
}

/// An alias as an ID: what an ID cannot have becomes `-`.
pub(crate) fn from_alias(alias: &str) -> Option<String> {
    let fit = |c: char| if is_id_char(c) { c } else { '-' };
    let id: String = alias.trim().chars().map(fit).take(LONGEST).collect();
    check_id(&id).is_ok().then_some(id)
}

/// The ID of an anonymous table, from the hash that Telegraf makes of it: of the options as they
/// are written in the file.
pub(crate) fn anonymous(
    category: &str,
    plugin: &str,
    table: &DeTable<'_>,
    document: &Document<'_>,
) -> String {
    let mut pairs = Vec::new();
    flatten_raw(table, "", document, &mut pairs);
    hashed(&format!("{category}.{plugin}"), plugin, pairs)
}

fn hashed(subject: &str, plugin: &str, mut pairs: Vec<(String, String)>) -> String {
    pairs.sort();
    let mut hash = Sha256::new();
    hash.update(subject);
    hash.update([0]);
    for (key, value) in pairs {
        hash.update(key);
        hash.update(":");
        hash.update(value);
        hash.update([0]);
    }
    let mut digits = String::new();
    for byte in hash.finalize().iter().take(HASH_DIGITS.div_ceil(2)) {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    let name: String = plugin.chars().filter(|c| is_id_char(*c)).take(64).collect();
    format!("{name}-{digits}")
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

fn flatten_raw(
    table: &DeTable<'_>,
    prefix: &str,
    document: &Document<'_>,
    out: &mut Vec<(String, String)>,
) {
    for (key, node) in table {
        let key = key.get_ref();
        let all_tables = |items: &[Node<'_>]| items.iter().all(|i| i.get_ref().is_table());
        match node.get_ref() {
            DeValue::Table(inner) => flatten_raw(inner, &join(prefix, key), document, out),
            DeValue::Array(items) if !items.is_empty() && all_tables(items) => {
                for (at, item) in items.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        let name = format!("#{at}.{key}");
                        flatten_raw(inner, &join(prefix, &name), document, out);
                    }
                }
            }
            _ => out.push((join(prefix, key), document.raw(node.span()).to_owned())),
        }
    }
}

fn flatten(table: &Table, prefix: &str, out: &mut Vec<(String, String)>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => flatten(inner, &join(prefix, key), out),
            value => out.push((join(prefix, key), value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_ids() {
        for id in [
            "a",
            "cpu-3f9a1c20",
            "db@host:1_x.y",
            "_x",
            "9",
            &"x".repeat(128),
        ] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in ["", ".", "..", "-a", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn derives_ids() {
        let check = |text: &str, want: &str| {
            assert_eq!(
                derive_id("cpu", &toml::from_str(text).unwrap()),
                want,
                "{text}"
            );
        };
        check("alias = 'db'", "db");
        check("alias = 'the db / 1'", "the-db---1");
        let plain = derive_id("cpu", &Table::new());
        assert_eq!((plain.len(), &plain[..4]), (12, "cpu-"));
        check(
            "alias = ' '",
            &derive_id("cpu", &toml::from_str("alias = ' '").unwrap()),
        );
        assert_ne!(plain, derive_id("cpu", &toml::from_str("a = 1").unwrap()));
    }
}
