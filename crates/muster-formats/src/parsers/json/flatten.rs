//! From nested values to a flat list of keys.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

/// A longer key, after flattening, makes its object bad.
pub const MAX_KEY_BYTES: usize = 1024;

/// An object with more values, after flattening, is bad.
pub const MAX_FIELDS: usize = 65_536;

/// A value that is neither object nor array nor null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Leaf<'a> {
    Number(f64),
    Text(&'a str),
    Bool(bool),
}

impl<'a> Leaf<'a> {
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a tag shows it; numbers without exponent.
    pub(super) fn to_text(self) -> Cow<'a, str> {
        match self {
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        }
    }
}

/// The object's leaves in the order of the document, each with the keys and positions that lead
/// to it joined by `_`. Of equal keys the last one counts.
pub(super) fn flatten(object: &Map<String, Value>) -> Result<Vec<(String, Leaf<'_>)>, String> {
    let mut leaves = Vec::new();
    let mut key = String::new();
    for (name, value) in object {
        key.clear();
        key.push_str(name);
        walk(value, &mut key, &mut leaves)?;
    }
    if object
        .values()
        .any(|value| value.is_object() || value.is_array())
    {
        keep_last(&mut leaves);
    }
    Ok(leaves)
}

/// The depth is bounded: what is deeper was not read at all.
fn walk<'a>(
    value: &'a Value,
    key: &mut String,
    leaves: &mut Vec<(String, Leaf<'a>)>,
) -> Result<(), String> {
    if key.len() > MAX_KEY_BYTES {
        return Err(format!(
            "a flattened key has more than {MAX_KEY_BYTES} bytes"
        ));
    }
    let leaf = match value {
        Value::Null => return Ok(()),
        Value::Object(object) => {
            let len = key.len();
            for (name, value) in object {
                key.push('_');
                key.push_str(name);
                walk(value, key, leaves)?;
                key.truncate(len);
            }
            return Ok(());
        }
        Value::Array(items) => {
            let len = key.len();
            for (at, value) in items.iter().enumerate() {
                key.push('_');
                key.push_str(itoa::Buffer::new().format(at));
                walk(value, key, leaves)?;
                key.truncate(len);
            }
            return Ok(());
        }
        Value::Number(number) => Leaf::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Leaf::Text(text),
        Value::Bool(value) => Leaf::Bool(*value),
    };
    if leaves.len() >= MAX_FIELDS {
        return Err(format!("an object has more than {MAX_FIELDS} values"));
    }
    leaves.push((key.clone(), leaf));
    Ok(())
}

/// Keys can meet only by flattening: `{"a_b": 1, "a": {"b": 2}}`.
fn keep_last(leaves: &mut Vec<(String, Leaf<'_>)>) {
    let mut last: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
    for (at, (key, _)) in leaves.iter().enumerate() {
        last.insert(key, at);
    }
    if last.len() == leaves.len() {
        return;
    }
    let keep: Vec<bool> = leaves
        .iter()
        .enumerate()
        .map(|(at, (key, _))| last.get(key.as_str()) == Some(&at))
        .collect();
    let mut keep = keep.into_iter();
    leaves.retain(|_| keep.next().unwrap_or(true));
}
