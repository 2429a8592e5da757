//! etcd's messages as the gateway writes them in JSON: keys and values in base64, large numbers as texts,
//! what is zero or empty left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::{ErrorKind, KeyValue, LeaseId};

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads an answer.
pub(crate) fn read<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, ErrorKind> {
    serde_json::from_slice(bytes).map_err(|error| ErrorKind::BadAnswer(error.to_string()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    #[serde(deserialize_with = "number")]
    pub(crate) revision: i64,
}

/// An answer of which only the header counts.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    #[serde(default)]
    pub(crate) header: Header,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    code: Option<u32>,
    #[serde(default)]
    grpc_code: Option<u32>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) token: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Kv {
    #[serde(deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    create_revision: i64,
    #[serde(default, deserialize_with = "number")]
    mod_revision: i64,
    #[serde(default, deserialize_with = "number")]
    lease: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RangeAnswer {
    #[serde(default)]
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) kvs: Vec<Kv>,
    #[serde(default)]
    pub(crate) more: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DeleteAnswer {
    #[serde(default, deserialize_with = "number")]
    pub(crate) deleted: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TxnAnswer {
    #[serde(default)]
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) succeeded: bool,
    #[serde(default)]
    pub(crate) responses: Vec<OpAnswer>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OpAnswer {
    pub(crate) response_range: Option<RangeAnswer>,
    pub(crate) response_delete_range: Option<DeleteAnswer>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LeaseAnswer {
    #[serde(rename = "ID", default, deserialize_with = "number")]
    pub(crate) id: i64,
    #[serde(rename = "TTL", default, deserialize_with = "number")]
    pub(crate) ttl: i64,
}

/// One message of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Streamed<A> {
    pub(crate) result: Option<A>,
    pub(crate) error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WatchAnswer {
    #[serde(default)]
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) created: bool,
    #[serde(default)]
    pub(crate) canceled: bool,
    #[serde(default)]
    pub(crate) cancel_reason: String,
    #[serde(default, deserialize_with = "number")]
    pub(crate) compact_revision: i64,
    #[serde(default)]
    pub(crate) events: Vec<WatchEvent>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WatchEvent {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) kv: Kv,
}

impl Refusal {
    pub(crate) fn code(&self) -> u32 {
        self.code.or(self.grpc_code).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        match &self.error {
            Some(error) if self.message.is_empty() => error,
            _ => &self.message,
        }
    }
}

impl Kv {
    pub(crate) fn revision(&self) -> i64 {
        self.mod_revision
    }
}

impl From<Kv> for KeyValue {
    fn from(kv: Kv) -> Self {
        Self {
            key: kv.key,
            value: kv.value,
            created: kv.create_revision,
            modified: kv.mod_revision,
            lease: (kv.lease != 0).then_some(LeaseId(kv.lease)),
        }
    }
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    struct Number;
    impl serde::de::Visitor<'_> for Number {
        type Value = i64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
            // Some numbers are unsigned, and of those only equality counts.
            let signed = text.parse::<i64>();
            signed.or_else(|_| text.parse::<u64>().map(u64::cast_signed).map_err(E::custom))
        }

        fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E>(self, number: u64) -> Result<i64, E> {
            Ok(number.cast_signed())
        }
    }
    from.deserialize_any(Number)
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_out_is_zero_or_empty() {
        let answer: RangeAnswer = read(br#"{"header":{"revision":"7"}}"#).unwrap();
        assert_eq!((answer.header.revision, answer.kvs.len()), (7, 0));
        let kv: Kv =
            read(br#"{"key":"YQ==","mod_revision":3,"lease":"-1","version":"1"}"#).unwrap();
        let kv = KeyValue::from(kv);
        assert_eq!((kv.key_text(), kv.modified), (Some("a"), 3));
        assert_eq!((kv.value.len(), kv.lease), (0, Some(LeaseId(-1))));
        assert!(read::<Kv>(br#"{"key":"!"}"#).is_err());
        assert!(read::<LeaseAnswer>(br#"{"ID":"x"}"#).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(key: Vec<u8>, value: Vec<u8>, revision: i64) {
            let text = serde_json::json!({
                "key": encode(&key), "value": encode(&value), "mod_revision": revision.to_string(),
            });
            let kv = KeyValue::from(read::<Kv>(text.to_string().as_bytes()).unwrap());
            prop_assert_eq!((kv.key, kv.value, kv.modified), (key, value, revision));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = read::<Streamed<WatchAnswer>>(&bytes);
        }
    }
}
