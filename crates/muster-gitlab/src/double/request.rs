//! A request as the routes see it, and which there were.

use std::collections::VecDeque;

use http::{HeaderMap, Method};
use serde_json::Value;

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path below `/api/v4/`.
    pub path: String,
    /// The query as sent.
    pub query: String,
    /// The answer's status; 0 if there was none.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<Asked>);

impl Log {
    pub(super) fn note(&mut self, asked: Asked) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(asked);
    }

    pub(super) fn all(&self) -> Vec<Asked> {
        self.0.iter().cloned().collect()
    }
}

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Below `/api/v4/`, without a slash at its begin.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) json: Value,
}

impl Request {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.json.get(name)?.as_str()
    }

    /// A parameter that is a flag: JSON, or the text of a form.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.json.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.json.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Tags: a list, or a text with commas.
    pub(super) fn tags(&self, name: &str) -> Option<Vec<String>> {
        let split = |text: &str| {
            let words = text.split(',').map(str::trim);
            words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        match self.json.get(name)? {
            Value::String(text) => Some(split(text)),
            Value::Array(items) => {
                let words = items.iter().filter_map(Value::as_str);
                Some(words.map(str::to_owned).collect())
            }
            _ => None,
        }
    }
}
