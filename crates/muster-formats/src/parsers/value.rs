//! `value`: the input is one value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_metric::{Batch, Value};
use muster_options::{JsonSchema, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::format::excerpt;
use crate::{BuiltParser, Framing, ParseError, Parser, ParserRow, Report};

pub(super) const ROW: ParserRow = ParserRow {
    name: "value",
    summary: "One bare value: a number, a boolean or a text",
    options: ValueOptions::describe,
    build,
};

/// Options of the `value` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ValueOptions {
    /// What the value is. Of numbers and booleans the last word of the input counts; the other
    /// types take the whole input without the white space around it. The `auto` types fall back
    /// to text. `long` is another name for `float`.
    data_type: DataType,
    /// The field that gets the value; `value` unless set.
    value_field_name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DataType {
    /// A signed integer; anything else is an error.
    #[default]
    #[serde(alias = "int", alias = "")]
    Integer,
    /// A number, kept as a float.
    #[serde(alias = "long")]
    Float,
    /// Text.
    #[serde(alias = "str")]
    String,
    /// A boolean: `true`, `false`, `t`, `f`, `1`, `0` in Go's spellings.
    #[serde(alias = "bool")]
    Boolean,
    /// An integer if it looks like one, else text.
    AutoInteger,
    /// A float if it looks like one, else text.
    AutoFloat,
    /// Base64 of a text.
    Base64,
}

impl Default for ValueOptions {
    fn default() -> Self {
        Self {
            data_type: DataType::default(),
            value_field_name: "value".to_owned(),
        }
    }
}

fn build(table: &Table) -> BuiltParser {
    let mut options = <ValueOptions as Options>::parse(table)?;
    if options.value_field_name.is_empty() {
        options.value_field_name.push_str("value");
    }
    Ok(Box::new(options))
}

impl Parser for ValueOptions {
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        let not_text = |_| ParseError::Whole("the value is no valid UTF-8".to_owned());
        let text = std::str::from_utf8(input).map_err(not_text)?;
        let text = text.trim_matches('\0').trim();
        let last = text.split_whitespace().next_back();
        let wrong = |what: &str, text: &str| {
            Err(ParseError::Whole(format!("{} is no {what}", excerpt(text))))
        };
        let decoded;
        let value = match (self.data_type, last) {
            (DataType::String | DataType::AutoInteger | DataType::AutoFloat, None) => {
                Value::Text("")
            }
            (_, None) => return Ok(Report::default()),
            (DataType::Integer, Some(word)) => match word.parse() {
                Ok(number) => Value::Int(number),
                Err(_) => return wrong("integer of 64 bits", word),
            },
            (DataType::Float, Some(word)) => match word.parse() {
                Ok(number) => Value::Float(number),
                Err(_) => return wrong("number", word),
            },
            (DataType::Boolean, Some(word)) => match go_bool(word) {
                Some(value) => Value::Bool(value),
                None => return wrong("boolean", word),
            },
            (DataType::String, _) => Value::Text(text),
            (DataType::AutoInteger, _) => text.parse().map_or(Value::Text(text), Value::Int),
            (DataType::AutoFloat, _) => text.parse().map_or(Value::Text(text), Value::Float),
            (DataType::Base64, _) => match STANDARD.decode(text).map(String::from_utf8) {
                Ok(Ok(plain)) => {
                    decoded = plain;
                    Value::Text(&decoded)
                }
                Ok(Err(_)) => return wrong("base64 of valid UTF-8", text),
                Err(_) => return wrong("base64", text),
            },
        };
        batch
            .metric("")
            .field(&self.value_field_name, value)
            .untimed();
        Ok(Report {
            metrics: 1,
            ..Report::default()
        })
    }

    fn framing(&self) -> Framing {
        Framing::Document
    }
}

/// A boolean in one of the spellings that Go accepts.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_parser, survives};
    use proptest::prelude::*;

    fn check(data_type: &str, input: &str, want: &[&str]) {
        check_parser("value", &format!("data_type = '{data_type}'"), input, want);
    }

    #[test]
    fn reads_one_value() {
        check("integer", "55\n", &[" value=55i"]);
        check("int", "temperature is -3", &[" value=-3i"]);
        check("", "7", &[" value=7i"]);
        check("float", "\0 1 2.5 \0", &[" value=2.5"]);
        check("long", "64", &[" value=64"]);
        check("boolean", "T", &[" value=true"]);
        check("string", " a b\n", &[" value=\"a b\""]);
        check("auto_integer", "12", &[" value=12i"]);
        check("auto_integer", "12.5 V", &[" value=\"12.5 V\""]);
        check("auto_float", "12", &[" value=12"]);
        check("base64", "aGk=", &[" value=\"hi\""]);
        check("integer", " \n", &[]);
        check("string", "", &[" value=\"\""]);
    }

    #[test]
    fn says_what_is_wrong() {
        check("integer", "5.5", &["!! \"5.5\" is no integer of 64 bits"]);
        check("float", "abc", &["!! \"abc\" is no number"]);
        check("boolean", "yes", &["!! \"yes\" is no boolean"]);
        check("base64", "?", &["!! \"?\" is no base64"]);
        check_parser("value", "value_field_name = 'v'", "1", &[" v=1i"]);
        let options = "data_typ = 'int'";
        check_parser(
            "value",
            options,
            "",
            &["!!! data_typ: unknown option `data_typ`"],
        );
    }

    proptest! {
        #[test]
        fn survives_anything(input in any::<Vec<u8>>(), kind in 0..7_usize) {
            let kinds =
                ["integer", "float", "string", "boolean", "auto_integer", "auto_float", "base64"];
            survives(&ROW, &format!("data_type = '{}'", kinds[kind]), &input);
        }
    }
}
