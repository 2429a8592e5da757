//! `KEY=VALUE` on the command line: options of a component.

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

/// A key as its parts, and the value.
pub(crate) type Pair = (Vec<String>, Value);

/// Reads one `KEY=VALUE`. The value is a TOML value if it can be read as one, else a text.
pub(crate) fn parse_pair(text: &str) -> Result<Pair, String> {
    let Some((key, value)) = split(text) else {
        return Err(format!("{text:?} is no KEY=VALUE"));
    };
    Ok((parse_key(key)?, parse_value(value)))
}

/// Splits at the first `=` outside of quotes.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some((text.get(..at)?, text.get(at + 1..)?)),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Reads a key as TOML has it: bare or quoted parts, joined by dots.
pub(crate) fn parse_key(text: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{text:?} is no option name; quote odd parts, as in tags.\"a b\"");
    let line = format!("{text} = 0");
    let mut table: Table = line.parse().map_err(|_| wrong())?;
    let mut parts = Vec::new();
    loop {
        let mut entries = table.into_iter();
        match (entries.next(), entries.next()) {
            (Some((part, Value::Table(inner))), None) => {
                parts.push(part);
                table = inner;
            }
            (Some((part, Value::Integer(0))), None) => {
                parts.push(part);
                return Ok(parts);
            }
            _ => return Err(wrong()),
        }
    }
}

fn parse_value(text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    let line = format!("v = {text}");
    let Ok(mut table) = line.parse::<Table>() else {
        return as_text();
    };
    match (table.remove("v"), table.is_empty()) {
        // A comment or a time is not what somebody means who writes `name=a#1` or a date.
        (Some(value), true) if portable(&value) && !has_comment(text) => value,
        _ => as_text(),
    }
}

/// Whether JSON, in which it travels, has such values.
fn portable(value: &Value) -> bool {
    match value {
        Value::Datetime(_) => false,
        Value::Float(number) => number.is_finite(),
        Value::Array(items) => items.iter().all(portable),
        Value::Table(table) => table.values().all(portable),
        Value::String(_) | Value::Integer(_) | Value::Boolean(_) => true,
    }
}

/// Whether the TOML value is followed by a comment: without the last `#` it is still one.
fn has_comment(text: &str) -> bool {
    let before = |(at, _)| {
        text.get(..at)
            .is_some_and(|t| format!("v = {t}").parse::<Table>().is_ok())
    };
    text.match_indices('#').any(before)
}

/// All pairs as one table.
pub(crate) fn table(pairs: &[String]) -> Result<Table, String> {
    let mut table = Table::new();
    for text in pairs {
        let (key, value) = parse_pair(text)?;
        insert(&mut table, &key, value)?;
    }
    Ok(table)
}

/// Puts a value where the key says.
pub(crate) fn insert(table: &mut Table, key: &[String], value: Value) -> Result<(), String> {
    match key {
        [] => Err("an option needs a name".to_owned()),
        [last] if table.contains_key(last) => Err(format!("`{last}` is given twice")),
        [last] => {
            table.insert(last.clone(), value);
            Ok(())
        }
        [first, rest @ ..] => {
            let inner = table
                .entry(first.clone())
                .or_insert_with(|| Table::new().into());
            let inner = inner
                .as_table_mut()
                .ok_or_else(|| format!("`{first}` is given twice"))?;
            insert(inner, rest, value)
        }
    }
}

/// A TOML table as the JSON that the API takes.
pub(crate) fn to_json(table: &Table) -> Map<String, Json> {
    table
        .iter()
        .map(|(key, value)| (key.clone(), value_to_json(value)))
        .collect()
}

/// A TOML value as the JSON that the API takes; times are texts.
pub(crate) fn value_to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.clone().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(items) => items.iter().map(value_to_json).collect(),
        Value::Table(table) => Json::Object(to_json(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(pairs: &[&str], want: Json) {
        let pairs: Vec<String> = pairs.iter().map(|p| (*p).to_owned()).collect();
        let got = match table(&pairs) {
            Ok(table) => Json::Object(to_json(&table)),
            Err(error) => Json::String(error),
        };
        assert_eq!(got, want, "{pairs:?}");
    }

    #[test]
    fn values_are_toml_or_text() {
        check(
            &["percpu=false", "totalcpu=true"],
            json!({"percpu": false, "totalcpu": true}),
        );
        check(&["interval=5s"], json!({"interval": "5s"}));
        check(
            &["n=5", "x=-1_000", "f=0.5", "h=0x10"],
            json!({"n": 5, "x": -1000, "f": 0.5, "h": 16}),
        );
        check(
            &["a=\"5\"", "b='x y'", "c="],
            json!({"a": "5", "b": "x y", "c": ""}),
        );
        check(
            &["l=[1, 2]", "m=['a','b']"],
            json!({"l": [1, 2], "m": ["a", "b"]}),
        );
        check(&["tags={dc=\"x\"}"], json!({"tags": {"dc": "x"}}));
        check(&["r=[{a=1},{a=2}]"], json!({"r": [{"a": 1}, {"a": 2}]}));
    }

    #[test]
    fn what_is_no_toml_is_text_as_it_stands() {
        check(
            &["url=http://x:1/?a=b#c"],
            json!({"url": "http://x:1/?a=b#c"}),
        );
        check(
            &["zip=007", "glob=[a-z]*"],
            json!({"zip": "007", "glob": "[a-z]*"}),
        );
        check(
            &["day=2024-01-01", "x=inf", "y=nan"],
            json!({"day": "2024-01-01", "x": "inf", "y": "nan"}),
        );
        check(&["n=5 # five"], json!({"n": "5 # five"}));
        check(&["s=\"a#b\""], json!({"s": "a#b"}));
        check(&["n=5\nm = 6"], json!({"n": "5\nm = 6"}));
        check(&["n=5\n[t]"], json!({"n": "5\n[t]"}));
    }

    #[test]
    fn dotted_keys_are_sub_tables() {
        check(
            &["tags.dc=x", "tags.n=1"],
            json!({"tags": {"dc": "x", "n": 1}}),
        );
        check(&["tags.\"a.b=c\"=x"], json!({"tags": {"a.b=c": "x"}}));
        check(&["a.b.c=1"], json!({"a": {"b": {"c": 1}}}));
    }

    #[test]
    fn mistakes_are_told() {
        check(&["percpu"], json!("\"percpu\" is no KEY=VALUE"));
        let odd = |text: &str| {
            json!(format!(
                "{text:?} is no option name; quote odd parts, as in tags.\"a b\""
            ))
        };
        check(&["=1"], odd(""));
        check(&["a b=1"], odd("a b"));
        check(&["a\n[b]\nc=1"], odd("a\n[b]\nc"));
        check(&["n=1", "n=2"], json!("`n` is given twice"));
        check(&["t=1", "t.a=2"], json!("`t` is given twice"));
        check(&["t.a=1", "t={b=2}"], json!("`t` is given twice"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,40}") {
            drop(parse_pair(&text));
        }

        #[test]
        fn quoted_text_comes_through(text in "[a-z #=.\\[\\]{}]{0,20}") {
            let pair = parse_pair(&format!("k='{text}'")).unwrap();
            prop_assert_eq!(pair, (vec!["k".to_owned()], Value::String(text)));
        }
    }
}
