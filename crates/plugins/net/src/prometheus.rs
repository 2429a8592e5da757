//! `inputs.prometheus`: scrapes what Prometheus scrapes.

mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use http::header::{ACCEPT, CONTENT_TYPE};
use muster_formats::Parser;
use muster_metric::Batch;
use muster_net::{
    Client, HttpClientOptions, OptionReader, TlsClientOptions, describe_error, read_response,
};
use muster_options::{Duration, JsonSchema, OptionDoc, OptionError, Options, Secret, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, PluginError, PluginRow,
    StartContext,
};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::http_client::{Credentials, apply_headers, header_problems};
use target::Target;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "prometheus",
    summary: "scrapes Prometheus and OpenMetrics endpoints",
    options: docs,
    format: FormatUse::None,
    build: Build::Input(|cx| Ok(Box::new(Prometheus::build(cx)?))),
};

/// Text formats only: there is no parser for the binary one.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;q=0.8,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.3";

/// Discovery of targets comes later.
const NOT_YET: &[&str] = &[
    "kubernetes_services",
    "kube_config",
    "monitor_kubernetes_pods",
    "monitor_kubernetes_pods_method",
    "monitor_kubernetes_pods_scheme",
    "monitor_kubernetes_pods_port",
    "monitor_kubernetes_pods_path",
    "monitor_kubernetes_pods_namespace",
    "pod_scrape_scope",
    "node_ip",
    "pod_scrape_interval",
    "kubernetes_label_selector",
    "kubernetes_field_selector",
    "cache_refresh_interval",
    "pod_namespace_label_name",
    "pod_annotation_include",
    "pod_annotation_exclude",
    "pod_label_include",
    "pod_label_exclude",
    "namespace_annotation_pass",
    "namespace_annotation_drop",
    "consul",
    "http_service_discovery",
];

/// Options of `inputs.prometheus`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PrometheusOptions {
    /// Where to scrape: `http://`, `https://` or `unix:///run/x.sock?path=/metrics`. The path is
    /// `/metrics` if none is given.
    urls: Vec<String>,
    /// How samples become metrics: 1 names the metric as the family; 2 names every metric
    /// `prometheus` and the field as the sample.
    metric_version: i64,
    /// The tag that holds the URL; none if empty.
    url_tag: String,
    /// Whether to ignore the samples' own times and take that of the scrape.
    ignore_timestamp: bool,
    /// Take answers as of this media type, whatever they say.
    content_type_override: String,
    /// File with the bearer token; read for each scrape.
    bearer_token: Secret,
    /// Bearer token by which to identify ourselves.
    bearer_token_string: Secret,
    /// User for HTTP basic authentication.
    username: Secret,
    /// Password for HTTP basic authentication.
    password: Secret,
    /// Additional headers of each request.
    http_headers: BTreeMap<String, String>,
    /// The old name of `timeout`.
    response_timeout: Option<Duration>,
    /// The most bytes of an answer, after decompression. 0 means 100 MB.
    content_length_limit: Size,
    /// Add the metric `prometheus_request` with the time and the length of each answer.
    enable_request_metrics: bool,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            metric_version: 1,
            url_tag: "url".to_owned(),
            ignore_timestamp: false,
            content_type_override: String::new(),
            bearer_token: Secret::default(),
            bearer_token_string: Secret::default(),
            username: Secret::default(),
            password: Secret::default(),
            http_headers: BTreeMap::new(),
            response_timeout: None,
            content_length_limit: Size::from_bytes(100_000_000),
            enable_request_metrics: false,
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = PrometheusOptions::describe();
    docs.extend(HttpClientOptions::describe());
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The input.
struct Prometheus {
    options: PrometheusOptions,
    targets: Vec<Target>,
    credentials: Credentials,
    client_options: HttpClientOptions,
    tls: TlsClientOptions,
    plain: Box<dyn Parser>,
    open: Box<dyn Parser>,
}

/// What a target answered.
struct Answer {
    body: Vec<u8>,
    open_metrics: bool,
    seconds: f64,
}

impl Prometheus {
    fn build(cx: &BuildContext) -> Built<Self> {
        let not_yet: Vec<&str> = [NOT_YET, HttpClientOptions::NOT_YET].concat();
        let mut reader = OptionReader::new(cx, &not_yet);
        let tls: TlsClientOptions = reader.take();
        let mut client_options: HttpClientOptions = reader.take();
        let problems = tls.problems().into_iter().chain(client_options.problems());
        problems.for_each(|error| reader.refuse(error));
        let options: PrometheusOptions = reader.rest()?;
        let mut errors = header_problems("http_headers", &options.http_headers);
        if !(1..=2).contains(&options.metric_version) {
            let message = format!("there is no version {}; use 1 or 2", options.metric_version);
            errors.push(OptionError::new("metric_version", message));
        }
        if options.urls.is_empty() {
            errors.push(OptionError::new("urls", "at least one URL is needed"));
        }
        let mut targets = Vec::new();
        for text in &options.urls {
            match Target::parse(text) {
                Ok(target) => targets.push(target),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(timeout) = options.response_timeout {
            client_options.timeout = timeout;
        }
        let credentials = Credentials {
            token: options.bearer_token_string.clone(),
            token_file: options.bearer_token.clone(),
            username: options.username.clone(),
            password: options.password.clone(),
        };
        let (plain, open) = (
            parser("prometheus", &options)?,
            parser("openmetrics", &options)?,
        );
        Ok(Self {
            options,
            targets,
            credentials,
            client_options,
            tls,
            plain,
            open,
        })
    }

    async fn scrape(&self, target: &Target) -> Result<Answer, PluginError> {
        let failed = || PluginError::new(format!("scrape {}", target.shown()));
        let client: &Client = target
            .client
            .as_ref()
            .ok_or_else(|| PluginError::new("gather before start"))?;
        let started = Instant::now();
        let request = client.get(target.url.clone()).header(ACCEPT, ACCEPTED);
        let request = self.credentials.apply(request).await?;
        let response = apply_headers(request, &self.options.http_headers)
            .send()
            .await;
        let response = response.map_err(|error| failed().because(describe_error(&error)))?;
        let status = response.status();
        if status.as_u16() != 200 {
            return Err(failed().because(format!("the status is {status}")));
        }
        let media_type = match self.options.content_type_override.as_str() {
            "" => response
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok()),
            given => Some(given),
        };
        let media_type = media_type.unwrap_or("").trim().to_ascii_lowercase();
        let open_metrics = media_type.starts_with("application/openmetrics-text");
        if media_type.starts_with("application/vnd.google.protobuf") {
            return Err(failed().because("the binary format is not supported yet"));
        }
        let limit = match self.options.content_length_limit.as_usize() {
            0 => 100_000_000,
            limit => limit,
        };
        let body = read_response(response, limit)
            .await
            .map_err(|error| failed().because(error))?;
        Ok(Answer {
            body,
            open_metrics,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn take(&self, cx: &GatherContext, target: &Target, answer: &Answer, batch: &mut Batch) {
        let first = batch.rows();
        let parser = if answer.open_metrics {
            &self.open
        } else {
            &self.plain
        };
        let parsed = parser
            .parse(&answer.body, batch)
            .map_err(|error| error.to_string());
        if let Err(error) = crate::http::check(parsed) {
            let failed = PluginError::new(format!("parse the metrics of {}", target.shown()));
            cx.report(failed.because(error));
        }
        if self.options.enable_request_metrics {
            batch
                .metric("prometheus_request")
                .field("response_time", answer.seconds)
                .field("content_length", answer.body.len() as i64)
                .untimed();
        }
        if self.options.url_tag.is_empty() {
            return;
        }
        let (key, value) = (batch.text(&self.options.url_tag), batch.text(&target.text));
        for row in first..batch.rows() {
            if let Some(mut metric) = batch.get_mut(row) {
                metric.set_tag(key, value);
            }
        }
    }
}

/// A parser of the other crate with the options that the input has for it.
fn parser(name: &str, options: &PrometheusOptions) -> Result<Box<dyn Parser>, Vec<OptionError>> {
    let missing = || {
        vec![OptionError::new(
            "metric_version",
            format!("no parser for {name}"),
        )]
    };
    let row = muster_formats::parser(name).ok_or_else(missing)?;
    let mut table = Table::new();
    table.insert(
        format!("{name}_metric_version"),
        Value::Integer(options.metric_version),
    );
    table.insert(
        format!("{name}_ignore_timestamp"),
        Value::Boolean(options.ignore_timestamp),
    );
    (row.build)(&table)
}

#[async_trait]
impl Input for Prometheus {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        let shared = self.client_options.builder().build(&self.tls)?;
        for target in &mut self.targets {
            target.client = Some(match &target.socket {
                None => shared.clone(),
                Some(path) => self
                    .client_options
                    .builder()
                    .unix_socket(path)
                    .build(&self.tls)?,
            });
        }
        Ok(())
    }

    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let answers = join_all(self.targets.iter().map(|target| self.scrape(target))).await;
        let mut failures = Vec::new();
        for (target, answer) in self.targets.iter().zip(answers) {
            match answer {
                Ok(answer) => self.take(cx, target, &answer, batch),
                Err(error) => failures.push(error),
            }
        }
        crate::http::settle(cx, failures, self.targets.len())
    }
}
