//! Taking a format and its options out of the table of the plugin that uses it.

use muster_options::{OptionDoc, OptionError, suggest};
use toml::{Table, Value};

use crate::{BuiltParser, BuiltSerializer, PARSERS, SERIALIZERS, parser, serializer};

const KEY: &str = "data_format";

/// Takes `data_format` and the options of that parser out of a plugin's table, and builds the
/// parser. What is left in the table is the plugin's own.
///
/// # Errors
/// If there is no such format, or its options are wrong: all problems at once.
pub fn take_parser(table: &mut Table, default: &str) -> BuiltParser {
    let name = take_name(table, default)?;
    let Some(row) = parser(&name) else {
        return Err(unknown(&name, PARSERS.iter().map(|row| row.name)));
    };
    (row.build)(&take_options(table, &(row.options)()))
}

/// Takes `data_format` and the options of that serializer out of a plugin's table, and builds the
/// serializer. What is left in the table is the plugin's own.
///
/// # Errors
/// If there is no such format, or its options are wrong: all problems at once.
pub fn take_serializer(table: &mut Table, default: &str) -> BuiltSerializer {
    let name = take_name(table, default)?;
    let Some(row) = serializer(&name) else {
        return Err(unknown(&name, SERIALIZERS.iter().map(|row| row.name)));
    };
    (row.build)(&take_options(table, &(row.options)()))
}

fn take_name(table: &mut Table, default: &str) -> Result<String, Vec<OptionError>> {
    match table.remove(KEY) {
        None => Ok(default.to_owned()),
        Some(Value::String(name)) if name.is_empty() => Ok(default.to_owned()),
        Some(Value::String(name)) => Ok(name),
        Some(other) => {
            let message = format!("expected a string, found {}", other.type_str());
            Err(vec![OptionError::new(KEY, message)])
        }
    }
}

fn take_options(table: &mut Table, options: &[OptionDoc]) -> Table {
    let mut taken = Table::new();
    for option in options {
        if let Some(value) = table.remove(&option.name) {
            taken.insert(option.name.clone(), value);
        }
    }
    taken
}

fn unknown(name: &str, known: impl Iterator<Item = &'static str> + Clone) -> Vec<OptionError> {
    let error = OptionError::new(KEY, format!("there is no data format \"{name}\" here"));
    let hint = match suggest(name, known.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("possible are {}", known.collect::<Vec<_>>().join(", ")),
    };
    vec![error.with_hint(hint)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, left: &[&str], error: Option<&str>) {
        let mut table: Table = toml::from_str(text).unwrap();
        let built = take_parser(&mut table, "influx");
        let shown = built.err().map(|errors| {
            let errors: Vec<String> = errors
                .iter()
                .map(|e| format!("{e} ({})", e.hint.as_deref().unwrap_or("-")))
                .collect();
            errors.join("; ")
        });
        assert_eq!(shown.as_deref(), error, "{text}");
        assert_eq!(
            table.keys().map(String::as_str).collect::<Vec<_>>(),
            left,
            "{text}"
        );
    }

    #[test]
    fn takes_what_belongs_to_the_format() {
        check("urls = []", &["urls"], None);
        check("data_format = ''\nurls = []", &["urls"], None);
        check(
            "urls = []\ndata_format = 'json'\ntag_keys = ['a']",
            &["urls"],
            None,
        );
        check(
            "data_format = 'jsn'",
            &[],
            Some("data_format: there is no data format \"jsn\" here (did you mean \"json\"?)"),
        );
        check(
            "data_format = 3",
            &[],
            Some("data_format: expected a string, found integer (-)"),
        );
    }

    #[test]
    fn every_row_describes_its_options_and_builds_with_defaults_or_says_why() {
        for row in PARSERS {
            let options = (row.options)();
            assert!(
                options.iter().all(|o| !o.doc.is_empty()),
                "{}: {options:?}",
                row.name
            );
            let built = (row.build)(&Table::new());
            assert!(built.is_ok() || row.name == "csv", "{}", row.name);
        }
        for row in SERIALIZERS {
            let options = (row.options)();
            assert!(
                options.iter().all(|o| !o.doc.is_empty()),
                "{}: {options:?}",
                row.name
            );
            assert!((row.build)(&Table::new()).is_ok(), "{}", row.name);
        }
    }
}
