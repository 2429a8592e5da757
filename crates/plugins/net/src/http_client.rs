//! What the inputs that ask over HTTP have in common.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use muster_options::{OptionError, Secret};
use muster_plugin::PluginError;
use reqwest::{RequestBuilder, Url};

/// What is wrong with headers from configuration.
pub(crate) fn header_problems(
    option: &str,
    headers: &BTreeMap<String, String>,
) -> Vec<OptionError> {
    let wrong = headers
        .iter()
        .filter(|(name, value)| parse_header(name, value).is_none());
    let error = |(name, _): (&String, &String)| {
        OptionError::new(format!("{option}.{name}"), "this is no header of HTTP")
    };
    wrong.map(error).collect()
}

/// Adds headers from configuration to a request.
pub(crate) fn apply_headers(
    request: RequestBuilder,
    headers: &BTreeMap<String, String>,
) -> RequestBuilder {
    request.headers(
        headers
            .iter()
            .filter_map(|(name, value)| parse_header(name, value))
            .collect(),
    )
}

fn parse_header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// Reads the URL of a server from configuration.
pub(crate) fn parse_url(option: &str, text: &str) -> Result<Url, OptionError> {
    let wrong = |why: String| Err(OptionError::new(option, format!("\"{text}\" {why}")));
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            wrong("must begin with http:// or https://".to_owned())
        }
        Ok(url) if !url.has_host() => wrong("names no host".to_owned()),
        Ok(url) => Ok(url),
        Err(error) => wrong(format!("is no URL: {error}")),
    }
}

/// How to identify ourselves: a token, a file with one, or a user with a password.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) token: Secret,
    /// A path; kept secret because some put the token itself there.
    pub(crate) token_file: Secret,
    pub(crate) username: Secret,
    pub(crate) password: Secret,
}

impl Credentials {
    /// Adds the `Authorization` header. The file is read each time, so that it can change.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn apply(
        &self,
        request: RequestBuilder,
    ) -> Result<RequestBuilder, PluginError> {
        if !self.token_file.is_empty() {
            let token = tokio::fs::read_to_string(self.token_file.expose()).await;
            let token = token.map_err(|error| {
                let failed = PluginError::new("read the file with the bearer token");
                failed
                    .because(error)
                    .with_hint("the option must be the path of a file")
            })?;
            return Ok(request.bearer_auth(token.trim()));
        }
        if !self.token.is_empty() {
            return Ok(request.bearer_auth(self.token.expose()));
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            return Ok(request.basic_auth(self.username.expose(), Some(self.password.expose())));
        }
        Ok(request)
    }
}

/// A URL as it may be shown in an error: without a password.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that cannot have a password has none.
    let _ = url.set_password(None);
    url.to_string()
}
