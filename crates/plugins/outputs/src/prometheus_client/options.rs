//! The options, and what they mean.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use muster_formats::{ExpositionOptions, Naming};
use muster_net::Address;
use muster_options::{Duration, JsonSchema, OptionError, Secret};
use serde::{Deserialize, Serialize};

/// What is shown, where and to whom.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PrometheusClientOptions {
    /// The address of the page: `:9273`, `127.0.0.1:9273`, or `unix:///run/muster.sock`.
    pub(super) listen: String,
    /// How the names are made: 2 joins measurement and field; 1 leaves fields such as `value`,
    /// which say only what they are, out.
    pub(super) metric_version: u8,
    /// The path of the page.
    pub(super) path: String,
    /// The user who may see the page; without user and password everybody may.
    pub(super) basic_username: Secret,
    /// The password of that user.
    pub(super) basic_password: Secret,
    /// How long a series is shown after its last metric; `0s` for ever.
    pub(super) expiration_interval: Duration,
    /// Accepted for configurations of Telegraf: Muster shows nothing of its own here, but on its
    /// own `/metrics`.
    pub(super) collectors_exclude: Vec<String>,
    /// Whether text fields become labels; otherwise they are left out.
    pub(super) string_as_label: bool,
    /// Whether the metrics' times are shown.
    pub(super) export_timestamp: bool,
    /// How long a client may take to send its request.
    pub(super) read_timeout: Duration,
    /// How long a client may take no byte of the answer.
    pub(super) write_timeout: Duration,
    /// Headers to send with every answer.
    pub(super) http_headers: BTreeMap<String, String>,
    /// The most series that are shown; metrics of further ones are rejected.
    pub(super) max_series: u32,
}

impl Default for PrometheusClientOptions {
    fn default() -> Self {
        Self {
            listen: ":9273".to_owned(),
            metric_version: 1,
            path: "/metrics".to_owned(),
            basic_username: Secret::default(),
            basic_password: Secret::default(),
            expiration_interval: Duration::from_secs(60),
            collectors_exclude: Vec::new(),
            string_as_label: true,
            export_timestamp: false,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            http_headers: BTreeMap::new(),
            max_series: 200_000,
        }
    }
}

impl PrometheusClientOptions {
    pub(super) fn address(&self) -> Result<Address, OptionError> {
        address("listen", &self.listen)
    }

    pub(super) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Vec<OptionError>> {
        let (mut headers, mut errors) = (Vec::new(), Vec::new());
        for (name, value) in &self.http_headers {
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => headers.push((name, value)),
                _ => {
                    let path = format!("http_headers.{name}");
                    errors.push(OptionError::new(path, "is no header of HTTP"));
                }
            }
        }
        if errors.is_empty() {
            Ok(headers)
        } else {
            Err(errors)
        }
    }

    pub(super) fn problems(&self) -> Vec<OptionError> {
        let mut errors = Vec::new();
        if !matches!(self.metric_version, 1 | 2) {
            errors.push(OptionError::new("metric_version", "must be 1 or 2"));
        }
        if !self.path.starts_with('/') {
            let error = OptionError::new("path", "must start with a slash");
            errors.push(error.with_hint(format!("write \"/{}\"", self.path)));
        }
        errors
    }

    pub(super) fn exposition(&self) -> ExpositionOptions {
        let mut options = ExpositionOptions::default();
        options.naming = match self.metric_version {
            1 => Naming::Measurement,
            _ => Naming::MeasurementAndField,
        };
        options.string_as_label = self.string_as_label;
        options.export_timestamp = self.export_timestamp;
        options.sort = true;
        options
    }

    /// A text that differs where pages look different.
    pub(super) fn look(&self) -> String {
        format!(
            "v{} {} {}",
            self.metric_version, self.string_as_label, self.export_timestamp
        )
    }
}

/// Reads an address to listen on, which may be written as a URL of HTTP.
pub(crate) fn address(option: &str, text: &str) -> Result<Address, OptionError> {
    let plain = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let address = Address::parse_tcp(plain.unwrap_or(text))
        .map_err(|error| OptionError::new(option, error.to_string()))?;
    if !address.transport().is_stream() {
        return Err(OptionError::new(option, "HTTP needs `tcp://` or `unix://`"));
    }
    Ok(address)
}
