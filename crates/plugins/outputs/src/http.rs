//! `outputs.http`: metrics in any format to an HTTP endpoint.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use muster_formats::Serializer;
use muster_metric::Metrics;
use muster_net::{
    Client, Encoding, HttpClientOptions, OptionReader, Pause, TlsClientOptions, describe_error,
    read_text_excerpt, retry_after,
};
use muster_options::{JsonSchema, OptionDoc, OptionError, Options, Secret};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "http",
    summary: "sends metrics in any data format to an HTTP endpoint",
    options: docs,
    format: FormatUse::Serializer("influx"),
    build: Build::Output(|cx| Ok(Box::new(Http::build(cx)?))),
};

const NOT_YET: &[&str] = &[
    "google_application_credentials",
    "region",
    "aws_service",
    "access_key",
    "secret_key",
    "token",
    "role_arn",
    "web_identity_token_file",
    "role_session_name",
    "profile",
    "shared_credential_file",
];

/// Options of `outputs.http`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HttpOptions {
    /// Where to send.
    url: String,
    /// The method: `POST`, `PUT` or `PATCH`.
    method: String,
    /// User for HTTP basic authentication.
    username: Secret,
    /// Password for HTTP basic authentication.
    password: Secret,
    /// Send the metrics of a write in one request; otherwise each in a request of its own.
    use_batch_format: bool,
    /// How the body is compressed: `gzip` or `identity`.
    content_encoding: String,
    /// Additional headers of each request.
    headers: BTreeMap<String, String>,
    /// Statuses after which the same is not tried again.
    non_retryable_statuscodes: Vec<u16>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8080/telegraf".to_owned(),
            method: "POST".to_owned(),
            username: Secret::default(),
            password: Secret::default(),
            use_batch_format: true,
            content_encoding: "identity".to_owned(),
            headers: BTreeMap::new(),
            non_retryable_statuscodes: Vec::new(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = HttpOptions::describe();
    docs.extend(HttpClientOptions::describe());
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The output.
struct Http {
    options: HttpOptions,
    url: Url,
    method: Method,
    encoding: Encoding,
    client_options: HttpClientOptions,
    tls: TlsClientOptions,
    serializer: Arc<dyn Serializer>,
    client: Option<Client>,
    pause: Pause,
}

impl Http {
    fn build(cx: &BuildContext) -> Built<Self> {
        let not_yet: Vec<&str> = [NOT_YET, HttpClientOptions::NOT_YET].concat();
        let mut reader = OptionReader::new(cx, &not_yet);
        let tls: TlsClientOptions = reader.take();
        let client_options: HttpClientOptions = reader.take();
        let problems = tls.problems().into_iter().chain(client_options.problems());
        problems.for_each(|error| reader.refuse(error));
        let options: HttpOptions = reader.rest()?;
        let serializer = cx.serializer()?;
        let mut errors = crate::http_headers::problems("headers", &options.headers);
        let url = crate::http_headers::url("url", &options.url).map_err(|e| errors.push(e));
        let encoding = Encoding::parse(&options.content_encoding)
            .map_err(|message| errors.push(OptionError::new("content_encoding", message)));
        let method = match options.method.to_ascii_uppercase().as_str() {
            "" | "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            other => {
                let error = OptionError::new("method", format!("\"{other}\" is not possible"));
                errors.push(error.with_hint("possible are POST, PUT and PATCH"));
                Method::POST
            }
        };
        let (Ok(url), Ok(encoding), true) = (url, encoding, errors.is_empty()) else {
            return Err(errors);
        };
        Ok(Self {
            options,
            url,
            method,
            encoding,
            client_options,
            tls,
            serializer,
            client: None,
            pause: Pause::default(),
        })
    }

    async fn send(&mut self, body: Vec<u8>) -> Result<(), WriteError> {
        let Some(client) = &self.client else {
            return Err(PluginError::new("write before the start").into());
        };
        let shown = self.url.origin().ascii_serialization();
        let failed = || PluginError::new(format!("send to {shown}{}", self.url.path()));
        if let Some(left) = self.pause.remaining() {
            let why = format!("the server asked to be left alone for another {left:.1?}");
            return Err(failed().because(why).into());
        }
        let body = self
            .encoding
            .encode(body)
            .map_err(|error| failed().because(error))?;
        let mut request = client
            .request(self.method.clone(), self.url.clone())
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(body);
        if let Some(name) = self.encoding.header() {
            request = request.header(CONTENT_ENCODING, name);
        }
        if !self.options.username.is_empty() || !self.options.password.is_empty() {
            let (user, password) = (&self.options.username, &self.options.password);
            request = request.basic_auth(user.expose(), Some(password.expose()));
        }
        let request = crate::http_headers::apply(request, &self.options.headers);
        let response = request.send().await;
        let response = response.map_err(|error| failed().because(describe_error(&error)))?;
        let (status, wanted) = (response.status(), retry_after(response.headers()));
        if status.is_success() {
            self.pause.clear();
            return Ok(());
        }
        let text = read_text_excerpt(response).await;
        let error = failed().because(format!("{status}: {text}"));
        if self
            .options
            .non_retryable_statuscodes
            .contains(&status.as_u16())
        {
            return Err(WriteError::Rejected(error));
        }
        if wanted.is_some() {
            self.pause.extend(wanted);
        }
        Err(WriteError::Retry(error))
    }
}

#[async_trait]
impl Output for Http {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        self.client = Some(self.client_options.builder().build(&self.tls)?);
        Ok(())
    }

    async fn write(&mut self, _: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        if self.options.use_batch_format {
            let mut body = Vec::new();
            crate::encode::encode(&*self.serializer, metrics, &mut body);
            return if body.is_empty() {
                Ok(())
            } else {
                self.send(body).await
            };
        }
        let mut rejected = Vec::new();
        let mut refused = None;
        for (position, metric) in metrics.iter().enumerate() {
            let mut body = Vec::new();
            self.serializer
                .serialize(&mut std::iter::once(metric), &mut body);
            if body.is_empty() {
                continue;
            }
            match self.send(body).await {
                Ok(()) => {}
                Err(WriteError::Rejected(error)) => {
                    rejected.push(position);
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(()), |error| Err(WriteError::Partial { rejected, error }))
    }

    async fn close(&mut self, _: &OutputContext) -> Result<(), PluginError> {
        self.client = None;
        Ok(())
    }
}
