//! `outputs.prometheus_client`: shows the latest value of each series to Prometheus.
//!
//! A scrape gets all that was written within `expiration_interval`. At most `max_series` series are
//! shown (an option of Muster's own); metrics of further ones are rejected. When the output's
//! options change, the next generation inherits the port and what is shown.

mod options;
mod shown;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use muster_formats::PrometheusText;
use muster_metric::{Metrics, Timestamp};
use muster_net::http_server::{Answer, Limits, Request, empty, serve, text, with_type};
use muster_net::{
    Address, BasicAuth, Encoding, OptionReader, SocketOptions, TlsServerOptions, listen,
};
use muster_options::{OptionDoc, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};

use options::PrometheusClientOptions;
pub(crate) use options::address;
use shown::Shown;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "prometheus_client",
    summary: "shows the latest metrics on an HTTP page for Prometheus",
    options: docs,
    format: FormatUse::None,
    build: Build::Output(|cx| Ok(Box::new(PrometheusClient::build(cx)?))),
};

/// What Telegraf has and Muster not yet. That of `ip_range` would be a door left open.
const NOT_YET: &[&str] = &[
    "ip_range",
    "metric_types",
    "name_sanitization",
    "content_type",
];

fn docs() -> Vec<OptionDoc> {
    let mut docs = PrometheusClientOptions::describe();
    docs.extend(TlsServerOptions::describe());
    docs
}

/// The output.
struct PrometheusClient {
    options: PrometheusClientOptions,
    tls: TlsServerOptions,
    address: Address,
    headers: Vec<(HeaderName, HeaderValue)>,
    shown: Option<Arc<Shown>>,
    /// Where the page is: the system may have chosen the port.
    local_address: String,
}

/// What the page needs of the options.
#[derive(Clone)]
struct Page {
    shown: Arc<Shown>,
    path: Arc<str>,
    auth: Arc<BasicAuth>,
    headers: Arc<[(HeaderName, HeaderValue)]>,
}

impl PrometheusClient {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, NOT_YET);
        let tls: TlsServerOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let options: PrometheusClientOptions = reader.rest()?;
        let mut errors = Vec::new();
        let address = options.address().map_err(|error| errors.push(error));
        let headers = options.headers().map_err(|more| errors.extend(more));
        errors.extend(options.problems());
        match (address, headers) {
            (Ok(address), Ok(headers)) if errors.is_empty() => {
                let (shown, local_address) = (None, String::new());
                Ok(Self {
                    options,
                    tls,
                    address,
                    headers,
                    shown,
                    local_address,
                })
            }
            _ => Err(errors),
        }
    }
}

#[async_trait]
impl Output for PrometheusClient {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let tls = self.tls.config()?;
        let listening = listen(cx, &self.address, tls, SocketOptions::default()).await?;
        self.local_address = listening.local_address();
        // The next generation finds what this one shows, if it is to look the same.
        let name = format!("page of {} {}", cx.id(), self.options.look());
        let make = || Ok::<_, PluginError>(Shown::new(self.options.exposition()));
        let shown = cx.resources().take(cx.id(), &name, make)?;
        self.shown = Some(Arc::clone(&shown));
        shown.set_bounds(
            self.options.max_series as usize,
            self.options.expiration_interval.get(),
        );
        let auth = BasicAuth {
            username: self.options.basic_username.clone(),
            password: self.options.basic_password.clone(),
        };
        let page = Page {
            shown,
            path: self.options.path.as_str().into(),
            auth: Arc::new(auth),
            headers: self.headers.clone().into(),
        };
        let limits = Limits {
            read_timeout: self.options.read_timeout.get(),
            write_timeout: self.options.write_timeout.get(),
            ..Limits::default()
        };
        let serve = move |cx: muster_tasks::Ctx| async move {
            let handler = move |request: Request| std::future::ready(page.answer(&request));
            serve(&cx, &listening, limits, handler).await;
        };
        let started = cx.group().go_cx("page for Prometheus", serve);
        started.map_err(|why| PluginError::new("serve the page").because(why))
    }

    async fn write(&mut self, _: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        let Some(shown) = &self.shown else {
            return Err(PluginError::new("write before the start").into());
        };
        let rejected = shown.add(metrics, Timestamp::now());
        if rejected.is_empty() {
            return Ok(());
        }
        let error = PluginError::new(format!("show {} metrics of new series", rejected.len()))
            .because(format!(
                "{} series are shown already",
                self.options.max_series
            ))
            .with_hint("raise `max_series`, or select fewer metrics for this output");
        Err(WriteError::Partial { rejected, error })
    }
}

impl Page {
    fn answer(&self, request: &Request) -> Answer {
        let mut answer = self.body(request);
        for (name, value) in self.headers.iter() {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
        answer
    }

    fn body(&self, request: &Request) -> Answer {
        if !self
            .auth
            .admits(request.headers().get(header::AUTHORIZATION))
        {
            return unauthorized("prometheus");
        }
        if request.uri().path() != &*self.path {
            return text(
                StatusCode::NOT_FOUND,
                format!("The metrics are at {}.\n", self.path),
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let mut body = Vec::new();
        self.shown.write(Timestamp::now(), &mut body);
        if takes_gzip(request)
            && let Ok(packed) = Encoding::Gzip.encode(body.clone())
        {
            let mut answer = with_type(StatusCode::OK, PrometheusText::CONTENT_TYPE, packed);
            let gzip = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            return answer;
        }
        with_type(StatusCode::OK, PrometheusText::CONTENT_TYPE, body)
    }
}

fn takes_gzip(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT_ENCODING);
    let accepted = accepted
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accepted.split(',').any(|part| {
        let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
        coding.trim().eq_ignore_ascii_case("gzip") && weight.trim() != "q=0"
    })
}

/// The answer to who brings no password, or a wrong one.
pub(crate) fn unauthorized(realm: &str) -> Answer {
    let mut answer = text(
        StatusCode::UNAUTHORIZED,
        "A user and a password are needed.\n",
    );
    if let Ok(challenge) = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")) {
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}
