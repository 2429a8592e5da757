//! Environment variables in the strings of a table.

use muster_options::OptionError;
use toml::{Table, Value};

use crate::{Environment, template};

/// The table with the variables in its strings replaced, keys left alone. A missing one that must
/// be there is an error, and its string stays as it is.
pub(crate) fn table(table: &Table, env: &dyn Environment, errors: &mut Vec<OptionError>) -> Table {
    entries(table, "", env, errors)
}

fn entries(
    table: &Table,
    prefix: &str,
    env: &dyn Environment,
    errors: &mut Vec<OptionError>,
) -> Table {
    let mut resolved = Table::new();
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        resolved.insert(key.clone(), one(value, &path, env, errors));
    }
    resolved
}

fn one(value: &Value, path: &str, env: &dyn Environment, errors: &mut Vec<OptionError>) -> Value {
    match value {
        Value::String(text) => match template::expand(text, env) {
            Ok(text) => Value::String(text.into_owned()),
            Err(missing) => {
                errors.push(OptionError::new(path, missing.to_string()));
                value.clone()
            }
        },
        Value::Array(items) => {
            let mut resolved = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                resolved.push(one(item, &format!("{path}[{at}]"), env, errors));
            }
            Value::Array(resolved)
        }
        Value::Table(table) => Value::Table(entries(table, path, env, errors)),
        other => other.clone(),
    }
}
