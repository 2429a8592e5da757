//! `inputs.http`: metrics in any format from HTTP endpoints.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use http::header::CONTENT_ENCODING;
use muster_formats::{Parser, Report};
use muster_metric::Batch;
use muster_net::{
    Client, Encoding, HttpClientOptions, OptionReader, TlsClientOptions, describe_error,
    read_response,
};
use muster_options::{JsonSchema, OptionDoc, OptionError, Options, Secret, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, PluginError, PluginRow,
    StartContext,
};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};

use crate::http_client::{Credentials, apply_headers, header_problems, parse_url, shown};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "http",
    summary: "reads metrics in any data format from HTTP endpoints",
    options: docs,
    format: FormatUse::Parser("influx"),
    build: Build::Input(|cx| Ok(Box::new(Http::build(cx)?))),
};

/// Options of `inputs.http`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HttpOptions {
    /// Where to read.
    urls: Vec<String>,
    /// The method.
    method: String,
    /// Additional headers of each request.
    headers: BTreeMap<String, String>,
    /// The body of each request.
    body: String,
    /// How the request's body is compressed: `gzip` or `identity`.
    content_encoding: String,
    /// Bearer token by which to identify ourselves.
    token: Secret,
    /// File with the bearer token; read for each request.
    token_file: String,
    /// User for HTTP basic authentication.
    username: Secret,
    /// Password for HTTP basic authentication.
    password: Secret,
    /// Statuses that count as success.
    success_status_codes: Vec<u16>,
    /// The most bytes of an answer, after decompression.
    response_body_max_size: Size,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            body: String::new(),
            content_encoding: "identity".to_owned(),
            token: Secret::default(),
            token_file: String::new(),
            username: Secret::default(),
            password: Secret::default(),
            success_status_codes: vec![200],
            response_body_max_size: Size::from_mib(128),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = HttpOptions::describe();
    docs.extend(HttpClientOptions::describe());
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The input.
struct Http {
    options: HttpOptions,
    urls: Vec<(String, Url)>,
    method: Method,
    body: Vec<u8>,
    encoding: Encoding,
    credentials: Credentials,
    client_options: HttpClientOptions,
    tls: TlsClientOptions,
    parser: Arc<dyn Parser>,
    client: Option<Client>,
}

impl Http {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, HttpClientOptions::NOT_YET);
        let tls: TlsClientOptions = reader.take();
        let client_options: HttpClientOptions = reader.take();
        let problems = tls.problems().into_iter().chain(client_options.problems());
        problems.for_each(|error| reader.refuse(error));
        let options: HttpOptions = reader.rest()?;
        let parser = cx.parser()?;
        let mut errors = header_problems("headers", &options.headers);
        if options.urls.is_empty() {
            errors.push(OptionError::new("urls", "at least one URL is needed"));
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
        let encoding = Encoding::parse(&options.content_encoding)
            .map_err(|message| errors.push(OptionError::new("content_encoding", message)));
        let (Ok(method), Ok(encoding), true) = (method, encoding, errors.is_empty()) else {
            return Err(errors);
        };
        let body = encoding
            .encode(options.body.clone().into_bytes())
            .map_err(|error| vec![OptionError::new("body", error.to_string())])?;
        let credentials = Credentials {
            token: options.token.clone(),
            token_file: Secret::new(options.token_file.clone()),
            username: options.username.clone(),
            password: options.password.clone(),
        };
        Ok(Self {
            options,
            urls,
            method,
            body,
            encoding,
            credentials,
            client_options,
            tls,
            parser,
            client: None,
        })
    }

    async fn ask(&self, client: &Client, url: &Url) -> Result<Vec<u8>, PluginError> {
        let failed = || PluginError::new(format!("read {}", shown(url)));
        let mut request = client.request(self.method.clone(), url.clone());
        if !self.options.body.is_empty() {
            request = request.body(self.body.clone());
            if let Some(name) = self.encoding.header() {
                request = request.header(CONTENT_ENCODING, name);
            }
        }
        let request = self.credentials.apply(request).await?;
        let response = apply_headers(request, &self.options.headers).send().await;
        let response = response.map_err(|error| failed().because(describe_error(&error)))?;
        let status = response.status();
        if !self.options.success_status_codes.contains(&status.as_u16()) {
            let wanted = &self.options.success_status_codes;
            return Err(failed().because(format!("the status is {status}, not one of {wanted:?}")));
        }
        let limit = self.options.response_body_max_size.as_usize();
        read_response(response, limit)
            .await
            .map_err(|error| failed().because(error))
    }
}

#[async_trait]
impl Input for Http {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        self.client = Some(self.client_options.builder().build(&self.tls)?);
        Ok(())
    }

    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let Some(client) = &self.client else {
            return Err(PluginError::new("gather before start"));
        };
        let answers = join_all(self.urls.iter().map(|(_, url)| self.ask(client, url))).await;
        let mut failures = Vec::new();
        for ((text, url), answer) in self.urls.iter().zip(answers) {
            let body = match answer {
                Ok(body) => body,
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            let first = batch.rows();
            let parsed = self.parser.parse(&body, batch);
            if let Err(error) = check(parsed.map_err(|e| e.to_string())) {
                let failed = PluginError::new(format!("parse the answer of {}", shown(url)));
                cx.report(failed.because(error));
            }
            let (key, value) = (batch.text("url"), batch.text(text));
            for row in first..batch.rows() {
                if let Some(mut metric) = batch.get_mut(row) {
                    metric.set_tag_if_absent(key, value);
                }
            }
        }
        settle(cx, failures, self.urls.len())
    }
}

/// Reports the failures of some of so many targets. If all have failed, the last failure is that of
/// the gather.
pub(crate) fn settle(
    cx: &GatherContext,
    mut failures: Vec<PluginError>,
    targets: usize,
) -> Result<(), PluginError> {
    let last = if failures.len() == targets {
        failures.pop()
    } else {
        None
    };
    failures.into_iter().for_each(|error| cx.report(error));
    last.map_or(Ok(()), Err)
}

/// The failure in what a parser says.
pub(crate) fn check(parsed: Result<Report, String>) -> Result<(), String> {
    let report = parsed?;
    let first = report
        .problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    match report.bad {
        0 => Ok(()),
        1 => Err(first),
        bad => Err(format!("{bad} bad records, the first: {first}")),
    }
}
