//! What options there are, read from the struct's schema.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value};

/// The description of one option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionDoc {
    /// The key in the configuration.
    pub name: String,
    /// The type in words: `string`, `duration`, `list of string`, `one of "a", "b"`, ...
    pub r#type: String,
    /// The default as TOML; `None` if the option must be given or has none.
    pub default: Option<String>,
    /// The doc comment.
    pub doc: String,
    /// Whether the value is a secret, to be masked wherever it is shown.
    pub secret: bool,
    /// Whether the option must be given.
    pub required: bool,
    /// The options of the table, for an option that is a table or a list of tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Self>,
}

pub(crate) fn describe<T: JsonSchema>() -> Vec<OptionDoc> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    properties(schema.as_value())
}

fn properties(schema: &Value) -> Vec<OptionDoc> {
    let Some(found) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| {
        required.is_some_and(|list| list.iter().any(|item| item.as_str() == Some(name)))
    };
    found
        .iter()
        .map(|(name, schema)| option(name, schema, is_required(name)))
        .collect()
}

fn option(name: &str, schema: &Value, required: bool) -> OptionDoc {
    let inner = unwrap_nullable(schema);
    let table = inner.get("items").map_or(inner, unwrap_nullable);
    OptionDoc {
        name: name.to_owned(),
        r#type: type_name(inner),
        default: schema.get("default").and_then(to_toml),
        doc: text(schema, "description")
            .or_else(|| text(inner, "description"))
            .unwrap_or_default(),
        secret: text(table, "format").as_deref() == Some("secret"),
        required,
        options: properties(table),
    }
}

fn text(schema: &Value, key: &str) -> Option<String> {
    schema.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// An `Option<T>` is described as its `T`.
fn unwrap_nullable(schema: &Value) -> &Value {
    let branches = schema.get("anyOf").and_then(Value::as_array);
    let some = branches.and_then(|b| {
        b.iter()
            .find(|s| text(s, "type").as_deref() != Some("null"))
    });
    some.unwrap_or(schema)
}

fn type_name(schema: &Value) -> String {
    if let Some(format @ ("duration" | "size" | "secret")) =
        schema.get("format").and_then(Value::as_str)
    {
        return format.to_owned();
    }
    let variants = schema
        .get("enum")
        .and_then(Value::as_array)
        .cloned()
        .or_else(|| {
            let branches = schema.get("oneOf")?.as_array()?;
            branches
                .iter()
                .map(|branch| branch.get("const").cloned())
                .collect()
        });
    if let Some(variants) = variants {
        let words: Vec<String> = variants
            .iter()
            .filter(|v| !v.is_null())
            .map(ToString::to_string)
            .collect();
        return format!("one of {}", words.join(", "));
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|n| *n != "null")
            .collect(),
        _ => return "value".to_owned(),
    };
    match names.as_slice() {
        ["array"] => match schema.get("items") {
            Some(items) => format!("list of {}", type_name(unwrap_nullable(items))),
            None => "list".to_owned(),
        },
        ["object"] => match schema.get("additionalProperties") {
            Some(values @ Value::Object(_)) => format!("table of {}", type_name(values)),
            _ => "table".to_owned(),
        },
        ["number"] => "float".to_owned(),
        names => names.join(" or "),
    }
}

fn to_toml(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(map) if map.is_empty() => Some("{}".to_owned()),
        Value::Object(map) => Some(inline_table(map)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(to_toml).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        Value::String(text) => Some(toml::Value::String(text.clone()).to_string()),
        other => Some(other.to_string()),
    }
}

fn inline_table(map: &Map<String, Value>) -> String {
    let pairs: Vec<String> = map
        .iter()
        .filter_map(|(k, v)| Some(format!("{k} = {}", to_toml(v)?)))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::{Duration, JsonSchema, Options, Secret};
    use serde::{Deserialize, Serialize};

    /// A test's options.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        /// Where to ask.
        urls: Vec<String>,
        timeout: Option<Duration>,
        token: Secret,
        mode: Mode,
        nested: Vec<Nested>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        /// Quick.
        Fast,
        /// Careful.
        VerySlow,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Nested {
        /// Its name.
        name: String,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self {
                urls: vec!["a".into()],
                timeout: Some(Duration::from_secs(3)),
                token: Secret::default(),
                mode: Mode::VerySlow,
                nested: Vec::new(),
            }
        }
    }

    #[test]
    fn describes_names_types_defaults_and_docs() {
        let docs = Sample::describe();
        let shown: Vec<String> = docs
            .iter()
            .map(|d| {
                let default = d.default.as_deref().unwrap_or("-");
                format!("{}|{}|{default}|{}|{}", d.name, d.r#type, d.doc, d.secret)
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"urls|list of string|["a"]|Where to ask.|false"#,
                r#"timeout|duration|"3s"||false"#,
                r#"token|secret|""||true"#,
                r#"mode|one of "fast", "very_slow"|"very_slow"||false"#,
                "nested|list of table|[]||false",
            ]
        );
        assert_eq!(docs[4].options[0].name, "name");
        assert!(docs[4].options[0].required);
    }
}
