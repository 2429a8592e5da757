//! Headers from configuration.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use muster_options::OptionError;

/// What is wrong with headers from configuration.
pub(crate) fn problems(option: &str, headers: &BTreeMap<String, String>) -> Vec<OptionError> {
    let wrong = headers
        .iter()
        .filter(|(name, value)| parse(name, value).is_none());
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
    let headers = headers
        .iter()
        .filter_map(|(name, value)| parse(name, value))
        .collect();
    request.headers(headers)
}

fn parse(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// Reads the URL of a server.
pub(crate) fn url(option: &str, text: &str) -> Result<reqwest::Url, OptionError> {
    let wrong = |why: String| Err(OptionError::new(option, format!("\"{text}\" {why}")));
    match reqwest::Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            wrong("must begin with http:// or https://".to_owned())
        }
        Ok(url) if !url.has_host() => wrong("names no host".to_owned()),
        Ok(url) => Ok(url),
        Err(error) => wrong(format!("is no URL: {error}")),
    }
}
