//! `inputs.influxdb_v2_listener`: takes what clients write to InfluxDB 2.x.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Method, StatusCode};
use muster_metric::Precision;
use muster_net::http_server::{Answer, Request, empty, json, query_value, read_body, serve};
use muster_net::{Listening, OptionReader, TlsServerOptions, same_secret};
use muster_options::{Duration, JsonSchema, OptionDoc, Options, Secret, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use serde::{Deserialize, Serialize};

use crate::http_listener::Endpoint;
use crate::influx_write;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "influxdb_v2_listener",
    summary: "takes metrics as InfluxDB 2.x does",
    options: docs,
    format: FormatUse::None,
    build: Build::Service(|cx| Ok(Box::new(InfluxdbV2Listener::build(cx)?))),
};

const DEFAULT_MAX_BODY: usize = 32 << 20;

/// Options of `inputs.influxdb_v2_listener`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InfluxdbV2ListenerOptions {
    /// Where to listen: `:8086`, `tcp://127.0.0.1:8086` or `unix:///run/muster.sock`.
    service_address: String,
    /// How long a request may take to come.
    read_timeout: Duration,
    /// How long a client may take no byte of the answer.
    write_timeout: Duration,
    /// The most bytes of a request, as sent and after decompression. 0 means 32 MiB.
    max_body_size: Size,
    /// The tag that gets the bucket of the request; none if empty.
    bucket_tag: String,
    /// Token that clients must give; none if empty.
    token: Secret,
    /// Kept for compatibility: there is one parser.
    parser_type: String,
}

impl Default for InfluxdbV2ListenerOptions {
    fn default() -> Self {
        Self {
            service_address: ":8086".to_owned(),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            max_body_size: Size::from_mib(32),
            bucket_tag: String::new(),
            token: Secret::default(),
            parser_type: "internal".to_owned(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = InfluxdbV2ListenerOptions::describe();
    docs.extend(TlsServerOptions::describe());
    docs
}

/// The input.
struct InfluxdbV2Listener {
    endpoint: Endpoint,
    handler: Arc<Handler>,
    listening: Option<Listening>,
}

/// What decides about requests.
struct Handler {
    options: InfluxdbV2ListenerOptions,
    max_body: usize,
    read_timeout: std::time::Duration,
    started: Instant,
}

impl InfluxdbV2Listener {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &["max_undelivered_metrics"]);
        let tls: TlsServerOptions = reader.take();
        let options: InfluxdbV2ListenerOptions = reader.rest()?;
        let endpoint = Endpoint::new(
            &options.service_address,
            tls,
            "",
            (options.read_timeout, options.write_timeout),
            (options.max_body_size, DEFAULT_MAX_BODY),
        )?;
        let handler = Handler {
            options,
            max_body: endpoint.max_body,
            read_timeout: endpoint.limits.read_timeout,
            started: Instant::now(),
        };
        Ok(Self {
            endpoint,
            handler: Arc::new(handler),
            listening: None,
        })
    }

    /// Where the socket listens, for tests: the system may have chosen the port.
    #[cfg(test)]
    fn local_address(&self) -> String {
        self.listening
            .as_ref()
            .map(Listening::local_address)
            .unwrap_or_default()
    }
}

#[async_trait]
impl ServiceInput for InfluxdbV2Listener {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        self.listening = Some(self.endpoint.listen(cx).await?);
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let Some(listening) = &self.listening else {
            return Err(PluginError::new("run before the start"));
        };
        let (handler, service) = (Arc::clone(&self.handler), cx.clone());
        serve(
            cx.tasks(),
            listening,
            self.endpoint.limits,
            move |request| {
                let (handler, service) = (Arc::clone(&handler), service.clone());
                async move { handler.handle(&service, request).await }
            },
        )
        .await;
        Ok(())
    }
}

impl Handler {
    async fn handle(&self, cx: &ServiceContext, request: Request) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/ready") => {
                let up = format!(
                    "{:?}",
                    std::time::Duration::from_secs(self.started.elapsed().as_secs())
                );
                json(
                    StatusCode::OK,
                    serde_json::json!({ "status": "ready", "up": up }).to_string(),
                )
            }
            (&Method::GET | &Method::HEAD, "/ping") => empty(StatusCode::NO_CONTENT),
            (&Method::POST, "/api/v2/write") if !self.admits(request.headers()) => failure(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "unauthorized access",
            ),
            (&Method::POST, "/api/v2/write") => self.write(cx, request).await,
            (_, "/api/v2/write" | "/ready" | "/ping") => failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed",
                "method not allowed",
            ),
            _ => failure(StatusCode::NOT_FOUND, "not found", "path not found"),
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        if self.options.token.is_empty() {
            return true;
        }
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            let known = ["token", "bearer"]
                .iter()
                .any(|s| scheme.eq_ignore_ascii_case(s));
            known.then_some(token.trim())
        });
        same_secret(
            token.unwrap_or("").as_bytes(),
            self.options.token.expose().as_bytes(),
        )
    }

    async fn write(&self, cx: &ServiceContext, request: Request) -> Answer {
        let query = request.uri().query().unwrap_or("").to_owned();
        let precision = match query_value(&query, "precision")
            .unwrap_or_default()
            .as_str()
        {
            "" | "ns" => Precision::NANOSECOND,
            "us" => Precision::MICROSECOND,
            "ms" => Precision::MILLISECOND,
            "s" => Precision::SECOND,
            other => {
                let why = format!("unknown precision \"{other}\"; possible are ns, us, ms and s");
                return failure(StatusCode::BAD_REQUEST, "invalid", &why);
            }
        };
        let body = match read_body(request, self.max_body, self.read_timeout).await {
            Ok(body) => body,
            Err(error) => {
                let code = match error.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => "request too large",
                    _ => "invalid",
                };
                let answer = failure(error.status(), code, &error.to_string());
                cx.report(PluginError::new("take a request").because(error));
                return answer;
            }
        };
        let mut lines = influx_write::read(&body, precision);
        let bucket = query_value(&query, "bucket").unwrap_or_default();
        if !self.options.bucket_tag.is_empty() && !bucket.is_empty() {
            influx_write::tag(&mut lines.batch, &self.options.bucket_tag, &bucket);
        }
        cx.emit(lines.batch).await;
        match lines.problem {
            None => empty(StatusCode::NO_CONTENT),
            Some(why) => {
                cx.report(PluginError::new("parse a request").because(why.clone()));
                failure(StatusCode::BAD_REQUEST, "invalid", &why)
            }
        }
    }
}

/// An error as InfluxDB 2 writes it.
fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    json(
        status,
        serde_json::json!({ "code": code, "message": message }).to_string(),
    )
}
