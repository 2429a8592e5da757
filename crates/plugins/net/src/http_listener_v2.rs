//! `inputs.http_listener_v2`: metrics in any format, sent over HTTP.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use muster_formats::Parser;
use muster_metric::Batch;
use muster_net::http_server::{Answer, Request, empty, query_pairs, read_body, serve, text};
use muster_net::{BasicAuth, Listening, OptionReader, TlsServerOptions};
use muster_options::{Duration, JsonSchema, OptionDoc, OptionError, Options, Secret, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use serde::{Deserialize, Serialize};

use crate::http_client::header_problems;
use crate::http_listener::Endpoint;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "http_listener_v2",
    summary: "takes metrics in any data format over HTTP",
    options: docs,
    format: FormatUse::Parser("influx"),
    build: Build::Service(|cx| Ok(Box::new(HttpListener::build(cx)?))),
};

const DEFAULT_MAX_BODY: usize = 500 << 20;

/// Options of `inputs.http_listener_v2`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HttpListenerOptions {
    /// Where to listen: `:8080`, `tcp://127.0.0.1:8080` or `unix:///run/muster.sock`.
    service_address: String,
    /// Permission bits of a unix socket's file, in octal: `"660"`.
    socket_mode: String,
    /// The old way to give one path.
    path: String,
    /// The paths that take metrics.
    paths: Vec<String>,
    /// Tag each metric with the path, as `http_listener_v2_path`.
    path_tag: bool,
    /// The methods that are taken.
    methods: Vec<String>,
    /// Additional headers of each answer.
    http_headers: BTreeMap<String, String>,
    /// The status that says that all went well.
    http_success_code: u16,
    /// How long a request may take to come.
    read_timeout: Duration,
    /// How long a client may take no byte of the answer.
    write_timeout: Duration,
    /// The most bytes of a request, as sent and after decompression. 0 means 500 MiB.
    max_body_size: Size,
    /// The part of the request that holds the metrics: `body` or `query`.
    data_source: String,
    /// User that clients must give.
    basic_username: Secret,
    /// Password that clients must give.
    basic_password: Secret,
    /// Headers of the request that become tags.
    http_header_tags: BTreeMap<String, String>,
}

impl Default for HttpListenerOptions {
    fn default() -> Self {
        Self {
            service_address: ":8080".to_owned(),
            socket_mode: String::new(),
            path: String::new(),
            paths: vec!["/telegraf".to_owned()],
            path_tag: false,
            methods: vec!["POST".to_owned(), "PUT".to_owned()],
            http_headers: BTreeMap::new(),
            http_success_code: 204,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            max_body_size: Size::from_mib(500),
            data_source: "body".to_owned(),
            basic_username: Secret::default(),
            basic_password: Secret::default(),
            http_header_tags: BTreeMap::new(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = HttpListenerOptions::describe();
    docs.extend(TlsServerOptions::describe());
    docs
}

/// The input.
struct HttpListener {
    endpoint: Endpoint,
    handler: Arc<Handler>,
    listening: Option<Listening>,
}

/// What decides about requests.
struct Handler {
    paths: Vec<String>,
    methods: Vec<String>,
    auth: BasicAuth,
    from_query: bool,
    success: StatusCode,
    headers: HeaderMap,
    header_tags: Vec<(HeaderName, String)>,
    path_tag: bool,
    parser: Arc<dyn Parser>,
    max_body: usize,
    read_timeout: std::time::Duration,
}

impl HttpListener {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsServerOptions = reader.take();
        let options: HttpListenerOptions = reader.rest()?;
        let parser = cx.parser()?;
        let mut errors = header_problems("http_headers", &options.http_headers);
        let endpoint = Endpoint::new(
            &options.service_address,
            tls,
            &options.socket_mode,
            (options.read_timeout, options.write_timeout),
            (options.max_body_size, DEFAULT_MAX_BODY),
        );
        let endpoint = endpoint.map_err(|more| errors.extend(more));
        if !["body", "query"].contains(&options.data_source.as_str()) {
            let message = format!("unknown source \"{}\"", options.data_source);
            let error = OptionError::new("data_source", message);
            errors.push(error.with_hint("possible are body and query"));
        }
        let success = StatusCode::from_u16(options.http_success_code)
            .map_err(|_| errors.push(OptionError::new("http_success_code", "this is no status")));
        let mut header_tags = Vec::new();
        for (header, tag) in &options.http_header_tags {
            match header.parse() {
                Ok(header) => header_tags.push((header, tag.clone())),
                Err(_) => {
                    let path = format!("http_header_tags.{header}");
                    errors.push(OptionError::new(path, "this is no name of a header"));
                }
            }
        }
        let (Ok(endpoint), Ok(success), true) = (endpoint, success, errors.is_empty()) else {
            return Err(errors);
        };
        let mut paths = options.paths;
        if !options.path.is_empty() {
            paths.push(options.path);
        }
        let pairs = options.http_headers.iter();
        let headers = pairs.filter_map(|(name, value)| {
            Some((
                name.parse::<HeaderName>().ok()?,
                value.parse::<HeaderValue>().ok()?,
            ))
        });
        let handler = Handler {
            paths,
            methods: options
                .methods
                .iter()
                .map(|method| method.to_ascii_uppercase())
                .collect(),
            auth: BasicAuth {
                username: options.basic_username,
                password: options.basic_password,
            },
            from_query: options.data_source == "query",
            success,
            headers: headers.collect(),
            header_tags,
            path_tag: options.path_tag,
            parser,
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
impl ServiceInput for HttpListener {
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
                    let headers = handler.headers.iter();
                    answer
                        .headers_mut()
                        .extend(headers.map(|(k, v)| (k.clone(), v.clone())));
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
        let path = request.uri().path().to_owned();
        if !self.paths.contains(&path) {
            return empty(StatusCode::NOT_FOUND);
        }
        if !self
            .methods
            .iter()
            .any(|method| method == request.method().as_str())
        {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !self.auth.admits(request.headers().get(AUTHORIZATION)) {
            let mut answer = empty(StatusCode::UNAUTHORIZED);
            let value = HeaderValue::from_static("Basic realm=\"muster\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, value);
            return answer;
        }
        let mut tags = self.tags(request.headers());
        let bytes = if self.from_query {
            let pairs = query_pairs(request.uri().query().unwrap_or(""));
            let plain = pairs.map(|(k, v)| if v.is_empty() { k } else { format!("{k}={v}") });
            plain.collect::<Vec<_>>().join("&").into_bytes()
        } else {
            match read_body(request, self.max_body, self.read_timeout).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    let status = error.status();
                    cx.report(PluginError::new("take a request").because(error));
                    return empty(status);
                }
            }
        };
        if self.path_tag {
            tags.push(("http_listener_v2_path".to_owned(), path));
        }
        let mut batch = Batch::with_capacity(16, bytes.len());
        let parsed = self
            .parser
            .parse(&bytes, &mut batch)
            .map_err(|error| error.to_string());
        let problem = crate::http::check(parsed);
        for (key, value) in &tags {
            let (key, value) = (batch.text(key), batch.text(value));
            batch.for_each_mut(|mut metric| metric.set_tag(key, value));
        }
        cx.emit(batch).await;
        match problem {
            Ok(()) => empty(self.success),
            Err(why) => {
                cx.report(PluginError::new("parse a request").because(why.clone()));
                text(StatusCode::BAD_REQUEST, why)
            }
        }
    }

    fn tags(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let found = self.header_tags.iter().filter_map(|(header, tag)| {
            let value = headers.get(header)?.to_str().ok()?;
            Some((tag.clone(), value.to_owned()))
        });
        found.collect()
    }
}
