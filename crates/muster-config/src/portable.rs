//! TOML tables inside JSON, without loss: JSON has no dates, NaN and infinities.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::Value as Json;
use toml::{Table, Value};

/// The key of the object that stands for a value that JSON does not have.
const SPECIAL: &str = "$toml";

pub(crate) fn serialize<S: Serializer>(table: &Table, serializer: S) -> Result<S::Ok, S::Error> {
    to_json(&Value::Table(table.clone()))
        .map_err(ser::Error::custom)?
        .serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
    match from_json(Json::deserialize(deserializer)?).map_err(de::Error::custom)? {
        Value::Table(table) => Ok(table),
        other => Err(de::Error::custom(format!(
            "expected a table, found {}",
            other.type_str()
        ))),
    }
}

fn to_json(value: &Value) -> Result<Json, String> {
    let special =
        |text: String| Json::Object([(SPECIAL.to_owned(), text.into())].into_iter().collect());
    Ok(match value {
        Value::String(text) => text.clone().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None => special(value.to_string()),
        },
        Value::Boolean(yes) => (*yes).into(),
        Value::Datetime(time) => special(time.to_string()),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Table(table) if table.contains_key(SPECIAL) => {
            return Err(format!("the key `{SPECIAL}` is reserved"));
        }
        Value::Table(table) => {
            let pairs = table
                .iter()
                .map(|(key, value)| Ok((key.clone(), to_json(value)?)));
            Json::Object(pairs.collect::<Result<_, String>>()?)
        }
    })
}

fn from_json(value: Json) -> Result<Value, String> {
    Ok(match value {
        Json::Null => return Err("TOML has no null; leave the option out".to_owned()),
        Json::Bool(yes) => Value::Boolean(yes),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(float)) if !number.is_u64() => Value::Float(float),
            _ => return Err(format!("{number} is too large an integer")),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => {
            Value::Array(items.into_iter().map(from_json).collect::<Result<_, _>>()?)
        }
        Json::Object(object) => match object.get(SPECIAL) {
            Some(Json::String(text)) => special(text)?,
            Some(_) => return Err(format!("`{SPECIAL}` takes a string")),
            None => {
                let pairs = object
                    .into_iter()
                    .map(|(key, value)| Ok((key, from_json(value)?)));
                Value::Table(pairs.collect::<Result<_, String>>()?)
            }
        },
    })
}

fn special(text: &str) -> Result<Value, String> {
    let wrong = || format!("{text:?} is neither a date nor nan nor inf");
    match text {
        "nan" => Ok(Value::Float(f64::NAN)),
        "-nan" => Ok(Value::Float(-f64::NAN)),
        "inf" => Ok(Value::Float(f64::INFINITY)),
        "-inf" => Ok(Value::Float(f64::NEG_INFINITY)),
        _ => text.parse().map(Value::Datetime).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_what_json_has_not() {
        let text = "a = inf\nb = -inf\nc = 1979-05-27T07:32:00Z\nd = [1, 2.5, 'x']\ne.f = true\ng = -1.0\n";
        let table: Table = toml::from_str(text).unwrap();
        let json = to_json(&Value::Table(table.clone())).unwrap();
        assert_eq!(from_json(json.clone()).unwrap(), Value::Table(table));
        assert_eq!(json["a"]["$toml"], "inf");
        let nan: Table = toml::from_str("a = nan").unwrap();
        let back = from_json(to_json(&Value::Table(nan)).unwrap()).unwrap();
        assert!(back["a"].as_float().unwrap().is_nan());
    }

    #[test]
    fn refuses_what_toml_has_not() {
        for json in [
            "null",
            "[null]",
            "18446744073709551615",
            r#"{"$toml": "x"}"#,
            r#"{"$toml": 1}"#,
        ] {
            assert!(
                from_json(serde_json::from_str(json).unwrap()).is_err(),
                "{json}"
            );
        }
    }
}
