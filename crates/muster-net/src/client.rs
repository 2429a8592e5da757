//! The HTTP client of a plugin instance.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use muster_options::{Duration as OptionDuration, JsonSchema, OptionError};
use muster_plugin::PluginError;
use serde::{Deserialize, Serialize};

use crate::TlsClientOptions;

/// An HTTP client. Dropping the last clone closes its idle connections; dropping the future of a
/// request closes the request's connection.
pub type Client = reqwest::Client;

/// Options of plugins that ask over HTTP, with Telegraf's names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientOptions {
    /// How long a request may take, its answer's body included. 0 means no bound of its own.
    pub timeout: OptionDuration,
    /// How long a connection may stay idle before it is closed. 0 means 90 seconds.
    pub idle_conn_timeout: OptionDuration,
    /// How many idle connections to keep in all. Kept for compatibility: the bound per host counts.
    pub max_idle_conn: u32,
    /// How many idle connections to keep per host.
    pub max_idle_conn_per_host: u32,
    /// Take the proxy from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    pub use_system_proxy: bool,
    /// URL of the proxy.
    pub http_proxy_url: String,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            timeout: OptionDuration::from_secs(5),
            idle_conn_timeout: OptionDuration::ZERO,
            max_idle_conn: 0,
            max_idle_conn_per_host: 0,
            use_system_proxy: false,
            http_proxy_url: String::new(),
        }
    }
}

impl HttpClientOptions {
    /// Options of Telegraf's HTTP client that are not supported yet; for
    /// [`OptionReader`](crate::OptionReader).
    pub const NOT_YET: &'static [&'static str] = &[
        "client_id",
        "client_secret",
        "token_url",
        "audience",
        "scopes",
        "cookie_auth_url",
        "cookie_auth_method",
        "cookie_auth_username",
        "cookie_auth_password",
        "cookie_auth_headers",
        "cookie_auth_body",
        "cookie_auth_renewal",
        "local_address",
        "tls_renegotiation_method",
    ];

    /// What is wrong with the options as such.
    pub fn problems(&self) -> Vec<OptionError> {
        proxy_problem("http_proxy_url", &self.http_proxy_url)
            .into_iter()
            .collect()
    }

    /// A builder with these options.
    pub fn builder(&self) -> ClientBuilder {
        ClientBuilder {
            timeout: self.timeout.get(),
            idle_timeout: self.idle_conn_timeout.get(),
            idle_per_host: self.max_idle_conn_per_host as usize,
            proxy: self.http_proxy_url.clone(),
            system_proxy: self.use_system_proxy,
            ..ClientBuilder::default()
        }
    }
}

/// What is wrong with the URL of a proxy; an empty one is none.
pub fn proxy_problem(option: &str, url: &str) -> Option<OptionError> {
    if url.is_empty() {
        return None;
    }
    let error = reqwest::Proxy::all(url).err()?;
    Some(OptionError::new(
        option,
        format!("\"{url}\" is no URL of a proxy: {error}"),
    ))
}

/// What makes an HTTP client.
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    timeout: Duration,
    connect_timeout: Option<Duration>,
    idle_timeout: Duration,
    idle_per_host: usize,
    proxy: String,
    system_proxy: bool,
    user_agent: Option<String>,
    redirects: Option<bool>,
    decompress: Option<bool>,
    unix_socket: Option<std::path::PathBuf>,
}

impl ClientBuilder {
    /// A builder with a bound on the time of a request; zero for none.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            ..Self::default()
        }
    }

    /// Goes through this proxy, or through that of the environment if `url` is empty and `system`
    /// is set.
    #[must_use]
    pub fn proxy(mut self, url: &str, system: bool) -> Self {
        (self.proxy, self.system_proxy) = (url.to_owned(), system);
        self
    }

    /// Bounds the time to connect by itself; by default it may take as long as a request.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Says who we are.
    #[must_use]
    pub fn user_agent(mut self, name: &str) -> Self {
        self.user_agent = (!name.is_empty()).then(|| name.to_owned());
        self
    }

    /// Whether to follow redirects; by default up to ten are followed.
    #[must_use]
    pub fn follow_redirects(mut self, follow: bool) -> Self {
        self.redirects = Some(follow);
        self
    }

    /// Whether to ask for compressed answers and to decompress them; by default so.
    #[must_use]
    pub fn decompress(mut self, decompress: bool) -> Self {
        self.decompress = Some(decompress);
        self
    }

    /// Connects to a unix socket, whatever host the URLs name.
    #[must_use]
    pub fn unix_socket(mut self, path: &Path) -> Self {
        self.unix_socket = Some(path.to_owned());
        self
    }

    /// The client. Reads certificates from files.
    ///
    /// Only HTTP/1.1 is spoken, so that each request in flight has a connection of its own and
    /// giving it up closes that connection.
    ///
    /// # Errors
    /// If the proxy's URL or a certificate is wrong.
    pub fn build(&self, tls: &TlsClientOptions) -> Result<Client, PluginError> {
        let failed = || PluginError::new("set up the HTTP client");
        let idle = match self.idle_timeout {
            Duration::ZERO => Duration::from_secs(90),
            given => given,
        };
        let agent = concat!("Muster/", env!("CARGO_PKG_VERSION"));
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.config()?)
            .http1_only()
            .pool_idle_timeout(idle)
            .pool_max_idle_per_host(if self.idle_per_host == 0 {
                2
            } else {
                self.idle_per_host
            })
            .user_agent(self.user_agent.as_deref().unwrap_or(agent))
            .gzip(self.decompress.unwrap_or(true));
        if !self.timeout.is_zero() {
            builder = builder.timeout(self.timeout).connect_timeout(self.timeout);
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if self.redirects == Some(false) {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path.as_path());
        }
        builder = match self.proxy.as_str() {
            "" if self.system_proxy => builder,
            "" => builder.no_proxy(),
            url => {
                let proxy = reqwest::Proxy::all(url);
                builder.proxy(proxy.map_err(|error| failed().because(error.to_string()))?)
            }
        };
        builder
            .build()
            .map_err(|error| failed().because(describe_error(&error)))
    }
}

/// Reasons that only name the layer of the client in which the next one came up.
const LAYERS: [&str; 4] = [
    "client error (Connect)",
    "client error (SendRequest)",
    "tcp connect error",
    "dns error",
];

/// What went wrong in a request, with its reasons but without the URL, which may hold a secret.
pub fn describe_error(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    // The outermost text only says that a request failed and repeats the URL.
    let mut source = error.source();
    let mut reasons: Vec<String> = Vec::new();
    while let Some(reason) = source {
        let text = reason.to_string();
        let names_a_layer = LAYERS.contains(&text.as_str()) && reason.source().is_some();
        if names_a_layer {
            source = reason.source();
            continue;
        }
        if reasons.last().is_none_or(|last| !last.contains(&text)) {
            reasons.push(text);
        }
        source = reason.source();
    }
    if reasons.is_empty() {
        "the request is wrong".to_owned()
    } else {
        reasons.join(": ")
    }
}
