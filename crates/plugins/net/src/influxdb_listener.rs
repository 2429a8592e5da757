//! `inputs.influxdb_listener`: takes what clients write to InfluxDB 1.x.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use muster_metric::Precision;
use muster_net::http_server::{Answer, Request, empty, json, query_value, read_body, serve};
use muster_net::{BasicAuth, Listening, OptionReader, TlsServerOptions};
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
    name: "influxdb_listener",
    summary: "takes metrics as InfluxDB 1.x does",
    options: docs,
    format: FormatUse::None,
    build: Build::Service(|cx| Ok(Box::new(InfluxdbListener::build(cx)?))),
};

const DEFAULT_MAX_BODY: usize = 32 << 20;

const VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");

/// Options of `inputs.influxdb_listener`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InfluxdbListenerOptions {
    /// Where to listen: `:8186`, `tcp://127.0.0.1:8186` or `unix:///run/muster.sock`.
    service_address: String,
    /// How long a request may take to come.
    read_timeout: Duration,
    /// How long a client may take no byte of the answer.
    write_timeout: Duration,
    /// The most bytes of a request, as sent and after decompression. 0 means 32 MiB.
    max_body_size: Size,
    /// Kept for compatibility: a line may have 1 MiB.
    max_line_size: Size,
    /// The tag that gets the database of the request; none if empty.
    database_tag: String,
    /// The tag that gets the retention policy of the request; none if empty.
    retention_policy_tag: String,
    /// The tag that gets database and retention policy as `db/rp`; none if empty.
    bucket_tag: String,
    /// User that clients must give.
    basic_username: Secret,
    /// Password that clients must give.
    basic_password: Secret,
    /// Kept for compatibility: there is one parser.
    parser_type: String,
}

impl Default for InfluxdbListenerOptions {
    fn default() -> Self {
        Self {
            service_address: ":8186".to_owned(),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            max_body_size: Size::from_bytes(0),
            max_line_size: Size::from_bytes(0),
            database_tag: String::new(),
            retention_policy_tag: String::new(),
            bucket_tag: String::new(),
            basic_username: Secret::default(),
            basic_password: Secret::default(),
            parser_type: "internal".to_owned(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = InfluxdbListenerOptions::describe();
    docs.extend(TlsServerOptions::describe());
    docs
}

/// The input.
struct InfluxdbListener {
    endpoint: Endpoint,
    handler: Arc<Handler>,
    listening: Option<Listening>,
}

/// What decides about requests.
struct Handler {
    options: InfluxdbListenerOptions,
    auth: BasicAuth,
    max_body: usize,
    read_timeout: std::time::Duration,
}

impl InfluxdbListener {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsServerOptions = reader.take();
        let options: InfluxdbListenerOptions = reader.rest()?;
        let endpoint = Endpoint::new(
            &options.service_address,
            tls,
            "",
            (options.read_timeout, options.write_timeout),
            (options.max_body_size, DEFAULT_MAX_BODY),
        )?;
        let handler = Handler {
            auth: BasicAuth {
                username: options.basic_username.clone(),
                password: options.basic_password.clone(),
            },
            options,
            max_body: endpoint.max_body,
            read_timeout: endpoint.limits.read_timeout,
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
impl ServiceInput for InfluxdbListener {
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
                async move {
                    let mut answer = handler.handle(&service, request).await;
                    answer
                        .headers_mut()
                        .insert(VERSION, HeaderValue::from_static("1.8.0"));
                    answer
                }
            },
        )
        .await;
        Ok(())
    }
}

impl Handler {
    async fn handle(&self, cx: &ServiceContext, request: Request) -> Answer {
        let path = request.uri().path();
        if path == "/ping" {
            let query = request.uri().query().unwrap_or("");
            let verbose = query_value(query, "verbose").unwrap_or_default();
            return match verbose.as_str() {
                "" | "0" | "false" => empty(StatusCode::NO_CONTENT),
                _ => json(StatusCode::OK, "{\"version\":\"1.8.0\"}"),
            };
        }
        if !self.auth.admits(request.headers().get(AUTHORIZATION)) {
            let mut answer = failure(StatusCode::UNAUTHORIZED, "authorization failed");
            let value = HeaderValue::from_static("Basic realm=\"InfluxDB\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, value);
            return answer;
        }
        match path {
            "/write" if request.method() == Method::POST => self.write(cx, request).await,
            "/write" => failure(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            // Clients create their database first; there is nothing to be done.
            "/query" => json(StatusCode::OK, "{\"results\":[]}"),
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    async fn write(&self, cx: &ServiceContext, request: Request) -> Answer {
        let query = request.uri().query().unwrap_or("").to_owned();
        let value = |name: &str| query_value(&query, name).unwrap_or_default();
        let precision = precision(&value("precision"));
        let body = match read_body(request, self.max_body, self.read_timeout).await {
            Ok(body) => body,
            Err(error) => {
                let answer = failure(error.status(), &error.to_string());
                cx.report(PluginError::new("take a request").because(error));
                return answer;
            }
        };
        let mut lines = influx_write::read(&body, precision);
        let (database, policy) = (value("db"), value("rp"));
        let bucket = match (database.as_str(), policy.as_str()) {
            (database, "") => database.to_owned(),
            (database, policy) => format!("{database}/{policy}"),
        };
        let tags = [
            (&self.options.database_tag, database),
            (&self.options.retention_policy_tag, policy),
            (&self.options.bucket_tag, bucket),
        ];
        for (key, value) in tags {
            if !key.is_empty() && !value.is_empty() {
                influx_write::tag(&mut lines.batch, key, &value);
            }
        }
        cx.emit(lines.batch).await;
        match lines.problem {
            None => empty(StatusCode::NO_CONTENT),
            Some(why) => {
                cx.report(PluginError::new("parse a request").because(why.clone()));
                failure(StatusCode::BAD_REQUEST, &why)
            }
        }
    }
}

/// The unit of timestamps; anything unknown is nanoseconds, as in InfluxDB.
fn precision(name: &str) -> Precision {
    let seconds = |n| Precision::from_duration(std::time::Duration::from_secs(n));
    match name {
        "u" | "us" | "µ" => Precision::MICROSECOND,
        "ms" => Precision::MILLISECOND,
        "s" => Precision::SECOND,
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => Precision::NANOSECOND,
    }
}

/// An error as InfluxDB writes it.
fn failure(status: StatusCode, why: &str) -> Answer {
    let mut answer = json(status, serde_json::json!({ "error": why }).to_string());
    let plain: String = why.chars().filter(|c| (' '..='~').contains(c)).collect();
    if let Ok(value) = HeaderValue::from_str(&plain) {
        answer.headers_mut().insert(ERROR, value);
    }
    answer
}
