//! `inputs.http_response`: whether HTTP endpoints answer, how fast and what.

mod outcome;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use muster_metric::Batch;
use muster_net::{
    BodyError, Client, ClientBuilder, OptionReader, TlsClientOptions, proxy_problem, read_response,
};
use muster_options::{Duration, JsonSchema, OptionDoc, OptionError, Options, Secret, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, PluginError, PluginRow,
    StartContext,
};
use regex::Regex;
use reqwest::{Method, Response, Url};
use serde::{Deserialize, Serialize};

use crate::http_client::{Credentials, apply_headers, header_problems, parse_url};
use outcome::{Outcome, Verdict};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "http_response",
    summary: "asks HTTP endpoints and measures how they answer",
    options: docs,
    format: FormatUse::None,
    build: Build::Input(|cx| Ok(Box::new(HttpResponse::build(cx)?))),
};

const NOT_YET: &[&str] = &[
    "interface",
    "body_form",
    "cookie_auth_url",
    "cookie_auth_method",
    "cookie_auth_username",
    "cookie_auth_password",
    "cookie_auth_headers",
    "cookie_auth_body",
    "cookie_auth_renewal",
];

/// Options of `inputs.http_response`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HttpResponseOptions {
    /// What to ask.
    urls: Vec<String>,
    /// URL of a proxy; that of the environment if empty.
    http_proxy: String,
    /// How long an answer may take.
    response_timeout: Duration,
    /// The method.
    method: String,
    /// Whether to follow redirects.
    follow_redirects: bool,
    /// File with the bearer token; read for each request.
    bearer_token: Secret,
    /// User for HTTP basic authentication.
    username: Secret,
    /// Password for HTTP basic authentication.
    password: Secret,
    /// The body of each request.
    body: String,
    /// Additional headers of each request.
    headers: BTreeMap<String, String>,
    /// The field that gets the answer's body; none if empty.
    response_body_field: String,
    /// The most bytes of an answer, after decompression. 0 means 32 MiB.
    response_body_max_size: Size,
    /// Regular expression that the answer's body must match.
    response_string_match: String,
    /// The status that the answer must have. 0 means any.
    response_status_code: u16,
    /// Headers of the answer that become tags.
    http_header_tags: BTreeMap<String, String>,
}

impl Default for HttpResponseOptions {
    fn default() -> Self {
        Self {
            urls: vec!["http://localhost".to_owned()],
            http_proxy: String::new(),
            response_timeout: Duration::from_secs(5),
            method: "GET".to_owned(),
            follow_redirects: false,
            bearer_token: Secret::default(),
            username: Secret::default(),
            password: Secret::default(),
            body: String::new(),
            headers: BTreeMap::new(),
            response_body_field: String::new(),
            response_body_max_size: Size::from_mib(32),
            response_string_match: String::new(),
            response_status_code: 0,
            http_header_tags: BTreeMap::new(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = HttpResponseOptions::describe();
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The input.
struct HttpResponse {
    options: HttpResponseOptions,
    urls: Vec<(String, Url)>,
    method: Method,
    pattern: Option<Regex>,
    credentials: Credentials,
    tls: TlsClientOptions,
    client: Option<Client>,
}

impl HttpResponse {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, NOT_YET);
        let tls: TlsClientOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let mut options: HttpResponseOptions = reader.rest()?;
        let mut errors = header_problems("headers", &options.headers);
        errors.extend(proxy_problem("http_proxy", &options.http_proxy));
        if options.urls.is_empty() {
            options.urls.push("http://localhost".to_owned());
        }
        let mut urls = Vec::new();
        for text in &options.urls {
            match parse_url("urls", text) {
                Ok(url) => urls.push((text.clone(), url)),
                Err(error) => errors.push(error),
            }
        }
        let method = options.method.to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| errors.push(OptionError::new("method", "this is no method of HTTP")));
        let mut pattern = None;
        if !options.response_string_match.is_empty() {
            match Regex::new(&options.response_string_match) {
                Ok(regex) => pattern = Some(regex),
                Err(error) => {
                    errors.push(OptionError::new("response_string_match", error.to_string()));
                }
            }
        }
        let (Ok(method), true) = (method, errors.is_empty()) else {
            return Err(errors);
        };
        let credentials = Credentials {
            token: Secret::default(),
            token_file: options.bearer_token.clone(),
            username: options.username.clone(),
            password: options.password.clone(),
        };
        Ok(Self {
            options,
            urls,
            method,
            pattern,
            credentials,
            tls,
            client: None,
        })
    }

    async fn ask(&self, client: &Client, url: &Url) -> Result<Outcome, PluginError> {
        let mut request = client.request(self.method.clone(), url.clone());
        if !self.options.body.is_empty() {
            request = request.body(self.options.body.clone());
        }
        let request = self.credentials.apply(request).await?;
        let request = apply_headers(request, &self.options.headers);
        let started = Instant::now();
        Ok(match request.send().await {
            Ok(response) => self.judge(response, started).await,
            Err(error) => Outcome::failed(&error),
        })
    }

    async fn judge(&self, response: Response, started: Instant) -> Outcome {
        let mut outcome = Outcome {
            seconds: Some(started.elapsed().as_secs_f64()),
            status: Some(response.status().as_u16()),
            ..Outcome::default()
        };
        for (header, tag) in &self.options.http_header_tags {
            let value = response
                .headers()
                .get(header)
                .and_then(|value| value.to_str().ok());
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                outcome.tags.push((tag.clone(), value.to_owned()));
            }
        }
        let limit = match self.options.response_body_max_size.as_usize() {
            0 => 32 << 20,
            limit => limit,
        };
        let body = match read_response(response, limit).await {
            Ok(body) => body,
            Err(error) => {
                let length = if matches!(error, BodyError::TooLarge { .. }) {
                    limit
                } else {
                    0
                };
                outcome.length = Some(length);
                outcome.matched = self.pattern.is_some().then_some(false);
                outcome.verdict = Verdict::BodyReadError;
                return outcome;
            }
        };
        outcome.length = Some(body.len());
        if !self.options.response_body_field.is_empty() {
            match String::from_utf8(body.clone()) {
                Ok(text) => outcome.body = Some(text),
                Err(_) => {
                    outcome.matched = self.pattern.is_some().then_some(false);
                    outcome.verdict = Verdict::BodyReadError;
                    return outcome;
                }
            }
        }
        if let Some(pattern) = &self.pattern {
            let matched = pattern.is_match(&String::from_utf8_lossy(&body));
            outcome.matched = Some(matched);
            if !matched {
                outcome.verdict = Verdict::StringMismatch;
            }
        }
        if self.options.response_status_code > 0 {
            let matched = outcome.status == Some(self.options.response_status_code);
            outcome.status_matched = Some(matched);
            if !matched {
                outcome.verdict = Verdict::StatusMismatch;
            }
        }
        outcome
    }
}

#[async_trait]
impl Input for HttpResponse {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        let builder = ClientBuilder::new(self.options.response_timeout.get())
            .proxy(&self.options.http_proxy, true)
            .follow_redirects(self.options.follow_redirects);
        self.client = Some(builder.build(&self.tls)?);
        Ok(())
    }

    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let Some(client) = &self.client else {
            return Err(PluginError::new("gather before start"));
        };
        let outcomes = join_all(self.urls.iter().map(|(_, url)| self.ask(client, url))).await;
        let mut failures = Vec::new();
        for ((text, _), outcome) in self.urls.iter().zip(outcomes) {
            match outcome {
                Ok(outcome) => {
                    let field = &self.options.response_body_field;
                    outcome.write(text, self.method.as_str(), field, batch);
                }
                Err(error) => failures.push(error),
            }
        }
        crate::http::settle(cx, failures, self.urls.len())
    }
}
