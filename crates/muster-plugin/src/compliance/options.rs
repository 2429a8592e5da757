//! The rules about names and options.

use std::panic::{AssertUnwindSafe, catch_unwind};

use muster_options::{OptionDoc, OptionError};
use toml::{Table, Value};

use super::{Case, Findings, Stage};
use crate::PluginRow;

/// A value that must not show up anywhere.
const MARK: &str = "mark-9d1f-of-a-secret";

/// An option that no plugin has.
const NONSENSE: &str = "zz_no_such_option";

pub(super) fn check(row: &'static PluginRow, case: &Case, found: &mut Findings) {
    names(row, found);
    let options = (row.options)();
    for option in &options {
        documented(option, "", found);
    }
    defaults_parse(row, case, &options, found);
    unknown_is_refused(row, case, found);
    for option in &options {
        wrong_values_are_refused(row, case, option, found);
    }
    secrets_stay_secret(row, case, &options, found);
}

fn names(row: &PluginRow, found: &mut Findings) {
    let name = row.name;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let fine = !name.is_empty() && name.bytes().all(plain);
    found.expect("NAME", fine, || {
        format!("{name:?} is not of lower-case letters, digits and _")
    });
    let summary = row.summary;
    let lower = summary.chars().next().is_some_and(|c| !c.is_uppercase());
    let fine = lower && !summary.ends_with('.') && !summary.contains('\n');
    found.expect("NAME", fine, || {
        format!("the summary {summary:?} is not one plain phrase")
    });
}

fn documented(option: &OptionDoc, parent: &str, found: &mut Findings) {
    let path = format!("{parent}{}", option.name);
    let doc = option.doc.trim();
    found.expect("DOCUMENTED", !doc.is_empty(), || {
        format!("`{path}` has no doc comment")
    });
    found.expect(
        "DOCUMENTED",
        doc.is_empty() || doc.ends_with(['.', ':', ')', '`']),
        || format!("the doc comment of `{path}` is no full sentence"),
    );
    for inner in &option.options {
        documented(inner, &format!("{path}."), found);
    }
}

/// What is shown as the default is what the plugin would take.
fn defaults_parse(row: &PluginRow, case: &Case, options: &[OptionDoc], found: &mut Findings) {
    let mut table = case.options.clone();
    for option in options {
        let Some(default) = &option.default else {
            continue;
        };
        match format!("{} = {default}", option.name).parse::<Table>() {
            Ok(one) => {
                for (key, value) in one {
                    table.entry(key).or_insert(value);
                }
            }
            Err(error) => {
                found.add(
                    "DEFAULTS",
                    format!("`{}` = {default} is no TOML: {error}", option.name),
                );
            }
        }
    }
    if let Err(errors) = Stage::build(row, &table) {
        found.add(
            "DEFAULTS",
            format!("the defaults, written out, are refused: {}", join(&errors)),
        );
    }
}

fn unknown_is_refused(row: &PluginRow, case: &Case, found: &mut Findings) {
    let mut table = case.options.clone();
    table.insert(NONSENSE.to_owned(), Value::Integer(1));
    match Stage::build(row, &table) {
        Ok(_) => found.add("UNKNOWN-REFUSED", "an unknown option is taken"),
        Err(errors) => {
            let named = errors.iter().any(|error| error.path.contains(NONSENSE));
            found.expect("UNKNOWN-REFUSED", named, || {
                format!(
                    "an unknown option is refused, but not by its name: {}",
                    join(&errors)
                )
            });
        }
    }
}

/// Wrong types are refused by name, and no value at all makes the constructor panic.
fn wrong_values_are_refused(
    row: &PluginRow,
    case: &Case,
    option: &OptionDoc,
    found: &mut Findings,
) {
    let with = |value: Value| {
        let mut table = case.options.clone();
        table.insert(option.name.clone(), value);
        catch_unwind(AssertUnwindSafe(|| Stage::build(row, &table).map(|_| ())))
    };
    let name = &option.name;
    let table = Value::Table(Table::from_iter([("a".to_owned(), Value::Integer(1))]));
    let any = option.r#type.contains("value") || option.r#type.starts_with("table");
    match with(Value::Array(vec![Value::Array(vec![table])])) {
        Err(_) => found.add(
            "NO-PANIC",
            format!("a list of lists as `{name}` makes it panic"),
        ),
        Ok(Ok(())) if !any => {
            found.add(
                "TYPES",
                format!("a list of lists of tables is taken as `{name}`"),
            );
        }
        Ok(Err(errors)) if !errors.iter().any(|e| e.path.starts_with(name.as_str())) => {
            found.add(
                "TYPES",
                format!("the error does not name `{name}`: {}", join(&errors)),
            );
        }
        Ok(_) => {}
    }
    let odd = [
        "",
        " ",
        "\0",
        "[",
        "*",
        "%",
        "(",
        "\u{1F980}",
        "-1",
        "1e309",
        "18446744073709551616",
    ];
    let strings = odd.iter().map(|text| Value::String((*text).to_owned()));
    let numbers = [i64::MIN, -1, 0, i64::MAX].map(Value::Integer);
    let floats = [f64::NAN, f64::INFINITY, -0.5].map(Value::Float);
    for value in strings.chain(numbers).chain(floats) {
        for value in [value.clone(), Value::Array(vec![value])] {
            found.expect("NO-PANIC", with(value.clone()).is_ok(), || {
                format!("`{name} = {value}` makes it panic")
            });
        }
    }
}

fn secrets_stay_secret(row: &PluginRow, case: &Case, options: &[OptionDoc], found: &mut Findings) {
    for option in options {
        let name = &option.name;
        let words = [
            "password",
            "passwd",
            "secret",
            "token",
            "api_key",
            "access_key",
        ];
        let sounds = words
            .iter()
            .any(|word| name == word || name.ends_with(&format!("_{word}")));
        found.expect(
            "SECRETS",
            !sounds || option.secret || option.r#type != "string",
            || format!("`{name}` sounds like a secret and is not of that type"),
        );
        if !option.secret {
            continue;
        }
        let mut table = case.options.clone();
        table.insert(name.clone(), Value::String(MARK.to_owned()));
        table.insert(NONSENSE.to_owned(), Value::Integer(1));
        if let Err(errors) = Stage::build(row, &table) {
            let shown = format!("{errors:?} {}", join(&errors));
            found.expect("SECRETS", !shown.contains(MARK), || {
                format!("errors show the value of `{name}`")
            });
        }
    }
}

fn join(errors: &[OptionError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
