//! Which options are secrets, and how they are shown.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use muster_options::{OptionDoc, suggest};
use muster_plugin::{FormatUse, Kind, PluginRow, Registry};
use parking_lot::Mutex;
use toml::{Table, Value};

use crate::settings::common_options;

/// Words in a key that mark its value as a secret.
const SECRET_WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "community",
    "servicekey",
];

/// Keys with such a word whose values are no secrets.
const HARMLESS_ENDS: [&str; 5] = ["file", "path", "endpoint", "url", "name"];

/// Whether a key looks like that of a secret.
pub(crate) fn looks_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    SECRET_WORDS.iter().any(|word| plain.contains(word))
        && !HARMLESS_ENDS.iter().any(|end| plain.ends_with(end))
}

/// The options of a plugin: its own, those of its data formats, those that every component has.
/// They are made from schemas, which takes time: each plugin's are kept.
pub(crate) fn documented(registry: &Registry, kind: Kind, plugin: &str) -> Arc<[OptionDoc]> {
    type Known = HashMap<(Kind, usize), Arc<[OptionDoc]>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let row = registry.find(kind, plugin);
    // Rows live as long as the program, and there are as many as plugins at most.
    let key = (kind, row.map_or(0, |row| std::ptr::from_ref(row).addr()));
    let known = KNOWN.lock().get(&key).cloned();
    known.unwrap_or_else(|| {
        let docs: Arc<[OptionDoc]> = all_options(kind, row).into();
        KNOWN.lock().insert(key, Arc::clone(&docs));
        docs
    })
}

fn all_options(kind: Kind, row: Option<&PluginRow>) -> Vec<OptionDoc> {
    let mut docs = common_options(kind);
    if let Some(row) = row {
        docs.extend((row.options)());
        match row.format {
            FormatUse::None => {}
            FormatUse::Parser(_) => {
                docs.extend(
                    muster_formats::PARSERS
                        .iter()
                        .flat_map(|row| (row.options)()),
                );
            }
            FormatUse::Serializer(_) => {
                docs.extend(
                    muster_formats::SERIALIZERS
                        .iter()
                        .flat_map(|row| (row.options)()),
                );
            }
        }
    }
    docs
}

/// What the description says of an option: whether it is a secret, and of its parts.
pub(crate) fn of_key<'d>(key: &str, docs: &'d [OptionDoc]) -> (bool, &'d [OptionDoc]) {
    let doc = docs.iter().find(|doc| doc.name == key);
    let parts = doc.map_or(&[][..], |doc| doc.options.as_slice());
    let secret = match doc {
        Some(doc) => doc.secret || looks_secret(key),
        None => looks_secret(key) || is_misspelt_secret(key, docs),
    };
    (secret, parts)
}

/// Whether an option that there is not was probably meant as a secret one.
fn is_misspelt_secret(key: &str, docs: &[OptionDoc]) -> bool {
    let secrets = docs
        .iter()
        .filter(|doc| doc.secret)
        .map(|doc| doc.name.as_str());
    suggest(key, secrets.chain(SECRET_WORDS)).is_some()
}

/// The table with `***` for every secret.
pub(crate) fn table(table: &Table, docs: &[OptionDoc]) -> Table {
    let mask = |(key, value): (&String, &Value)| {
        let (secret, parts) = of_key(key, docs);
        (key.clone(), masked(value, secret, parts))
    };
    table.iter().map(mask).collect()
}

fn masked(value: &Value, secret: bool, docs: &[OptionDoc]) -> Value {
    match value {
        Value::Table(inner) if secret => {
            let mask = |(k, v): (&String, &Value)| (k.clone(), masked(v, true, docs));
            Value::Table(inner.iter().map(mask).collect())
        }
        Value::Table(inner) => Value::Table(table(inner, docs)),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| masked(item, secret, docs))
                .collect(),
        ),
        Value::Boolean(_) => value.clone(),
        Value::String(text) if text.is_empty() => value.clone(),
        _ if secret => "***".into(),
        Value::String(text) => mask_url(text).into(),
        _ => value.clone(),
    }
}

/// The password in a URL (`scheme://user:password@host`), as a byte range.
pub(crate) fn url_password(text: &str) -> Option<std::ops::Range<usize>> {
    let authority = text.find("://")? + 3;
    let rest = &text[authority..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@')?;
    let colon = rest[..at].find(':')?;
    (colon + 1 < at).then_some(authority + colon + 1..authority + at)
}

fn mask_url(text: &str) -> String {
    match url_password(text) {
        Some(password) => format!("{}***{}", &text[..password.start], &text[password.end..]),
        None => text.to_owned(),
    }
}
