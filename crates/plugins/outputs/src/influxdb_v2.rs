//! `outputs.influxdb_v2`: InfluxDB 2.x and later over its HTTP API.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use muster_metric::Metrics;
use muster_metric::line_protocol::Writer;
use muster_net::{
    Client, ClientBuilder, Encoding, OptionReader, Pause, TlsClientOptions, describe_error,
    proxy_problem, read_text_excerpt, retry_after,
};
use muster_options::{Duration, JsonSchema, OptionDoc, OptionError, Options, Secret};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::influx_lines::{Parcel, RouteTag, parcels, random_start};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "influxdb_v2",
    summary: "writes to InfluxDB 2.x over HTTP",
    options: docs,
    format: FormatUse::None,
    build: Build::Output(|cx| Ok(Box::new(InfluxdbV2::build(cx)?))),
};

const NOT_YET: &[&str] = &[
    "local_address",
    "concurrent_writes",
    "rate_limit",
    "rate_limit_period",
    "ping_timeout",
    "read_idle_timeout",
];

/// Options of `outputs.influxdb_v2`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InfluxdbV2Options {
    /// URLs of the servers. Each write goes to one of them; where it fails, the next one is tried.
    urls: Vec<String>,
    /// Token by which to identify ourselves.
    token: Secret,
    /// The organization to write to.
    organization: String,
    /// The bucket to write to; it must exist.
    bucket: String,
    /// The tag whose value is the bucket, for metrics that have it.
    bucket_tag: String,
    /// Leave the tag `bucket_tag` out of what is written.
    exclude_bucket_tag: bool,
    /// How long a request may take.
    timeout: Duration,
    /// Additional headers of each request.
    http_headers: BTreeMap<String, String>,
    /// URL of a proxy; that of the environment if empty.
    http_proxy: String,
    /// The `User-Agent` header.
    user_agent: String,
    /// How the lines are compressed: `gzip` or `identity`.
    content_encoding: String,
    /// Write unsigned integers as such.
    influx_uint_support: bool,
    /// Write no timestamps: the server gives its own.
    influx_omit_timestamp: bool,
}

impl Default for InfluxdbV2Options {
    fn default() -> Self {
        Self {
            urls: vec!["http://127.0.0.1:8086".to_owned()],
            token: Secret::default(),
            organization: String::new(),
            bucket: String::new(),
            bucket_tag: String::new(),
            exclude_bucket_tag: false,
            timeout: Duration::from_secs(5),
            http_headers: BTreeMap::new(),
            http_proxy: String::new(),
            user_agent: String::new(),
            content_encoding: "gzip".to_owned(),
            influx_uint_support: false,
            influx_omit_timestamp: false,
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = InfluxdbV2Options::describe();
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The output.
struct InfluxdbV2 {
    options: InfluxdbV2Options,
    tls: TlsClientOptions,
    encoding: Encoding,
    servers: Vec<Server>,
    client: Option<Client>,
}

struct Server {
    url: Url,
    /// The server has asked to be left alone.
    pause: Pause,
}

impl InfluxdbV2 {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, NOT_YET);
        let tls: TlsClientOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let options: InfluxdbV2Options = reader.rest()?;
        let mut errors: Vec<OptionError> = proxy_problem("http_proxy", &options.http_proxy)
            .into_iter()
            .collect();
        errors.extend(crate::http_headers::problems(
            "http_headers",
            &options.http_headers,
        ));
        if options.urls.is_empty() {
            errors.push(OptionError::new("urls", "at least one URL is needed"));
        }
        let mut servers = Vec::new();
        for text in &options.urls {
            match write_url(text) {
                Ok(url) => servers.push(Server {
                    url,
                    pause: Pause::default(),
                }),
                Err(error) => errors.push(error),
            }
        }
        let encoding = Encoding::parse(&options.content_encoding)
            .map_err(|message| errors.push(OptionError::new("content_encoding", message)));
        let (Ok(encoding), true) = (encoding, errors.is_empty()) else {
            return Err(errors);
        };
        Ok(Self {
            options,
            tls,
            encoding,
            servers,
            client: None,
        })
    }

    /// Writes a parcel to the first server that takes it.
    async fn deliver(&mut self, parcel: &Parcel) -> Result<(), WriteError> {
        let Some(client) = self.client.clone() else {
            return Err(PluginError::new("write before the start").into());
        };
        let failed = || PluginError::new("write");
        let body = self
            .encoding
            .encode(parcel.lines.clone())
            .map_err(|e| failed().because(e))?;
        let start = random_start(self.servers.len());
        let count = self.servers.len();
        let mut last = None;
        for at in 0..count {
            let server = &mut self.servers[(start + at) % count];
            let sent = server.send(&client, &self.options, self.encoding, parcel, body.clone());
            match sent.await {
                Err(WriteError::Retry(error)) => last = Some(error),
                done => return done,
            }
        }
        Err(last
            .unwrap_or_else(|| PluginError::new("write: there is no server"))
            .into())
    }
}

impl Server {
    async fn send(
        &mut self,
        client: &Client,
        options: &InfluxdbV2Options,
        encoding: Encoding,
        parcel: &Parcel,
        body: Vec<u8>,
    ) -> Result<(), WriteError> {
        let bucket = parcel.route.first().map_or("", String::as_str);
        let shown = self.url.origin().ascii_serialization();
        let failed = || PluginError::new(format!("write to bucket \"{bucket}\" at {shown}"));
        if let Some(left) = self.pause.remaining() {
            let why = format!("the server asked to be left alone for another {left:.1?}");
            return Err(failed().because(why).into());
        }
        let query = [
            ("org", options.organization.as_str()),
            ("bucket", bucket),
            ("precision", "ns"),
        ];
        let mut request = client
            .post(self.url.clone())
            .query(&query)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(body);
        if let Some(name) = encoding.header() {
            request = request.header(CONTENT_ENCODING, name);
        }
        if !options.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Token {}", options.token.expose()));
        }
        let request = crate::http_headers::apply(request, &options.http_headers);
        let response = request.send().await;
        let response = response.map_err(|error| failed().because(describe_error(&error)))?;
        let (status, wanted) = (response.status(), retry_after(response.headers()));
        if status.is_success() {
            self.pause.clear();
            return Ok(());
        }
        let text = read_text_excerpt(response).await;
        let error = failed().because(format!("{status}: {text}"));
        match status {
            // Who we are and what we may do is no fault of the metrics: this can be put right.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(WriteError::Retry(
                error.with_hint("check the token and what it permits"),
            )),
            StatusCode::NOT_FOUND => Err(WriteError::Retry(
                error.with_hint("check the organization and the bucket"),
            )),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                self.pause.extend(wanted);
                Err(WriteError::Retry(error))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(WriteError::Retry(error))
            }
            status if status.is_client_error() => Err(WriteError::Rejected(error)),
            _ => Err(WriteError::Retry(error)),
        }
    }
}

#[async_trait]
impl Output for InfluxdbV2 {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        let builder = ClientBuilder::new(self.options.timeout.get())
            .proxy(&self.options.http_proxy, true)
            .user_agent(&self.options.user_agent);
        self.client = Some(builder.build(&self.tls)?);
        Ok(())
    }

    async fn write(&mut self, _: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        let route = RouteTag {
            tag: self.options.bucket_tag.clone(),
            default: self.options.bucket.clone(),
            exclude: self.options.exclude_bucket_tag,
        };
        let writer = Writer {
            uint_support: self.options.influx_uint_support,
            omit_timestamp: self.options.influx_omit_timestamp,
            ..Writer::default()
        };
        let mut refused = None;
        for parcel in parcels(metrics, &[route], &writer) {
            match self.deliver(&parcel).await {
                Ok(()) => {}
                Err(WriteError::Rejected(error)) => refused = Some(error),
                // Points that were written already are written again, which changes nothing.
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(()), |error| Err(WriteError::Rejected(error)))
    }

    async fn close(&mut self, _: &OutputContext) -> Result<(), PluginError> {
        self.client = None;
        Ok(())
    }
}

/// Where a server takes writes.
fn write_url(text: &str) -> Result<Url, OptionError> {
    let mut url = crate::http_headers::url("urls", text)?;
    let own = url.path().trim_end_matches('/').to_owned();
    if !own.ends_with("/api/v2/write") {
        url.set_path(&format!("{own}/api/v2/write"));
    }
    Ok(url)
}
