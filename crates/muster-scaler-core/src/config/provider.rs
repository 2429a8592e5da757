//! Reads and writes a provider's table: common options and the kind's own stand side by side in it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Value;

use super::ProviderConfig;

impl<'de> Deserialize<'de> for ProviderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = ProviderConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with the provider's kind and options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ProviderConfig, A::Error> {
                let mut read = ProviderConfig::default();
                let common = &mut read.common;
                while let Some(key) = map.next_key::<String>()? {
                    let value = match key.as_str() {
                        "kind" => keep(&mut common.kind, map.next_value()?),
                        "boot_timeout" => keep(&mut common.boot_timeout, map.next_value()?),
                        "price_per_hour" => keep(&mut common.price_per_hour, map.next_value()?),
                        "timeout" => keep(&mut common.timeout, map.next_value()?),
                        _ => Ok(map.next_value()?),
                    };
                    read.table.insert(key, value.map_err(A::Error::custom)?);
                }
                Ok(read)
            }
        }
        deserializer.deserialize_map(V)
    }
}

/// Sets an option; its value as it stands in a table.
fn keep<T: Serialize>(option: &mut T, value: T) -> Result<Value, toml::ser::Error> {
    *option = value;
    Value::try_from(option)
}

impl Serialize for ProviderConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let common = toml::Table::try_from(&self.common).map_err(S::Error::custom)?;
        let own = self
            .table
            .iter()
            .filter(|(key, _)| !common.contains_key(*key));
        serializer.collect_map(
            common
                .iter()
                .map(|(key, value)| (key, value.clone()))
                .chain(own.map(|(key, value)| (key, hidden(value)))),
        )
    }
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.table.keys().collect();
        f.debug_struct("ProviderConfig")
            .field("common", &self.common)
            .field("options", &options)
            .finish()
    }
}

/// The value without its texts.
fn hidden(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::String("***".to_owned()),
        Value::Array(list) => Value::Array(list.iter().map(hidden).collect()),
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), hidden(value)))
            .collect::<toml::Table>()
            .into(),
        other => other.clone(),
    }
}

impl muster_options::JsonSchema for ProviderConfig {
    fn schema_name() -> Cow<'static, str> {
        "ProviderConfig".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}
