//! Headers from configuration.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use muster_options::OptionError;

/// What is wrong with headers from configuration.
pub(crate) fn problems(option: &str, headers: &BTreeMap<String, String>) -> Vec<OptionError> {
    let wrong = headers.iter().filter(|(name, value)| parse(name, value).is_none());
    let error = |(name, _): (&String, &String)| {
        OptionError::new(format!("{option}.{name}"), "this is no header of HTTP")
    };
    wrong.map(error).collect()
}

/// Adds the headers to a request; those that it has already are replaced.
pub(crate) fn apply(
    request: reqwest::RequestBuilder,
    headers: &BTreeMap<String, String>,
) -> reqwest::RequestBuilder {
    let headers = headers.iter().filter_map(|(name, value)| parse(name, value)).collect();
    request.headers(headers)
}

fn parse(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}
